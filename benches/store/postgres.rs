//! PostgreSQL beside bare programs and pgbench; one instance beside two; claims; growing tables.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use paymux::prelude::*;
use paymux::sqlx::{self, AssertSqlSafe, Connection, PgConnection};
use paymux::store::{Batch, ClaimRequest, JobWrite, UniqueWrite};
use paymux::{Bytes, PostgresOptions, Queue, Store};
use uuid::Uuid;

use super::database::{Database, run};
use super::instances::instances;
use super::payment::Payment;
use super::table::{Side, Table, spread};
use super::{SLICES, commit};

/// Payments in a slice, and what pgbench does in one.
pub(crate) const PAYMENTS: usize = 20;

/// Payments in the tables before anything is measured, since PostgreSQL plans otherwise for empty ones.
const FEWEST: u64 = 10_000;

pub(crate) async fn measure(payment: &Payment) {
    let Some(database) = Database::find().await else {
        return;
    };
    let schema = database.schema();
    let store = open(&database, &schema).await;
    let bare = Bare::new(&database).await;
    let bare_schema = bare.schema.clone();
    for schema in [&schema, &bare_schema] {
        fill(&database, schema, FEWEST).await;
    }
    let pgbench = Pgbench::find(&database, &bare, payment);
    beside_bare(payment, &store, bare, pgbench.as_ref()).await;
    instances(payment, &database, [&schema, &bare_schema], pgbench.as_ref());
    growing(payment, &database, &schema, &store).await;
    claims(&database, &schema, &store).await;
}

pub(crate) async fn open(database: &Database, schema: &str) -> PostgresStore {
    let options = PostgresOptions::new(database.url()).schema(schema);
    options.open().await.unwrap()
}

async fn beside_bare(payment: &Payment, store: &PostgresStore, mut bare: Bare, pgbench: Option<&Pgbench>) {
    let mut table = Table::new();
    for slice in 0..SLICES {
        let ours = commit(store, payment, slice, PAYMENTS).await;
        table.add("PostgreSQL", Side::Paymux, ours);
        for (side, statements) in [
            (Side::BareStatement, Statements::One),
            (Side::BareTransaction, Statements::Many),
        ] {
            let mut times = Vec::new();
            for _ in 0..PAYMENTS {
                for batch in payment.again() {
                    let started = Instant::now();
                    bare.commit(&batch, statements).await;
                    times.push(started.elapsed());
                }
            }
            table.add("PostgreSQL", side, times);
        }
        if let Some(pgbench) = pgbench {
            table.add("PostgreSQL", Side::Pgbench, pgbench.commits());
        }
    }
    table.print();
}

/// The commits of a payment while the tables grow to what `PAYMUX_BENCH_ROWS` says.
async fn growing(payment: &Payment, database: &Database, schema: &str, store: &PostgresStore) {
    let most = std::env::var("PAYMUX_BENCH_ROWS").map_or(100_000, |rows| rows.parse().unwrap());
    println!("| payments in the tables | a payment's two commits, µs | |\n|---|---|---|");
    let (mut rows, mut first) = (FEWEST, None);
    loop {
        fill(database, schema, rows).await;
        let mut times = Vec::new();
        for slice in 0..SLICES {
            let slice = commit(store, payment, slice, PAYMENTS).await;
            times.push((slice.iter().sum::<Duration>() / PAYMENTS as u32).as_micros());
        }
        let figures = spread(&mut times);
        let median = times[times.len() / 2];
        let bar = 20 * median / *first.get_or_insert(median);
        println!("| {rows} | {figures} | {} |", "▇".repeat(bar as usize));
        if rows >= most {
            break;
        }
        rows = match rows.to_string().starts_with('1') {
            true => rows * 5,
            false => rows * 2,
        }
        .min(most);
    }
    println!();
}

/// Adds rows like a payment's until there are that many payments.
async fn fill(database: &Database, schema: &str, payments: u64) {
    let mut conn = database.connect().await;
    let text = FILL
        .replace("{schema}", schema)
        .replace("{payments}", &payments.to_string());
    run(&mut conn, &text).await;
}

