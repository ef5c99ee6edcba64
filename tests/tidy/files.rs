//! What the rules read: the tree's files, its packages and their source text; and what they find.

use std::fmt;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A rule that doesn't hold, and where.
#[derive(Clone)]
pub(crate) struct Breach {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Fails with all of them.
#[track_caller]
pub(crate) fn none(breaches: impl IntoIterator<Item = Breach>) {
    let lines: Vec<String> = breaches.into_iter().map(|breach| breach.to_string()).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

pub(crate) fn lines_of(breaches: Vec<Breach>) -> Vec<usize> {
    breaches.iter().map(|breach| breach.line).collect()
}

/// A text file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn read(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: read(path),
        }
    }

    pub(crate) fn breach(&self, line: usize, rule: impl Into<String>) -> Breach {
        Breach {
            file: self.path.clone(),
            line,
            rule: rule.into(),
        }
    }

    /// A breach for each line of code on which `broken` names a rule.
    pub(crate) fn find(&self, broken: impl Fn(&str) -> Option<String>) -> Vec<Breach> {
        let lines = self.code().into_iter().enumerate();
        let breaches = lines.filter_map(|(at, line)| Some(self.breach(at + 1, broken(line)?)));
        breaches.collect()
    }

    /// The lines that are the product's code; comments and what is only compiled for tests are blank. It trusts
    /// rustfmt: an item ends with the first line that is indented as it is and closes it.
    fn code(&self) -> Vec<&str> {
        let mut test_indent = None;
        let mut lines = Vec::new();
        for line in self.text.lines() {
            let indent = line.len() - line.trim_start().len();
            let mut code = line.split(" //").next().unwrap_or(line);
            if line.trim_start().starts_with("//") {
                code = "";
            } else if line.trim() == "#[cfg(test)]" {
                test_indent = Some(indent);
                code = "";
            } else if let Some(start) = test_indent {
                if indent == start && (line.trim() == "}" || line.ends_with(';')) {
                    test_indent = None;
                }
                code = "";
            }
            lines.push(code);
        }
        lines
    }
}

/// A package's manifest.
pub(crate) struct Package {
    pub(crate) folder: String,
    pub(crate) name: String,
    pub(crate) manifest: Table,
    text: String,
}

impl Package {
    pub(crate) fn new(folder: &str, text: String) -> Self {
        let manifest: Table = text.parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        Self {
            folder: folder.to_owned(),
            name,
            manifest,
            text,
        }
    }

    /// Whether hosts, or authors of connectors and stores, build upon it.
    pub(crate) fn published(&self) -> bool {
        self.manifest["package"].get("publish") != Some(&Value::Boolean(false))
    }

    /// Of a kind (`dependencies`, `dev-dependencies`), on every target.
    pub(crate) fn dependencies(&self, kind: &str) -> Vec<(String, Value)> {
        let targets = self.manifest.get("target").and_then(Value::as_table);
        let tables = targets.into_iter().flat_map(Table::values);
        let tables = tables
            .filter_map(|target| target.get(kind))
            .chain(self.manifest.get(kind));
        let all = tables.filter_map(Value::as_table).flatten();
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A breach at the first line that starts with `near`.
    pub(crate) fn breach(&self, near: &str, rule: impl Into<String>) -> Breach {
        let at = self.text.lines().position(|line| line.starts_with(near));
        Breach {
            file: format!("{}/Cargo.toml", self.folder),
            line: at.map_or(1, |at| at + 1),
            rule: rule.into(),
        }
    }
}

/// The workspace's packages, the root's folder being `.`; tests/fuzz and benches/peers are workspaces of their own.
pub(crate) fn packages() -> Vec<Package> {
    let apart = ["tests/fuzz/", "benches/peers/"];
    let mut found = vec![Package::new(".", read("Cargo.toml"))];
    for path in walk(".") {
        if let Some(folder) = path.strip_suffix("/Cargo.toml")
            && !apart.iter().any(|apart| path.starts_with(apart))
        {
            found.push(Package::new(folder, read(&path)));
        }
    }
    found
}

/// The source text of the packages that others build upon.
pub(crate) fn published_sources() -> Vec<Source> {
    let published = packages()
        .into_iter()
        .filter(|package| package.published() && package.folder != ".");
    published
        .flat_map(|package| sources(&format!("{}/src", package.folder)))
        .collect()
}

/// The source text in a folder, without files that hold tests alone.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let is_test = |path: &str| path.ends_with("/tests.rs") || path[folder.len()..].contains("/tests/");
    let paths = walk(folder).into_iter();
    let paths = paths.filter(|path| path.ends_with(".rs") && !is_test(path));
    paths.map(|path| Source::read(&path)).collect()
}

/// Every file below a folder, from the root on, in order; without what is built and what is hidden.
pub(crate) fn walk(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = match folder {
            "." => name.clone(),
            _ => format!("{folder}/{name}"),
        };
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn read(path: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether `word` stands in `line`, and isn't a part of a longer name.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let goes_on = word.ends_with(part) && after.is_some_and(part);
        !(goes_on || before.is_some_and(part))
    })
}

#[test]
fn tests_and_comments_are_not_the_products_code() {
    let file = |text: &str| Source {
        path: "core/src/store.rs".to_owned(),
        text: text.to_owned(),
    };
    let call = |line: &str| line.contains("call").then(String::new);
    assert_eq!(
        lines_of(file("/// call\n// call\na; // call\ncall").find(call)),
        [4]
    );
    let text = "#[cfg(test)]\nmod tests {\n    fn a() {\n        call;\n    }\n}\ncall;";
    assert_eq!(lines_of(file(text).find(call)), [7]);
    assert_eq!(lines_of(file("#[cfg(test)]\nmod call;\ncall;").find(call)), [3]);
}
