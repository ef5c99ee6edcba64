//! PostgreSQL servers of a test's own, to stop, kill, start and promote. They are made with PostgreSQL's binaries;
//! where those are missing a test says so and passes, unless `PAYMUX_REQUIRE_SERVICES=1`.
#![allow(dead_code, reason = "each test program uses a part")]

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::sqlx::{self, AssertSqlSafe, ConnectOptions, PgConnection};

/// The binaries, and a folder for servers that ends with this.
#[derive(Debug)]
pub(crate) struct Cluster {
    binaries: PathBuf,
    folder: tempfile::TempDir,
    /// PostgreSQL won't run as root: then it runs as nobody, to whom the folder belongs.
    as_nobody: bool,
}

impl Cluster {
    /// A place for servers, or nothing where the binaries are missing and aren't required.
    pub(crate) fn find() -> Option<Self> {
        let Some(binaries) = binaries() else {
            if std::env::var("PAYMUX_REQUIRE_SERVICES").as_deref() == Ok("1") {
                panic!("PostgreSQL's binaries (initdb, pg_ctl, pg_basebackup) aren't there");
            }
            println!("skipped, without PostgreSQL's binaries (initdb, pg_ctl, pg_basebackup)");
            return None;
        };
        // Below /tmp, since another user may not reach the folders of this one.
        let folder = tempfile::Builder::new()
            .prefix("paymux-cluster.")
            .tempdir_in("/tmp")
            .unwrap();
        let id = Command::new("id").arg("-u").output().unwrap();
        let as_nobody = id.stdout.trim_ascii() == b"0";
        if as_nobody {
            run(Command::new("chown").arg("nobody").arg(folder.path()));
        }
        Some(Self {
            binaries,
            folder,
            as_nobody,
        })
    }

    /// A server with a database `test`, which runs.
    pub(crate) async fn server(&self, name: &str) -> Server<'_> {
        let server = self.place(name, free_port());
        let options = [
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
        ];
        run(self
            .command("initdb")
            .args(options)
            .arg("--no-sync")
            .arg("--pgdata")
            .arg(&server.data));
        server.start();
        server.run_in("postgres", "CREATE DATABASE test").await;
        server
    }

    /// Where a server may be.
    pub(crate) fn place(&self, name: &str, port: u16) -> Server<'_> {
        Server {
            cluster: self,
            data: self.folder.path().join(name),
            port,
        }
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let program = self.binaries.join(Path::new(&program));
        let mut command = if self.as_nobody {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

/// One server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server<'c> {
    cluster: &'c Cluster,
    data: PathBuf,
    port: u16,
}

/// What a standby is called by its primary.
const STANDBY: &str = "standby";

impl<'c> Server<'c> {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/test", self.port)
    }

    pub(crate) fn start(&self) {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={} -c max_connections=60 \
             -c shared_buffers=16MB -c wal_retrieve_retry_interval=100ms",
            self.port,
            self.cluster.folder.path().display()
        );
        let log = self.data.with_extension("log");
        run(self
            .control("start")
            .arg("--options")
            .arg(options)
            .arg("--log")
            .arg(log));
    }

    /// As a crash of the server would: nothing is finished, and the next start recovers.
    pub(crate) fn stop_at_once(&self) {
        run(self.control("stop").args(["--mode", "immediate"]));
    }

    /// Every process of it at once (SIGKILL), as a machine that loses its power.
    pub(crate) fn kill(&self) {
        let Some(postmaster) = self.postmaster() else {
            return;
        };
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let mut all = vec![postmaster];
        all.extend(
            children
                .unwrap_or_default()
                .split_whitespace()
                .map(|pid| pid.parse::<u32>().unwrap()),
        );
        for pid in all {
            // A backend may have ended by itself.
            let _gone = Command::new("kill")
                .args(["-9", &pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }

    fn postmaster(&self) -> Option<u32> {
        let file = std::fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// Makes a standby under this name and on this port, and waits until this server's commits wait for it.
    pub(crate) async fn standby(&self, name: &str, port: u16, commits: &str) -> Server<'c> {
        let standby = self.cluster.place(name, port);
        let _old = std::fs::remove_dir_all(&standby.data);
        let from = format!(
            "host=127.0.0.1 port={} user=postgres application_name={STANDBY}",
            self.port
        );
        run(self
            .cluster
            .command("pg_basebackup")
            .arg("--dbname")
            .arg(from)
            .arg("--pgdata")
            .arg(&standby.data)
            .args([
                "--write-recovery-conf",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
            ]));
        standby.start();
        self.run(&format!("ALTER SYSTEM SET synchronous_commit = '{commits}'"))
            .await;
        self.run(&format!(
            "ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"
        ))
        .await;
        self.run("SELECT pg_reload_conf()").await;
        let mut conn = self.connect("test").await;
        for _ in 0..500 {
            let attached = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            let attached: i64 = sqlx::query_scalar(attached).fetch_one(&mut conn).await.unwrap();
            if attached == 1 {
                return standby;
            }
            tick().await;
        }
        panic!("no standby attached to {}", self.data.display());
    }

    /// Makes a standby the primary.
    pub(crate) fn promote(&self) {
        run(&mut self.control("promote"));
    }

    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}", self.port);
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        options.connect().await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.run_in("test", sql).await;
    }

    async fn run_in(&self, database: &str, sql: &str) {
        let mut conn = self.connect(database).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut conn)
            .await
            .unwrap();
    }

    fn control(&self, what: &str) -> Command {
        let mut command = self.cluster.command("pg_ctl");
        command.arg(what).arg("--wait").arg("--pgdata").arg(&self.data);
        command
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if self.postmaster().is_some() {
            let _stopped = self
                .control("stop")
                .args(["--mode", "immediate"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a server starts in real time")]
pub(crate) async fn tick() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Nobody listens there just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The folder that has them all.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, child) in [("/usr/lib/postgresql", "bin"), ("/usr", "bin")] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path().join(child)));
    }
    let has_all = |folder: &PathBuf| {
        ["initdb", "pg_ctl", "pg_basebackup"]
            .iter()
            .all(|name| folder.join(name).exists())
    };
    folders.into_iter().find(has_all)
}

/// Its output would otherwise keep the server's open, which outlives it: so it goes nowhere.
fn run(command: &mut Command) {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "{command:?}: {status:?}"
    );
}
