//! Plants one bug after the other, and says which seed found it.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a run takes is this machine's time, and nothing in a world follows from it"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use paymux_sim::{Found, Patch, Tooth, holds, hunt, patches, workspace};

const USAGE: &str = "teeth [--wrappers] [--patches] [--some N] [--payments N] [--list] [NAME…]

  NAME        only these; all, without
  --wrappers  only those that are wrappers of ports
  --patches   only those that are passages of core replaced in a copy
  --some      of the patches only so many, others with every change of the sources
  --payments  what each has to be found within: 100000 without this
  --list      what there is
  --hunt      run worlds as they are, --from a seed, until something is violated: what a patched copy is asked";

#[derive(Default)]
struct Asked {
    names: Vec<String>,
    wrappers: bool,
    patches: bool,
    some: Option<usize>,
    payments: Option<u64>,
    from: Option<u64>,
    list: bool,
    hunt: bool,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            value
                .parse::<u64>()
                .map_err(|_| format!("`{value}` is no number"))
        };
        match word.as_str() {
            "--wrappers" => asked.wrappers = true,
            "--patches" => asked.patches = true,
            "--some" => asked.some = Some(number()? as usize),
            "--payments" => asked.payments = Some(number()?),
            "--from" => asked.from = Some(number()?),
            "--list" => asked.list = true,
            "--hunt" => asked.hunt = true,
            name if !name.starts_with('-') => asked.names.push(name.to_owned()),
            _ => return Err(format!("`{word}` isn't known\n\n{USAGE}")),
        }
    }
    if !asked.wrappers && !asked.patches {
        (asked.wrappers, asked.patches) = (true, true);
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let planted = asked().and_then(|asked| {
        let all = patches().map_err(|error| error.to_string())?;
        let names: Vec<&str> = Tooth::ALL.iter().map(|tooth| tooth.name()).collect();
        let known =
            |name: &String| names.contains(&name.as_str()) || all.iter().any(|patch| patch.name == *name);
        match asked.names.iter().find(|name| !known(name)) {
            Some(name) => Err(format!("`{name}` is no planted bug: --list says what there is")),
            None => Ok((asked, all)),
        }
    });
    let (asked, all) = match planted {
        Ok(planted) => planted,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let at_most = asked.payments.unwrap_or(100_000);
    if asked.hunt {
        if let Some(found) = hunt(None, asked.from.unwrap_or(1), at_most) {
            println!("{}", found.line());
        }
        return ExitCode::SUCCESS;
    }
    let wanted = |name: &str| asked.names.is_empty() || asked.names.iter().any(|asked| asked == name);
    let wrappers: Vec<Tooth> = Tooth::ALL
        .iter()
        .copied()
        .filter(|tooth| asked.wrappers && wanted(tooth.name()))
        .collect();
    let mut patches: Vec<Patch> = all
        .into_iter()
        .filter(|patch| asked.patches && wanted(&patch.name))
        .collect();
    if let Some(some) = asked.some {
        let turn = paymux_sim::digest() as usize % patches.len().max(1);
        patches.rotate_left(turn);
        patches.truncate(some);
    }
    if asked.list {
        for tooth in &wrappers {
            println!("{:<28} {}", tooth.name(), tooth.bug());
        }
        for patch in &patches {
            println!("{:<28} {} ({})", patch.name, patch.bug, patch.file.display());
        }
        return ExitCode::SUCCESS;
    }
    let (mut found, count) = (0, wrappers.len() + patches.len());
    for tooth in wrappers {
        let begun = Instant::now();
        found += say(tooth.name(), hunt(Some(tooth), 1, at_most).as_ref(), begun);
    }
    for patch in patches {
        let begun = Instant::now();
        match in_a_copy(&patch, at_most) {
            Ok(seen) => found += say(&patch.name, seen.as_ref(), begun),
            Err(why) => println!("{:<28} NOT RUN: {why}", patch.name),
        }
    }
    println!("{found}/{count}");
    match found == count {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn say(name: &str, found: Option<&Found>, begun: Instant) -> usize {
    let seconds = begun.elapsed().as_secs();
    match found {
        Some(found) => {
            let what: String = found.what.chars().take(160).collect();
            println!(
                "{name:<28} seed {:>4}, after {:>6} payments, invariant {:>2}: {what} [{seconds} s]",
                found.seed, found.payments, found.invariant
            );
        }
        None => println!("{name:<28} NOT FOUND [{seconds} s]"),
    }
    let _ = std::io::stdout().flush();
    usize::from(found.is_some())
}

fn in_a_copy(patch: &Patch, at_most: u64) -> Result<Option<Found>, String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let simulator = patch
        .build(&target.join("teeth"))
        .map_err(|error| error.to_string())?;
    let (mut from, mut left, mut before) = (1, at_most, 0);
    loop {
        let output = Command::new(&simulator)
            .args([
                "--hunt",
                "--from",
                &from.to_string(),
                "--payments",
                &left.to_string(),
            ])
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let line = String::from_utf8_lossy(&output.stdout);
        let found = match line.trim() {
            "" => return Ok(None),
            line => Found::read(line)?,
        };
        // What is violated here as well isn't this bug's doing.
        if holds(found.seed) {
            let payments = before + found.payments;
            return Ok(Some(Found { payments, ..found }));
        }
        before += found.payments;
        left = left.saturating_sub(found.payments);
        from = found.seed + 1;
    }
}