/// Of 50 merchants. Identifiers grow with time, as ours do.
const FILL: &str = r#"
SET synchronous_commit = off;
CREATE TEMPORARY TABLE filling AS
    SELECT 'test/merchant-' || number % 50 AS tenant, number,
           CAST(lpad(to_hex(1700000000000 + number), 12, '0') || '7' || substr(md5(CAST(number AS TEXT)), 1, 3)
                || '8' || substr(md5(CAST(number AS TEXT)), 4, 15) AS UUID) AS id
    FROM generate_series((SELECT count(*) FROM "{schema}".paymux_rows) + 1, {payments}) AS number;
INSERT INTO "{schema}".paymux_rows
    SELECT tenant, 'intent', id, 3, 1, 'succeeded', 'customer-' || number % 1000, 'order-' || number, NULL, NULL, 'none',
           NULL, 1700000000000 + number, 1700000000000 + number, decode(repeat('5a', 900), 'hex')
    FROM filling;
INSERT INTO "{schema}".paymux_uniques
    SELECT tenant, 'idempotency', 'create/' || id, tenant, 'intent', id, decode(repeat('5a', 100), 'hex'), NULL
    FROM filling;
INSERT INTO "{schema}".paymux_events
    SELECT tenant, 'intent', id, sequence, gen_random_uuid(), 1700000000000 + number, 'intent.created', 1,
           decode(repeat('5a', 120), 'hex')
    FROM filling, generate_series(1, 6) AS sequence;
INSERT INTO "{schema}".paymux_commits
    SELECT gen_random_uuid(), tenant, 1700000000000 + number FROM filling, generate_series(1, 2);
DROP TABLE filling;
ANALYZE "{schema}".paymux_rows, "{schema}".paymux_uniques, "{schema}".paymux_events, "{schema}".paymux_commits;
"#;

/// A claim of 100 due jobs where a million wait.
async fn claims(database: &Database, schema: &str, store: &PostgresStore) {
    const JOBS: u32 = 1_000_000;
    let mut conn = database.connect().await;
    let text = format!(
        "SET synchronous_commit = off; INSERT INTO \"{schema}\".paymux_jobs \
         SELECT 'test/merchant-' || number % 50, 'sync', 'intent', gen_random_uuid(), \
         '00000000-0000-0000-0000-000000000000', 1700000000000 + number, 1, 1700000000000 + number \
         FROM generate_series(1, {JOBS}) AS number; ANALYZE \"{schema}\".paymux_jobs"
    );
    run(&mut conn, &text).await;
    let request = ClaimRequest {
        queue: Queue::Sync,
        limit: 100,
        lease: Duration::from_secs(3_600),
    };
    let mut times = Vec::new();
    for _ in 0..101 {
        let started = Instant::now();
        let claimed = store.claim_due(&request).await.unwrap();
        times.push(started.elapsed().as_micros());
        assert_eq!(claimed.len(), 100);
    }
    println!("A claim of 100 of {JOBS} due jobs: {} µs.", spread(&mut times));
}

/// How a bare program sends a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Statements {
    One,
    Many,
}

/// A program that has nothing to check and nothing to remember, over tables like the store's.
pub(crate) struct Bare {
    conn: PgConnection,
    schema: String,
}

impl Bare {
    async fn new(database: &Database) -> Self {
        let schema = database.schema();
        drop(open(database, &schema).await);
        Self::at(database, &schema).await
    }

    pub(crate) async fn at(database: &Database, schema: &str) -> Self {
        Self {
            conn: database.connect().await,
            schema: schema.to_owned(),
        }
    }

    pub(crate) async fn commit(&mut self, batch: &Batch, statements: Statements) {
        let parts = parts(batch);
        match statements {
            Statements::One => {
                let (mut text, mut from) = (String::from("WITH "), 1);
                for (index, part) in parts.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    text += &format!("{comma}part{index} AS ({})", part.text(&self.schema, from));
                    from += part.values.len();
                }
                text += " SELECT 1";
                let query = sqlx::query(AssertSqlSafe(text));
                let query = parts.into_iter().flat_map(|part| part.values).fold(query, bind);
                query.execute(&mut self.conn).await.unwrap();
            }
            Statements::Many => {
                let mut transaction = self.conn.begin().await.unwrap();
                for part in parts {
                    let query = sqlx::query(AssertSqlSafe(part.text(&self.schema, 1)));
                    let query = part.values.into_iter().fold(query, bind);
                    query.execute(&mut *transaction).await.unwrap();
                }
                transaction.commit().await.unwrap();
            }
        }
    }
}

