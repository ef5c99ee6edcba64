//! Opening a file: what is wrong is said, with its remedy.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::time::Duration;

use paymux_core::store::{Batch, CommitError, CommitId, StoreError, StoreErrorKind};
use paymux_core::{IdSource, SeededIds, Store, Tenant, Timestamp};
use paymux_sql::sqlx::sqlite::SqliteConnectOptions;
use paymux_sql::sqlx::{self, ConnectOptions, Connection, SqliteConnection};
use paymux_sql::{CreateFile, SqliteOptions, SqliteStore};
use tempfile::tempdir;

#[track_caller]
fn refused(opened: Result<SqliteStore, StoreError>, kind: StoreErrorKind, remedy: &str) {
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(remedy), "no `{remedy}` in: {error}");
}

async fn plain(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.unwrap()
}

#[tokio::test]
async fn a_missing_file_is_made_or_refused_as_was_said() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("payments.db");
    let never = SqliteOptions::new(&path).create(CreateFile::Never);
    refused(never.clone().open().await, StoreErrorKind::Missing, "IfMissing");
    assert!(!path.exists(), "a refusal makes no file");
    SqliteStore::open(&path).await.unwrap();
    never.open().await.unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("not there").join("payments.db");
    refused(
        SqliteStore::open(&path).await,
        StoreErrorKind::Missing,
        "not there isn't there: make it",
    );
    refused(
        SqliteStore::open(folder.path()).await,
        StoreErrorKind::Missing,
        "is a folder",
    );
    refused(
        SqliteStore::open("").await,
        StoreErrorKind::Missing,
        "name a file",
    );
}

#[tokio::test]
async fn what_is_not_a_database_is_left_alone() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database, but long enough for a header ".repeat(50);
    std::fs::write(&path, &text).unwrap();
    refused(
        SqliteStore::open(&path).await,
        StoreErrorKind::Corrupt,
        "another path",
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_newer_schema_is_named_and_left_alone() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("payments.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let mut conn = plain(&path).await;
    sqlx::query("INSERT INTO paymux_schema (version, applied_at) VALUES (7, 0)")
        .execute(&mut conn)
        .await
        .unwrap();
    let opened = SqliteStore::open(&path).await;
    refused(opened, StoreErrorKind::NewerSchema, "schema version 7");
    let opened = SqliteStore::open(&path).await;
    refused(opened, StoreErrorKind::NewerSchema, "up to 1");
}

#[tokio::test]
async fn the_hosts_own_tables_may_be_there_first() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("host.db");
    let mut conn = plain(&path).await;
    sqlx::raw_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY); PRAGMA user_version = 99")
        .execute(&mut conn)
        .await
        .unwrap();
    SqliteStore::open(&path).await.unwrap();
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_lock_held_by_others_is_said_and_leaves_nothing_in_doubt() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("payments.db");
    let patience = Duration::from_millis(50);
    let mut holder = plain(&path).await;
    let held = holder.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let options = SqliteOptions::new(&path).busy_timeout(patience);
    refused(
        options.clone().open().await,
        StoreErrorKind::Locked,
        "busy time-out",
    );
    held.rollback().await.unwrap();

    let store = options.open().await.unwrap();
    let held = holder.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let (tenant, batch) = (Tenant::test("acme").unwrap(), empty(1));
    match store.commit(&tenant, &batch).await {
        Err(CommitError::NotCommitted(error)) => assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}"),
        other => panic!("a commit under another's lock gave {other:?}"),
    }
    // A file that is up to date is opened, and read, under the lock.
    let second = SqliteOptions::new(&path)
        .busy_timeout(patience)
        .open()
        .await
        .unwrap();
    assert!(second.load(&tenant, &[]).await.unwrap().is_empty());
    held.rollback().await.unwrap();
    store.commit(&tenant, &batch).await.unwrap();
}

fn empty(seed: u64) -> Batch {
    let id = SeededIds::new(seed).uuid(Timestamp::from_secs(1_767_225_600));
    Batch::new(CommitId(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_make_the_same_file_at_once() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("payments.db");
    let tenant = Tenant::test("acme").unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|seed| {
            let (path, tenant) = (path.clone(), tenant.clone());
            tokio::spawn(async move {
                let store = SqliteStore::open(path).await.unwrap();
                store.commit(&tenant, &empty(seed)).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Root may write everywhere, so a process of root's tests this in a child that isn't root.
#[cfg(unix)]
#[test]
fn a_read_only_file_or_folder_is_named() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    const CHILD: &str = "PAYMUX_TEST_READ_ONLY_FOLDER";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(folder) = std::env::var_os(CHILD) {
        let open = |name: &str| runtime.block_on(SqliteStore::open(Path::new(&folder).join(name)));
        refused(open("new.db"), StoreErrorKind::ReadOnly, "write permission");
        refused(open("read-only.db"), StoreErrorKind::ReadOnly, "write permission");
        refused(open("lone.db"), StoreErrorKind::ReadOnly, "write permission");
        return;
    }
    let folder = tempdir().unwrap();
    for (name, mode) in [("read-only.db", 0o444), ("lone.db", 0o666)] {
        let path = folder.path().join(name);
        runtime.block_on(async { drop(SqliteStore::open(&path).await.unwrap()) });
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    // The stores' threads take their logs away as they end.
    while std::fs::read_dir(folder.path()).unwrap().count() > 2 {
        std::thread::yield_now();
    }
    set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    let probe = std::fs::write(folder.path().join("probe"), "");
    // A copy, since another user may not be able to run what is in this one's folders.
    let runner = tempdir().unwrap();
    set_permissions(runner.path(), Permissions::from_mode(0o755)).unwrap();
    let program = runner.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = std::process::Command::new(program);
    child
        .args(["--exact", "a_read_only_file_or_folder_is_named"])
        .env(CHILD, folder.path());
    child.current_dir("/");
    if probe.is_ok() {
        const NOBODY: u32 = 65534;
        child.uid(NOBODY).gid(NOBODY);
    }
    let output = child.output().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
