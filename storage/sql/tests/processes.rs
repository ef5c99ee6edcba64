//! Several processes on one file, and processes that are killed.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod sample;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use paymux_core::store::*;
use paymux_core::{IdSource, SeededIds, Store, Timestamp};
use paymux_sql::SqliteStore;
use tempfile::tempdir;

use crate::sample::Sample;

/// The file that a child of a test works on.
const FILE: &str = "PAYMUX_TEST_FILE";
/// Which of several children it is.
const WHICH: &str = "PAYMUX_TEST_WHICH";

/// Runs one test of this program again, as a child that finds [`FILE`] set.
fn child(test: &str, file: &Path, which: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", test])
        .env(FILE, file)
        .env(WHICH, which.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn in_child() -> Option<(PathBuf, u64)> {
    let file = std::env::var_os(FILE)?.into();
    Some((file, std::env::var(WHICH).unwrap().parse().unwrap()))
}

#[tokio::test]
async fn a_killed_process_leaves_all_that_was_committed_and_no_half_of_the_rest() {
    if let Some((file, _)) = in_child() {
        let store = SqliteStore::open(file).await.unwrap();
        for seed in 0.. {
            let sample = Sample::new(seed);
            store.commit(&sample.tenant, &sample.batch).await.unwrap();
            println!("\ncommitted {seed}");
            std::io::stdout().flush().unwrap();
        }
    }
    for kill_after in [1, 20, 47] {
        let folder = tempdir().unwrap();
        let file = folder.path().join("payments.db");
        let test = "a_killed_process_leaves_all_that_was_committed_and_no_half_of_the_rest";
        let mut writer = child(test, &file, 0);
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut committed = 0;
        for line in lines {
            if line.unwrap().starts_with("committed ") {
                committed += 1;
                if committed == kill_after {
                    writer.kill().unwrap();
                }
            }
        }
        writer.wait().unwrap();
        assert!(committed >= kill_after);

        let store = SqliteStore::open(&file).await.unwrap();
        for seed in 0..committed + 2 {
            let sample = Sample::new(seed);
            let resolved = store
                .resolve(&sample.tenant, sample.batch.commit_id)
                .await
                .unwrap();
            let there = sample.is_there(&store).await;
            assert_eq!(matches!(resolved, Resolved::Committed(_)), there);
            assert!(
                there || seed >= committed,
                "commit {seed} of {committed} was lost"
            );
        }
    }
}

#[tokio::test]
async fn processes_count_together() {
    const EACH: u64 = 25;
    let time = Timestamp::from_secs(1_767_225_600);
    let Sample {
        tenant, key, batch, ..
    } = Sample::new(1);
    let row = batch.puts[0].clone();
    if let Some((file, which)) = in_child() {
        let store = SqliteStore::open(file).await.unwrap();
        let ids = SeededIds::new(which);
        let mut done = 0;
        while done < EACH {
            let seen = store.load(&tenant, &[key]).await.unwrap()[0]
                .as_ref()
                .unwrap()
                .version;
            let mut next = Batch::new(CommitId(ids.uuid(time)));
            next.preconditions.push(Precondition::Version(key, seen));
            next.puts.push(Row {
                version: seen + 1,
                ..row.clone()
            });
            match store.commit(&tenant, &next).await {
                Ok(_) => done += 1,
                Err(CommitError::Conflict(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        return;
    }
    let folder = tempdir().unwrap();
    let file = folder.path().join("payments.db");
    let store = SqliteStore::open(&file).await.unwrap();
    store.commit(&tenant, &batch).await.unwrap();
    let children: Vec<_> = (1..=3)
        .map(|which| child("processes_count_together", &file, which))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    let counted = store.load(&tenant, &[key]).await.unwrap()[0]
        .as_ref()
        .unwrap()
        .version;
    assert_eq!(counted, 1 + 3 * EACH);
}