/// What is written to one table. Each `?` stands for a value, and `{}.` for the schema.
struct Part {
    text: &'static str,
    values: Vec<Value>,
}

impl Part {
    fn text(&self, schema: &str, from: usize) -> String {
        let mut text = String::new();
        for (index, piece) in self
            .text
            .replace("{}.", &format!("\"{schema}\"."))
            .split('?')
            .enumerate()
        {
            if index > 0 {
                text += &format!("${}", from + index - 1);
            }
            text += piece;
        }
        text
    }
}

enum Value {
    Texts(Vec<String>),
    Ids(Vec<Uuid>),
    Numbers(Vec<i64>),
    Bodies(Vec<Vec<u8>>),
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind<'q>(query: Query<'q>, value: Value) -> Query<'q> {
    match value {
        Value::Texts(values) => query.bind(values),
        Value::Ids(values) => query.bind(values),
        Value::Numbers(values) => query.bind(values),
        Value::Bodies(values) => query.bind(values),
    }
}

const PUT_ROWS: &str = "INSERT INTO {}.paymux_rows SELECT 'test/bare', kind, id, version, 1, status, NULL, 'order-1042', \
    NULL, NULL, 'none', NULL, at, at, body FROM unnest(?, ?, ?, ?, ?, ?) AS new (kind, id, version, status, at, body) \
    ON CONFLICT (tenant, kind, id) DO UPDATE SET version = excluded.version, status = excluded.status, \
    updated_at = excluded.updated_at, body = excluded.body";
const PUT_UNIQUES: &str = "INSERT INTO {}.paymux_uniques SELECT 'test/bare', scope, name, 'test/bare', NULL, NULL, bytes, \
    NULL FROM unnest(?, ?, ?) AS new (scope, name, bytes) \
    ON CONFLICT (owner, scope, name) DO UPDATE SET bytes = excluded.bytes";
const PUT_EVENTS: &str = "INSERT INTO {}.paymux_events SELECT 'test/bare', row_kind, row_id, sequence, id, at, kind, 1, body \
    FROM unnest(?, ?, ?, ?, ?, ?, ?) AS new (row_kind, row_id, sequence, id, at, kind, body)";
const PUT_JOBS: &str = "INSERT INTO {}.paymux_jobs SELECT 'test/bare', queue, row_kind, row_id, child, 0, 1, 0 \
    FROM unnest(?, ?, ?, ?) AS new (queue, row_kind, row_id, child) \
    ON CONFLICT (tenant, queue, row_kind, row_id, child) DO UPDATE SET due = excluded.due";
const END_JOBS: &str = "DELETE FROM {}.paymux_jobs AS old USING unnest(?, ?, ?, ?) AS done (queue, row_kind, row_id, child) \
    WHERE old.tenant = 'test/bare' AND old.queue = done.queue AND old.row_kind = done.row_kind \
    AND old.row_id = done.row_id AND old.child = done.child";
const PUT_COMMIT: &str = "INSERT INTO {}.paymux_commits SELECT id, 'test/bare', 0 FROM unnest(?) AS new (id)";

