//! Rules on the manifests: who may depend on whom.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::files::{Breach, Package, lines_of, none, packages, read, walk};

/// What a connector's folder has, so that who knows one finds everything in the next.
const CONNECTOR_FILES: [&str; 7] = [
    "config.rs",
    "connector.rs",
    "error.rs",
    "lib.rs",
    "map.rs",
    "webhook.rs",
    "wire.rs",
];

/// Crates that would let core do what only its ports may.
const NOT_IN_CORE: [&str; 6] = [
    "reqwest",
    "hyper",
    "sqlx",
    "sqlx-core",
    "libsqlite3-sys",
    "rustls",
];

#[test]
fn dependencies_point_towards_core() {
    none(packages().iter().flat_map(direction));
}

/// `core ← {connectors, stores, testkit} ← facade ← {examples, benches, tests}`, and nothing sideways.
fn direction(package: &Package) -> Vec<Breach> {
    let folder = package.folder.as_str();
    let (normal, dev): (&[&str], &[&str]) = if folder == "core" {
        (&[], &["paymux-testkit"])
    } else if folder == "tests/testkit" {
        // The reference store is what the suite's own tests break.
        (&["paymux-core"], &["paymux-memory"])
    } else if folder == "tests/model" {
        (&["paymux-core"], &[])
    } else if folder.starts_with("connectors/") {
        // Its tests may talk to a counterpart that shares no type with it.
        (
            &["paymux-core"],
            &["paymux-testkit", "paymux-http", "paymux-standin-stripe"],
        )
    } else if folder.starts_with("storage/") {
        // The store in memory is the oracle for the others.
        (&["paymux-core"], &["paymux-testkit", "paymux-memory"])
    } else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (kind, may) in [("dependencies", normal), ("dev-dependencies", dev)] {
        for (name, _) in package.dependencies(kind) {
            let ours = name == "paymux" || name.starts_with("paymux-");
            if ours && name != package.name && !may.contains(&name.as_str()) {
                let rule = format!(
                    "{} may not depend on {name}: dependencies point towards core",
                    package.name
                );
                found.push(package.breach(&name, rule));
            }
        }
    }
    found
}

#[test]
fn no_published_package_leads_back_to_itself() {
    none(packages().iter().flat_map(way_back));
}

/// Cargo publishes no cycle, but leaves a dev-dependency out that has a path and no version.
fn way_back(package: &Package) -> Vec<Breach> {
    let back = match package.folder.as_str() {
        "." => "paymux",
        "core" => "paymux-testkit",
        _ => return Vec::new(),
    };
    let by_path = |value: &Value| value.get("version").is_none() && value.get("workspace").is_none();
    let found = package.dependencies("dev-dependencies").into_iter();
    let found = found.filter(|(name, value)| name == back && !by_path(value));
    let rule = format!("the dev-dependency on {back} is by path alone");
    found
        .map(|(name, _)| package.breach(&name, rule.clone()))
        .collect()
}

#[test]
fn core_reaches_no_network_and_no_database() {
    let packages = packages();
    let core = packages.iter().find(|package| package.folder == "core").unwrap();
    none(reachable(core, &read("Cargo.lock").parse().unwrap()));
    for (name, value) in core.dependencies("dependencies") {
        let optional = value.get("optional") == Some(&Value::Boolean(true));
        assert!(
            name != "tokio" || optional,
            "core/Cargo.toml: tokio stands behind the feature `tokio`"
        );
    }
}

/// By Cargo.lock, which names optional dependencies too: what isn't reachable there never is.
fn reachable(core: &Package, lock: &Table) -> Vec<Breach> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let to = package.get("dependencies").and_then(Value::as_array);
        let to = to
            .into_iter()
            .flatten()
            .filter_map(|line| line.as_str()?.split(' ').next());
        edges
            .entry(package["name"].as_str().unwrap())
            .or_default()
            .extend(to);
    }
    let direct = core.dependencies("dependencies");
    let mut next: Vec<&str> = direct.iter().map(|(name, _)| name.as_str()).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = next.pop() {
        if seen.insert(name) {
            next.extend(edges.get(name).into_iter().flatten());
        }
    }
    let rule = |name| format!("core must not depend on {name}, directly or through another");
    let found = NOT_IN_CORE.into_iter().filter(|name| seen.contains(name));
    found.map(|name| core.breach(name, rule(name))).collect()
}

#[test]
fn versions_stand_in_one_place() {
    none(packages().iter().flat_map(own_versions));
}

fn own_versions(package: &Package) -> Vec<Breach> {
    let own = |value: &Value| value.get("workspace") != Some(&Value::Boolean(true));
    let found = package
        .dependencies("dependencies")
        .into_iter()
        .filter(|(_, value)| own(value));
    let rule = "versions stand in the root's [workspace.dependencies]";
    found.map(|(name, _)| package.breach(&name, rule)).collect()
}

