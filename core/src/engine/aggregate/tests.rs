//! Rows and events as this release writes them, kept as files: a later release has to read them. A field that is
//! renamed or removed fails here. `PAYMUX_WRITE_GOLDEN=1` writes the files anew.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::{Aggregate, Loaded, SCHEMA};
use crate::connector::AuthorizeReport;
use crate::intent::tests::scene::{SUPERSEDE, Scene, approval, multicapture};
use crate::intent::{Intent, IntentEvent, IntentStatus, Rest};
use crate::store::Row;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The file of that name; written first, where that is asked for.
fn golden(name: &str, value: &impl serde::Serialize) -> serde_json::Value {
    if std::env::var_os("PAYMUX_WRITE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(value).unwrap() + "\n";
        std::fs::write(path(name), text).unwrap();
    }
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn reads_back<T: DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let kept = golden(name, value);
    assert_eq!(
        &serde_json::from_value::<T>(kept.clone()).unwrap(),
        value,
        "{name}"
    );
    assert_eq!(serde_json::to_value(value).unwrap(), kept, "{name}");
}

fn scenes() -> Vec<(String, Scene)> {
    let mut scenes: Vec<_> = IntentStatus::ALL
        .into_iter()
        .map(|status| (status.as_str().to_owned(), Scene::all_of(status).remove(0)))
        .collect();
    let mut capturing = Scene::authorized();
    let command = capturing.capture(400, Rest::Keep);
    capturing.run(&command).unwrap();
    scenes.push(("capture_unknown".to_owned(), capturing.doubted()));
    let mut twice = Scene::requires_action();
    let superseding = twice.command(SUPERSEDE);
    twice.run(&superseding).unwrap();
    twice.confirm().unwrap();
    twice.answer(AuthorizeReport::Captured(approval()));
    let first = twice.state.attempts[0].id;
    twice.read_of(first, AuthorizeReport::Authorized(multicapture()).into());
    assert!(twice.state.attempts[0].compensation.is_some());
    scenes.push(("duplicate_charge".to_owned(), twice));
    scenes
}

#[test]
fn intents_of_this_release_read_back() {
    for (name, scene) in scenes() {
        reads_back::<Intent>(&format!("intent_{name}.json"), &scene.state);
        reads_back::<Vec<IntentEvent>>(&format!("events_{name}.json"), &scene.events);
    }
}

fn row(scene: &Scene) -> Row {
    let loaded = Loaded {
        state: scene.state.clone(),
        version: 3,
        sequence: scene.events.len() as u64,
    };
    loaded.encode().unwrap()
}

#[test]
fn a_row_reads_back_and_a_newer_one_is_named() {
    let scene = Scene::authorized();
    let row = row(&scene);
    assert_eq!((row.key, row.schema), (scene.state.key(), SCHEMA));
    assert_eq!(Loaded::<Intent>::decode(&row).unwrap().state, scene.state);
    let newer = Row {
        schema: SCHEMA + 1,
        ..row
    };
    let error = Loaded::<Intent>::decode(&newer).unwrap_err();
    assert_eq!(error.code(), "store");
    assert!(
        error.to_string().contains(&format!("the form {}", SCHEMA + 1)),
        "{error}"
    );
}

#[test]
fn a_field_that_no_release_knows_is_refused() {
    let mut body = serde_json::to_value(Scene::authorized().state).unwrap();
    body["surprise"] = true.into();
    assert!(serde_json::from_value::<Intent>(body).is_err());
}