/// A batch, table by table.
fn parts(batch: &Batch) -> Vec<Part> {
    let number = |number: u64| i64::try_from(number).unwrap();
    let (rows, events) = (&batch.puts, &batch.events);
    let uniques: Vec<_> = batch
        .uniques
        .iter()
        .map(|write| match write {
            UniqueWrite::Insert(unique)
            | UniqueWrite::Replace(unique)
            | UniqueWrite::Renew { unique, .. } => unique,
            UniqueWrite::Delete(key) => panic!("a payment deletes no unique: {key:?}"),
        })
        .collect();
    let (ends, puts): (Vec<_>, Vec<_>) = batch
        .jobs
        .iter()
        .partition(|write| matches!(write, JobWrite::Done(_)));
    let jobs = |text, jobs: Vec<&JobWrite>| Part {
        text,
        values: vec![
            Value::Texts(texts(&jobs, |job| job.key().queue.as_str())),
            Value::Texts(texts(&jobs, |job| job.key().row.kind.as_str())),
            Value::Ids(jobs.iter().map(|job| job.key().row.id).collect()),
            Value::Ids(jobs.iter().map(|job| job.key().child).collect()),
        ],
    };
    let mut parts = vec![
        Part {
            text: PUT_ROWS,
            values: vec![
                Value::Texts(texts(rows, |row| row.key.kind.as_str())),
                Value::Ids(rows.iter().map(|row| row.key.id).collect()),
                Value::Numbers(rows.iter().map(|row| number(row.version)).collect()),
                Value::Texts(texts(rows, |row| row.index.status.as_str())),
                Value::Numbers(rows.iter().map(|row| row.index.created_at.as_millis()).collect()),
                Value::Bodies(bodies(rows, |row| &row.body)),
            ],
        },
        Part {
            text: PUT_EVENTS,
            values: vec![
                Value::Texts(texts(events, |event| event.row.kind.as_str())),
                Value::Ids(events.iter().map(|event| event.row.id).collect()),
                Value::Numbers(events.iter().map(|event| number(event.sequence)).collect()),
                Value::Ids(events.iter().map(|event| event.id).collect()),
                Value::Numbers(events.iter().map(|event| event.at.as_millis()).collect()),
                Value::Texts(texts(events, |event| event.kind.as_str())),
                Value::Bodies(bodies(events, |event| &event.body)),
            ],
        },
        Part {
            text: PUT_COMMIT,
            values: vec![Value::Ids(vec![batch.commit_id.0])],
        },
    ];
    if !uniques.is_empty() {
        parts.push(Part {
            text: PUT_UNIQUES,
            values: vec![
                Value::Texts(texts(&uniques, |unique| unique.key.scope.as_str())),
                Value::Texts(texts(&uniques, |unique| unique.key.name.as_str())),
                Value::Bodies(bodies(&uniques, |unique| &unique.bytes)),
            ],
        });
    }
    if !puts.is_empty() {
        parts.push(jobs(PUT_JOBS, puts));
    }
    if !ends.is_empty() {
        parts.push(jobs(END_JOBS, ends));
    }
    parts
}

fn texts<T>(all: &[T], one: impl Fn(&T) -> &str) -> Vec<String> {
    all.iter().map(|of| one(of).to_owned()).collect()
}

fn bodies<T>(all: &[T], one: impl Fn(&T) -> &Bytes) -> Vec<Vec<u8>> {
    all.iter().map(|of| one(of).to_vec()).collect()
}

/// PostgreSQL's own tool, with a script that writes what a payment writes.
pub(crate) struct Pgbench {
    folder: tempfile::TempDir,
    url: String,
    runs: std::cell::Cell<u64>,
}

impl Pgbench {
    fn find(database: &Database, bare: &Bare, payment: &Payment) -> Option<Self> {
        let found = Command::new("pgbench")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|status| status.success()) {
            println!("left out: pgbench, which isn't on the path\n");
            return None;
        }
        let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        let script = script(&payment.again()).replace("{}.", &format!("\"{}\".", bare.schema));
        std::fs::write(folder.path().join("payment.sql"), script).unwrap();
        Some(Self {
            folder,
            url: database.url().to_owned(),
            runs: std::cell::Cell::new(0),
        })
    }

    /// Runs it, and returns what it prints.
    fn run(&self, more: &[&str]) -> String {
        let run = self.runs.replace(self.runs.get() + 1);
        let output = Command::new("pgbench")
            .current_dir(self.folder.path())
            .args(["--no-vacuum", "--protocol=prepared", "--file=payment.sql"])
            .args(["--define=n=0", &format!("--define=base={}", run << 32)])
            .args(more)
            .arg(&self.url)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// A slice. It tells how long a payment took: each of its commits is taken for a half of that.
    fn commits(&self) -> Vec<Duration> {
        self.run(&[
            &format!("--transactions={PAYMENTS}"),
            "--log",
            "--log-prefix=slice",
        ]);
        let log = |entry: &PathBuf| entry.file_name().unwrap().to_string_lossy().starts_with("slice");
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let path = entries.map(|entry| entry.unwrap().path()).find(log).unwrap();
        let lines = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let took = |line: &str| line.split(' ').nth(2).unwrap().parse().unwrap();
        lines
            .lines()
            .map(|line| Duration::from_micros(took(line)) / 2)
            .flat_map(|half| [half, half])
            .collect()
    }

    pub(crate) fn payments_in_a_second(&self, clients: u32) -> u128 {
        let printed = self.run(&[
            "--time=1",
            &format!("--client={clients}"),
            &format!("--jobs={clients}"),
        ]);
        let rate = printed
            .lines()
            .find_map(|line| line.strip_prefix("tps = "))
            .unwrap();
        rate.split(['.', ' ']).next().unwrap().parse().unwrap()
    }
}

