//! Rules on source text: calls that nobody may make, and files that stay readable.

use crate::files::{Breach, Source, has_word, lines_of, none, published_sources, sources, walk};

/// Where time and randomness come in.
const RUNTIME: &str = "core/src/runtime.rs";

/// A store's clock decides what is due; a store that has no database to ask takes this machine's (`StoreTime::Own`).
const STORE_CLOCKS: [&str; 1] = ["storage/memory/src/lib.rs"];

/// In lines, without doc comments.
const LONGEST_FILE: usize = 700;
const LONGEST_FACADE: usize = 150;

#[test]
fn nobody_reads_time_or_randomness_but_the_runtime() {
    none(published_sources().iter().flat_map(time_and_randomness));
}

fn time_and_randomness(file: &Source) -> Vec<Breach> {
    let banned = [
        "SystemTime::now",
        "Instant::now",
        "Utc::now",
        "Local::now",
        "Uuid::new_v4",
        "Uuid::now_v7",
        "rand::",
        "fastrand::",
        "getrandom::",
    ];
    let path = file.path.as_str();
    let allowed = |name: &str| path == RUNTIME || STORE_CLOCKS.contains(&path) && name == "SystemTime::now";
    let banned: Vec<&str> = banned.into_iter().filter(|name| !allowed(name)).collect();
    banned_words(file, &banned, "time and randomness come from the runtime's ports")
}

#[test]
fn core_does_no_input_or_output() {
    none(sources("core/src").iter().flat_map(io_in_core));
}

/// Core awaits futures of its ports alone, so that it runs on any executor, and a simulator decides what happens
/// when.
fn io_in_core(file: &Source) -> Vec<Breach> {
    let banned = [
        "tokio::",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "println!",
        "eprintln!",
        "dbg!",
    ];
    if file.path == RUNTIME {
        return Vec::new();
    }
    banned_words(
        file,
        &banned,
        "core does no I/O, and awaits nothing but its ports",
    )
}

#[test]
fn nothing_outside_tests_unwraps() {
    none(product().iter().flat_map(unwraps));
}

fn unwraps(file: &Source) -> Vec<Breach> {
    file.find(|line| {
        let name = [".unwrap()", ".expect("]
            .into_iter()
            .find(|name| line.contains(name))?;
        Some(format!(
            "`{name}`: return the error, or make it impossible by a type"
        ))
    })
}

#[test]
fn no_amount_is_a_float() {
    none(product().iter().flat_map(floats));
}

fn floats(file: &Source) -> Vec<Breach> {
    banned_words(file, &["f32", "f64"], "no amount passes through a float")
}

#[test]
fn a_machine_writes_every_cell_out() {
    let names = ["/machine.rs", "/merge.rs"];
    let is_machine = |file: &&Source| names.iter().any(|name| file.path.ends_with(name));
    none(product().iter().filter(is_machine).flat_map(wildcards));
}

/// `_ =>` and `(_, _) =>` hide cells; `(Created, _) =>` and `Some(_) =>` name one, and an arm with an `if` leaves
/// the compiler asking for the rest.
fn wildcards(file: &Source) -> Vec<Breach> {
    file.find(|line| {
        let (pattern, _) = line.split_once("=>")?;
        let wild = pattern.contains('_') && pattern.chars().all(|c| "_(), .|".contains(c));
        let hides = wild || has_word(line, "_ =>");
        hides.then(|| "a wildcard arm hides cells: write each of them out".to_owned())
    })
}

#[test]
fn files_stay_readable() {
    let folders = ["core/src", "connectors", "storage"];
    let files = folders.into_iter().flat_map(sources);
    none(files.flat_map(|file| long(&file, LONGEST_FILE)));
}

