//! Plants one bug after the other, and says which seed found it.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a run takes is this machine's time, and nothing in a world follows from it"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use paymux_sim::{Found, Hunt, Patch, Tooth, digest, patches, workspace};

const USAGE: &str = "teeth [--wrappers] [--patches] [--some N] [--orders N] [--payments N] [--list] [NAME…]

  NAME        only these; all, without
  --wrappers  only those that are wrappers of ports
  --patches   only those that are passages of core replaced in a copy
  --some      of the patches only so many: others with every change of the sources
  --orders    orders in each world: 100 without this
  --payments  what each has to be found within: 100000 without this
  --list      what there is
  --hunt      run worlds as they are, --from a seed, until something is violated: what a patched copy is asked";

#[derive(Default)]
struct Asked {
    names: Vec<String>,
    wrappers: bool,
    patches: bool,
    some: Option<usize>,
    list: bool,
    hunts: bool,
    hunt: Hunt,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            value
                .parse::<u32>()
                .map_err(|_| format!("`{value}` is no number"))
        };
        match word.as_str() {
            "--wrappers" => asked.wrappers = true,
            "--patches" => asked.patches = true,
            "--some" => asked.some = Some(number()? as usize),
            "--orders" => asked.hunt.orders = number()?.max(1),
            "--payments" => asked.hunt.payments = number()?.into(),
            "--from" => asked.hunt.from = number()?.into(),
            "--list" => asked.list = true,
            "--hunt" => asked.hunts = true,
            name if !name.starts_with('-') => asked.names.push(name.to_owned()),
            _ => return Err(format!("`{word}` isn't known\n\n{USAGE}")),
        }
    }
    if !asked.wrappers && !asked.patches {
        (asked.wrappers, asked.patches) = (true, true);
    }
    Ok(asked)
}

/// What was asked, and of it what is planted by wrappers and what by patches.
fn planted() -> Result<(Asked, Vec<Tooth>, Vec<Patch>), String> {
    let asked = asked()?;
    let mut wrappers = Tooth::ALL.to_vec();
    let mut patches = patches().map_err(|error| error.to_string())?;
    let known = |name: &str| {
        wrappers.iter().any(|tooth| tooth.name() == name) || patches.iter().any(|patch| patch.name == name)
    };
    if let Some(name) = asked.names.iter().find(|name| !known(name)) {
        return Err(format!("`{name}` is no planted bug: --list says what there is"));
    }
    let wanted = |name: &str| asked.names.is_empty() || asked.names.iter().any(|asked| asked == name);
    wrappers.retain(|tooth| asked.wrappers && wanted(tooth.name()));
    patches.retain(|patch| asked.patches && wanted(&patch.name));
    if let Some(some) = asked.some {
        let turn = digest() % patches.len().max(1) as u64;
        patches.rotate_left(turn as usize);
        patches.truncate(some);
    }
    Ok((asked, wrappers, patches))
}

fn main() -> ExitCode {
    let (asked, wrappers, patches) = match planted() {
        Ok(planted) => planted,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    if asked.hunts {
        if let Some(found) = asked.hunt.run() {
            println!("{}", found.line());
        }
        return ExitCode::SUCCESS;
    }
    if asked.list {
        for tooth in &wrappers {
            println!("{:<36} {}", tooth.name(), tooth.bug());
        }
        for patch in &patches {
            println!("{:<36} {} ({})", patch.name, patch.bug, patch.file.display());
        }
        return ExitCode::SUCCESS;
    }
    let (mut found, count) = (0, wrappers.len() + patches.len());
    for tooth in wrappers {
        let begun = Instant::now();
        let hunt = Hunt {
            tooth: Some(tooth),
            ..asked.hunt
        };
        found += say(tooth.name(), hunt.run().as_ref(), begun);
    }
    for patch in patches {
        let begun = Instant::now();
        match in_a_copy(&patch, asked.hunt) {
            Ok(seen) => found += say(&patch.name, seen.as_ref(), begun),
            Err(why) => println!("{:<36} NOT RUN: {why}", patch.name),
        }
    }
    println!("{found}/{count} found");
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
                "{name:<36} seed {:>4}, after {:>6} payments, invariant {:>2}: {what} [{seconds} s]",
                found.seed, found.payments, found.invariant
            );
        }
        None => println!("{name:<36} NOT FOUND [{seconds} s]"),
    }
    let _ = std::io::stdout().flush();
    usize::from(found.is_some())
}

fn in_a_copy(patch: &Patch, hunt: Hunt) -> Result<Option<Found>, String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let simulator = patch
        .build(&target.join("teeth"))
        .map_err(|error| error.to_string())?;
    let (mut left, mut before) = (hunt, 0);
    loop {
        let output = Command::new(&simulator)
            .args(["--hunt", "--from", &left.from.to_string()])
            .args(["--orders", &left.orders.to_string()])
            .args(["--payments", &left.payments.to_string()])
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
        if hunt.holds_without(found.seed) {
            let payments = before + found.payments;
            return Ok(Some(Found { payments, ..found }));
        }
        before += found.payments;
        left.payments = left.payments.saturating_sub(found.payments);
        left.from = found.seed + 1;
    }
}