/// The two transactions of a payment, statement by statement, with as many bytes.
fn script(batches: &[Batch]) -> String {
    const ID: &str = "CAST(lpad(to_hex(CAST(:id AS BIGINT)), 32, '0') AS UUID)";
    let body = |bytes: usize| format!("decode(repeat('5a', {bytes}), 'hex')");
    let mut script = String::from("\\set n :n + 1\n\\set id :base + :n * 64 + :client_id\n");
    for (number, batch) in batches.iter().enumerate() {
        script += "BEGIN;\n";
        for row in &batch.puts {
            let kind = row.key.kind.as_str();
            script += &format!(
                "INSERT INTO {{}}.paymux_rows VALUES ('test/pgbench', '{kind}', {ID}, {}, 1, '{}', NULL, 'order-1042', \
                 NULL, NULL, 'none', NULL, 0, 0, {}) ON CONFLICT (tenant, kind, id) DO UPDATE \
                 SET version = excluded.version, status = excluded.status, body = excluded.body;\n",
                row.version,
                row.index.status,
                body(row.body.len())
            );
        }
        for (index, unique) in batch.uniques.iter().enumerate() {
            let bytes = match unique {
                UniqueWrite::Insert(unique)
                | UniqueWrite::Replace(unique)
                | UniqueWrite::Renew { unique, .. } => unique.bytes.len(),
                UniqueWrite::Delete(_) => 0,
            };
            let scope = unique.key().scope.as_str();
            script += &format!(
                "INSERT INTO {{}}.paymux_uniques VALUES ('test/pgbench', '{scope}', {index} || CAST({ID} AS TEXT), \
                 'test/pgbench', NULL, NULL, {}, NULL) ON CONFLICT (owner, scope, name) DO UPDATE \
                 SET bytes = excluded.bytes;\n",
                body(bytes)
            );
        }
        for event in &batch.events {
            script += &format!(
                "INSERT INTO {{}}.paymux_events VALUES ('test/pgbench', '{}', {ID}, {}, gen_random_uuid(), 0, '{}', 1, {});\n",
                event.row.kind.as_str(),
                event.sequence,
                event.kind,
                body(event.body.len())
            );
        }
        for job in &batch.jobs {
            let (queue, kind) = (job.key().queue.as_str(), job.key().row.kind.as_str());
            script += &match job {
                JobWrite::Put { .. } | JobWrite::Reschedule { .. } => format!(
                    "INSERT INTO {{}}.paymux_jobs VALUES ('test/pgbench', '{queue}', '{kind}', {ID}, {ID}, 0, 1, 0) \
                     ON CONFLICT (tenant, queue, row_kind, row_id, child) DO UPDATE SET due = excluded.due;\n"
                ),
                JobWrite::Done(_) => format!(
                    "DELETE FROM {{}}.paymux_jobs WHERE tenant = 'test/pgbench' AND queue = '{queue}' \
                     AND row_kind = '{kind}' AND row_id = {ID} AND child = {ID};\n"
                ),
            };
        }
        script += &format!(
            "INSERT INTO {{}}.paymux_commits VALUES (CAST(lpad(to_hex(CAST(:id AS BIGINT)), 31, '0') || \
             '{number}' AS UUID), 'test/pgbench', 0);\nCOMMIT;\n"
        );
    }
    script
}