/// Doc comments aren't counted: nobody should save on them.
fn long(file: &Source, most: usize) -> Vec<Breach> {
    let is_doc = |line: &str| line.trim_start().starts_with("///") || line.starts_with("//!");
    let lines = file.text.lines().filter(|line| !is_doc(line)).count();
    if lines <= most {
        return Vec::new();
    }
    let rule = format!("{lines} lines without doc comments, of at most {most}: it is usually two files");
    vec![file.breach(1, rule)]
}

#[test]
fn names_say_what_is_in_a_file() {
    none(walk(".").iter().flat_map(|path| empty_name(path)));
}

fn empty_name(path: &str) -> Option<Breach> {
    let names = ["common", "helper", "helpers", "manager", "misc", "util", "utils"];
    let parts = path.strip_suffix(".rs")?;
    let name = parts.split('/').find(|part| names.contains(part))?;
    Some(Breach {
        file: path.to_owned(),
        line: 1,
        rule: format!("`{name}` says nothing: name the file after what it holds"),
    })
}

#[test]
fn the_facade_has_no_logic() {
    let file = Source::read("lib.rs");
    none(long(&file, LONGEST_FACADE));
    none(banned_words(
        &file,
        &["fn"],
        "the facade re-exports, and does nothing itself",
    ));
}

/// What hosts run. A conformance suite's panics are its results, so the kit isn't part of it.
fn product() -> Vec<Source> {
    let files = published_sources().into_iter();
    files
        .filter(|file| !file.path.starts_with("tests/testkit/"))
        .collect()
}

fn banned_words(file: &Source, banned: &[&str], rule: &str) -> Vec<Breach> {
    file.find(|line| {
        let name = banned.iter().find(|name| has_word(line, name))?;
        Some(format!("`{name}`: {rule}"))
    })
}

#[cfg(test)]
mod teeth {
    use super::*;

    fn drive(text: &str) -> Source {
        Source {
            path: "core/src/engine/drive.rs".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn calls_that_nobody_may_make() {
        let clock = drive("a\nlet t = std::time::Instant::now();\nlet t = clock.now();");
        assert_eq!(lines_of(time_and_randomness(&clock)), [2]);
        let random = drive("rand::random()\nlet operand = 1;\nfastrand::u8(..)");
        assert_eq!(lines_of(time_and_randomness(&random)), [1, 3]);
        let io = drive("tokio::spawn(task);\nuse std::fs;\nlet fs = 1;");
        assert_eq!(lines_of(io_in_core(&io)), [1, 2]);
        let unwrapped = drive("x.unwrap();\nx.expect(\"y\");\nx.unwrap_or(1);");
        assert_eq!(lines_of(unwraps(&unwrapped)), [1, 2]);
        assert_eq!(lines_of(floats(&drive("let x: f64 = 1.0;\nlet buf64 = 2;"))), [1]);
    }

    #[test]
    fn wildcards_in_every_dress() {
        for wild in [
            "        _ => Err(illegal()),",
            "        (_, _) => next,",
            "    match state { Created => 1, _ => 2 }",
            "        Created | _ => 1,",
        ] {
            assert_eq!(lines_of(wildcards(&drive(wild))), [1], "{wild}");
        }
        for named in [
            "        (Created, _) => next,",
            "        Some(_) => next,",
            "        Opened { .. } => next,",
            "        let _ = next;",
            "        (_, Command::Expire) => next,",
            "        (_, _) if open => next,",
            "        _ if open => next,",
            "        ) => next,",
        ] {
            assert_eq!(lines_of(wildcards(&drive(named))), [], "{named}");
        }
    }

    #[test]
    fn long_files_and_empty_names() {
        assert_eq!(long(&drive("/// a\na\nb\nc"), 2).len(), 1);
        assert_eq!(long(&drive("/// a\na\nb\nc"), 3).len(), 0);
        for (path, empty) in [
            ("core/src/utils.rs", true),
            ("core/src/helpers/date.rs", true),
            ("core/src/routing/plan.rs", false),
        ] {
            assert_eq!(empty_name(path).is_some(), empty, "{path}");
        }
    }
}