#[test]
fn every_package_takes_the_workspace_lints() {
    none(packages().iter().flat_map(own_lints));
    let root: Table = read("Cargo.toml").parse().unwrap();
    let rust = &root["workspace"]["lints"]["rust"];
    assert_eq!(
        rust["unsafe_code"].as_str(),
        Some("forbid"),
        "Cargo.toml: no unsafe code anywhere"
    );
    assert_eq!(
        rust["missing_docs"].as_str(),
        Some("deny"),
        "Cargo.toml: what is public has docs"
    );
}

fn own_lints(package: &Package) -> Vec<Breach> {
    let lints = package
        .manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    match lints {
        Some(Value::Boolean(true)) => Vec::new(),
        Some(_) | None => vec![package.breach("[lints]", "every package says `[lints] workspace = true`")],
    }
}

#[test]
fn each_connector_has_the_same_files() {
    let paths: BTreeSet<String> = walk("connectors").into_iter().collect();
    none(
        packages()
            .iter()
            .flat_map(|package| missing_files(package, &paths)),
    );
}

fn missing_files(package: &Package, paths: &BTreeSet<String>) -> Vec<Breach> {
    // paymux-http is a transport, not a connector.
    if !package.folder.starts_with("connectors/") || package.name == "paymux-http" {
        return Vec::new();
    }
    let lacks = |name: &&str| !paths.contains(&format!("{}/src/{name}", package.folder));
    let rule = |name| format!("src/{name} is missing: each connector has the same files");
    let lost = CONNECTOR_FILES.into_iter().filter(lacks);
    lost.map(|name| package.breach("[package]", rule(name))).collect()
}

#[cfg(test)]
mod teeth {
    use super::*;

    fn package(folder: &str, name: &str, rest: &str) -> Package {
        Package::new(folder, format!("[package]\nname = \"{name}\"\n{rest}"))
    }

    fn stripe(rest: &str) -> Package {
        package("connectors/stripe", "paymux-stripe", rest)
    }

    fn core(rest: &str) -> Package {
        package("core", "paymux-core", rest)
    }

    #[test]
    fn a_dependency_sideways_or_outwards() {
        let sideways = |rest: &str| lines_of(direction(&stripe(rest)));
        assert_eq!(sideways("[dependencies]\npaymux-core.workspace = true"), []);
        assert_eq!(sideways("[dependencies]\npaymux-memory.workspace = true"), [4]);
        assert_eq!(sideways("[dependencies]\npaymux-sandbox.workspace = true"), [4]);
        assert_eq!(sideways("[dev-dependencies]\npaymux.workspace = true"), [4]);
        assert_eq!(
            sideways("[target.'cfg(unix)'.dependencies]\npaymux-sql = \"1\""),
            [4]
        );
        let outwards = core("[dependencies]\npaymux-http.workspace = true");
        assert_eq!(lines_of(direction(&outwards)), [4]);
    }

    #[test]
    fn a_cycle_that_cargo_would_not_publish() {
        let by_version = core("[dev-dependencies]\npaymux-testkit.workspace = true");
        let by_path = core("[dev-dependencies]\npaymux-testkit = { path = \"../tests/testkit\" }");
        assert_eq!(lines_of(way_back(&by_version)), [4]);
        assert_eq!(lines_of(way_back(&by_path)), []);
    }

    #[test]
    fn a_network_behind_another_crate() {
        let a = "[[package]]\nname = \"a\"\ndependencies = [\"b 1.0.0\"]\n";
        let b = "[[package]]\nname = \"b\"\ndependencies = [\"hyper\"]\n";
        let lock: Table = format!("{a}{b}").parse().unwrap();
        assert_eq!(
            reachable(&core("[dependencies]\na.workspace = true"), &lock).len(),
            1
        );
        assert_eq!(
            reachable(&core("[dependencies]\nc.workspace = true"), &lock).len(),
            0
        );
    }

    #[test]
    fn versions_lints_and_files_of_a_packages_own() {
        assert_eq!(
            lines_of(own_versions(&stripe("[dependencies]\nserde = \"1\""))),
            [4]
        );
        assert_eq!(own_lints(&stripe("")).len(), 1);
        assert_eq!(own_lints(&stripe("[lints]\nworkspace = true")).len(), 0);
        assert_eq!(
            missing_files(&stripe(""), &BTreeSet::new()).len(),
            CONNECTOR_FILES.len()
        );
        assert_eq!(missing_files(&core(""), &BTreeSet::new()).len(), 0);
    }
}
