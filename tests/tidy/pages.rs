//! Rules on the pages: that they say what the manifests say, and name what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::Table;

use crate::files::{Breach, ROOT, Source, lines_of, none, packages, read, walk};

#[test]
fn readme_lists_the_features() {
    let manifest: Table = read("Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let default = features["default"].as_array().unwrap();
    let is_default = |name: &str| default.iter().any(|value| value.as_str() == Some(name));
    let there: BTreeMap<String, bool> = features
        .keys()
        .filter(|name| *name != "default")
        .map(|name| (name.clone(), is_default(name)))
        .collect();
    let rows = rows(&read("README.md"), "feature");
    let told: BTreeMap<String, bool> = rows
        .into_iter()
        .map(|row| (row[0].clone(), row[1] == "yes"))
        .collect();
    assert_eq!(
        told, there,
        "README.md: the table has each feature of Cargo.toml, and which are on by default"
    );
}

#[test]
fn architecture_gives_a_reason_for_each_dependency() {
    let packages = packages();
    let published = packages.iter().filter(|package| package.published());
    let used = published.flat_map(|package| package.dependencies("dependencies"));
    let used = used
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("paymux-"));
    let used: BTreeSet<String> = used.collect();
    let rows = rows(&read("ARCHITECTURE.md"), "dependency");
    let told = rows
        .iter()
        .filter(|row| row.last().is_some_and(|reason| reason.len() > 10));
    let told: BTreeSet<String> = told.map(|row| row[0].clone()).collect();
    assert_eq!(
        told, used,
        "ARCHITECTURE.md: the table has each direct dependency, and why it is there"
    );
}

#[test]
fn pages_name_files_that_exist() {
    let pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];
    let exists = |path: &str| Path::new(ROOT).join(path).exists();
    none(
        pages
            .iter()
            .flat_map(|page| dead_paths(&Source::read(page), exists)),
    );
}

/// What stands between backticks, has a folder in it and ends as a file or with a slash, is a path from the root.
fn dead_paths(page: &Source, exists: impl Fn(&str) -> bool) -> Vec<Breach> {
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    let ends = |text: &str| {
        [".rs", ".md", ".toml", ".sh", "/"]
            .iter()
            .any(|end| text.ends_with(end))
    };
    let is_path = |text: &str| text.contains('/') && !text.starts_with('/') && plain(text) && ends(text);
    let mut found = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        let quoted = line.split('`').skip(1).step_by(2);
        for path in quoted.filter(|text| is_path(text) && !exists(text)) {
            found.push(page.breach(at + 1, format!("there is no `{path}`")));
        }
    }
    found
}

#[test]
fn every_page_of_the_docs_is_rendered() {
    let module = read("core/src/docs/mod.rs");
    let name = |path: &str| path["core/src/docs/".len()..].to_owned();
    let pages = walk("core/src/docs")
        .into_iter()
        .filter(|path| path.ends_with(".md"));
    let lost = pages.filter(|path| !module.contains(&format!("\"{}\"", name(path))));
    none(lost.map(|file| Breach {
        file,
        line: 1,
        rule: "core/src/docs/mod.rs doesn't include it, so nobody finds it".to_owned(),
    }));
}

#[test]
fn services_print_what_eval_hands_on() {
    let scripts = walk("tests/services").into_iter().map(|path| Source::read(&path));
    none(scripts.flat_map(|script| lost_variables(&script)));
}

/// README starts a service by `eval "$(… start)"`: a variable that isn't exported stays in that shell.
fn lost_variables(script: &Source) -> Vec<Breach> {
    let is_name = |name: &str| name.len() > 2 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let mut found = Vec::new();
    for (at, line) in script.text.lines().enumerate() {
        // What an `echo "` or a `\n` begins is a line that is printed.
        let printed = line.replace("\\n", "\"");
        let begun = printed.split('"').skip(1);
        for (name, _) in begun.filter_map(|text| text.split_once('=')) {
            if is_name(name) {
                found.push(script.breach(at + 1, format!("print `export {name}=…`")));
            }
        }
    }
    found
}

/// The rows of a page's table whose first column is called `head`; backticks are dropped.
fn rows(page: &str, head: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim().trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let lines = page
        .lines()
        .skip_while(|line| !line.starts_with('|') || cells(line)[0] != head);
    let lines = lines.skip(2).take_while(|line| line.starts_with('|'));
    lines.map(cells).collect()
}

#[cfg(test)]
mod teeth {
    use super::*;

    #[test]
    fn rows_of_the_right_table() {
        let page = "| other | x |\n|---|---|\n| a | b |\n\n| feature | on |\n|---|---|\n| `stripe` | |\n| `memory` | yes |\n";
        assert_eq!(rows(page, "feature"), [["stripe", ""], ["memory", "yes"]]);
        assert!(rows(page, "dependency").is_empty());
    }

    #[test]
    fn a_variable_that_stays_in_its_shell() {
        let script = Source {
            path: "tests/services/x.sh".to_owned(),
            text: "echo \"URL=$url\"\necho \"export URL=$url\"\nprint(f\"export A_URL={url}\\nA_KEY=k\")\nport=$(a \"$b\")"
                .to_owned(),
        };
        assert_eq!(lines_of(lost_variables(&script)), [1, 3]);
    }

    #[test]
    fn a_path_to_nothing() {
        let page = Source {
            path: "README.md".to_owned(),
            text: "see `core/src/gone.rs`\nand `core/src/store.rs`, `/v1/x.rs`, `a/b`, `core/gone/`"
                .to_owned(),
        };
        assert_eq!(
            lines_of(dead_paths(&page, |path| path == "core/src/store.rs")),
            [1, 2]
        );
    }
}
