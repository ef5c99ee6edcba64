//! Every statement finds its rows by an index: no table is read from end to end, however large it gets.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{Bytes, Tenant, Timestamp};
use sqlx::pool::PoolConnection;
use sqlx::{self, AssertSqlSafe, Postgres};
use uuid::Uuid;

use self::database::Database;
use super::gate::Checks;
use super::script::{Script, tenant_text};
use super::{Engine, PostgresOptions, PostgresStore, Statements, commit, jobs, purge, read};
use crate::columns::Columns;

#[path = "../../tests/database/mod.rs"]
pub(super) mod database;

const TIME: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Tables with so much in them that a scan is never the cheaper way.
struct Plans {
    store: PostgresStore,
    tenant: Tenant,
    key: RowKey,
    _database: Database,
}

impl Plans {
    async fn find() -> Option<Self> {
        let database = Database::find().await?;
        let schema = database.schema();
        let options = PostgresOptions::new(database.url()).schema(&schema);
        let store = options.open().await.unwrap();
        let fill = "SET search_path TO \"SCHEMA\";
            INSERT INTO paymux_rows SELECT 'test/t' || n % 5, (ARRAY['intent', 'refund', 'evidence'])[1 + n % 3],
                gen_random_uuid(), 1, 1, (ARRAY['created', 'failed', 'captured'])[1 + n % 3], 'c' || n % 1000,
                'r' || n, 'intent', gen_random_uuid(), CASE WHEN n % 500 = 0 THEN 'unknown' ELSE 'none' END, NULL,
                n, n, decode(repeat('00', 200), 'hex') FROM generate_series(1, 30000) n;
            INSERT INTO paymux_uniques SELECT CASE WHEN n % 2 = 0 THEN '' ELSE 'test/t' || n % 5 END, 'provider',
                'name-' || n, 'test/t' || n % 5, 'intent', gen_random_uuid(), '', n FROM generate_series(1, 30000) n;
            INSERT INTO paymux_events SELECT 'test/t' || n % 5, 'intent', gen_random_uuid(), 1, gen_random_uuid(), n,
                'intent.created', 1, '' FROM generate_series(1, 30000) n;
            INSERT INTO paymux_jobs SELECT 'test/t' || n % 5, (ARRAY['sync', 'due', 'expiry'])[1 + n % 3], 'intent',
                gen_random_uuid(), gen_random_uuid(), CASE WHEN n % 100 = 0 THEN n ELSE 9000000000000 + n END, 1, n
                FROM generate_series(1, 30000) n;
            INSERT INTO paymux_commits SELECT gen_random_uuid(), 'test/t' || n % 5, n FROM generate_series(1, 30000) n;
            ANALYZE paymux_rows; ANALYZE paymux_uniques; ANALYZE paymux_events; ANALYZE paymux_jobs;
            ANALYZE paymux_commits";
        database.run(&fill.replace("SCHEMA", &schema)).await;
        Some(Self {
            store,
            tenant: Tenant::test("t1").unwrap(),
            key: RowKey::new(RowKind::Intent, Uuid::nil()),
            _database: database,
        })
    }

    /// As it is planned for its values, and as it is planned for any, if it is prepared.
    async fn of(&self, build: impl Fn(&mut Script)) -> [Vec<String>; 2] {
        let connections = &self.store.inner.connections;
        let mut conn: PoolConnection<Postgres> = connections.hosts.pool().acquire().await.unwrap();
        let script = || {
            let mut script = Script::new(&connections.schema, Statements::Prepared);
            build(&mut script);
            script
        };
        [
            script().plan(&mut conn).await,
            script().plan_of_any(&mut conn).await,
        ]
    }

    /// Fails unless each plan searches by an index, and one of those is `index`.
    async fn searches(&self, what: &str, index: &str, build: impl Fn(&mut Script)) -> [Vec<String>; 2] {
        let plans = self.of(build).await;
        for plan in &plans {
            let scans = |step: &&String| step.contains("Seq Scan") && !step.contains("paymux_horizon");
            assert_eq!(plan.iter().find(scans), None, "{what} scans a table: {plan:#?}");
            assert!(
                plan.iter().any(|step| step.contains(index)),
                "{what}, not by {index}: {plan:#?}"
            );
        }
        plans
    }
}

#[tokio::test]
async fn each_shape_of_a_query_has_its_index() {
    let Some(plans) = Plans::find().await else { return };
    let of = |change: fn(&mut Query)| {
        let mut query = Query::of(RowKind::Intent);
        query.limit = 20;
        change(&mut query);
        query
    };
    let shapes = [
        (of(|_| {}), "paymux_rows_pkey"),
        (
            of(|query| query.after = Some(Uuid::from_u128(1 << 127))),
            "paymux_rows_pkey",
        ),
        (
            of(|query| query.statuses = vec!["created".to_owned()]),
            "paymux_rows_",
        ),
        (
            of(|query| query.customer = Some("c7".to_owned())),
            "paymux_rows_customer",
        ),
        (
            of(|query| query.reference = Some("r7".to_owned())),
            "paymux_rows_reference",
        ),
        (
            of(|query| query.parent = Some(RowKey::new(RowKind::Intent, Uuid::nil()))),
            "paymux_rows_parent",
        ),
        (
            of(|query| query.attention = vec![Attention::Unknown]),
            "paymux_rows_attention",
        ),
        (
            of(|query| query.attention = vec![Attention::Unknown, Attention::Review]),
            "paymux_rows_attention",
        ),
        (
            of(|query| {
                query.created_from = Some(Timestamp::from_millis(100));
                query.created_before = Some(Timestamp::from_millis(200));
            }),
            "paymux_rows_",
        ),
        (
            of(|query| {
                query.customer = Some("c7".to_owned());
                query.statuses = vec!["created".to_owned(), "failed".to_owned()];
            }),
            "paymux_rows_customer",
        ),
    ];
    for (mut query, index) in shapes {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            query.order = order;
            let what = format!("{query:?}");
            plans
                .searches(&what, index, |script| {
                    read::matching(script, &plans.tenant, &query)
                })
                .await;
        }
    }
}

#[tokio::test]
async fn a_page_by_one_filter_is_not_sorted() {
    let Some(plans) = Plans::find().await else { return };
    let mut query = Query::of(RowKind::Intent);
    query.after = Some(Uuid::from_u128(1 << 127));
    for filter in [0, 1] {
        if filter == 1 {
            query.statuses = vec!["created".to_owned()];
        }
        for plan in plans
            .of(|script| read::matching(script, &plans.tenant, &query))
            .await
        {
            assert!(!plan.iter().any(|step| step.contains("Sort")), "{plan:#?}");
        }
    }
}

#[tokio::test]
async fn reads_by_name_use_the_primary_keys() {
    let Some(plans) = Plans::find().await else { return };
    let (tenant, key) = (&plans.tenant, plans.key);
    let other = RowKey::new(RowKind::Refund, Uuid::nil());
    for keys in [vec![key], vec![key, other]] {
        let rows = |script: &mut Script| read::rows(script, tenant, &keys);
        plans.searches("load", "paymux_rows_pkey", rows).await;
    }
    for scope in Scope::ALL {
        let name = UniqueKey::new(*scope, "name");
        let unique = |script: &mut Script| read::unique(script, tenant, &name);
        plans.searches("lookup", "paymux_uniques_pkey", unique).await;
    }
    let name = UniqueKey::new(Scope::Provider, "name");
    let anyones = |script: &mut Script| read::anyones(script, &name);
    plans.searches("locate", "paymux_uniques_pkey", anyones).await;
    let events = |script: &mut Script| read::sequence(script, tenant, key, 3, 10);
    plans.searches("events", "paymux_events_pkey", events).await;
}

#[tokio::test]
async fn jobs_are_found_by_when_they_are_due() {
    let Some(plans) = Plans::find().await else { return };
    let request = ClaimRequest {
        queue: Queue::Sync,
        limit: 10,
        lease: Duration::from_secs(60),
    };
    for engine in [Engine::Postgres, Engine::Compatible] {
        let claim = |script: &mut Script| jobs::claim(script, &request, None, engine);
        let found = plans.searches("claim_due", "paymux_jobs_due", claim).await;
        for plan in &found {
            let by_name = plan.iter().any(|step| step.contains("paymux_jobs_pkey"));
            assert!(by_name, "the jobs that are due are looked for again: {plan:#?}");
            assert!(
                !plan.iter().any(|step| step.contains("Sort")),
                "all that is due is sorted: {plan:#?}"
            );
        }
    }
    let due = |script: &mut Script| jobs::count_due(script, Queue::Sync, None);
    plans.searches("backlog, due", "paymux_jobs_due", due).await;
    // The rows that need attention, and no others.
    plans
        .searches(
            "backlog, attention",
            "paymux_rows_attention",
            jobs::count_attention,
        )
        .await;
}

#[tokio::test]
async fn a_commit_finds_all_by_primary_keys() {
    let Some(plans) = Plans::find().await else { return };
    let batch = of_everything(plans.key);
    let tenant = tenant_text(&plans.tenant);
    let checks = Checks::of(&batch);
    let commit = |script: &mut Script| commit::statement(script, None, &tenant, &batch, &checks);
    for table in ["rows", "jobs", "uniques", "events", "commits"] {
        plans
            .searches("commit", &format!("paymux_{table}_pkey"), commit)
            .await;
    }
    let fence = |script: &mut Script| commit::fence(script, &tenant, batch.commit_id);
    plans.searches("resolve", "paymux_commits_pkey", fence).await;
}

/// The columns of each primary key.
const KEYS: [(&str, &[&str]); 4] = [
    (
        "paymux_jobs_pkey",
        &["tenant", "queue", "row_kind", "row_id", "child"],
    ),
    ("paymux_uniques_pkey", &["owner", "scope", "name"]),
    (
        "paymux_events_pkey",
        &["tenant", "row_kind", "row_id", "sequence"],
    ),
    ("paymux_commits_pkey", &["commit_id", "tenant"]),
];

/// PostgreSQL keeps a plan that it made when the tables were empty, and thinks of any search as of a cheap one then.
#[tokio::test]
async fn a_commit_planned_on_empty_tables_reads_no_more_than_it_needs() {
    let Some(database) = Database::find().await else {
        return;
    };
    let options = PostgresOptions::new(database.url()).schema(database.schema());
    let plans = Plans {
        store: options.open().await.unwrap(),
        tenant: Tenant::test("t1").unwrap(),
        key: RowKey::new(RowKind::Intent, Uuid::nil()),
        _database: database,
    };
    let batch = of_everything(plans.key);
    let tenant = tenant_text(&plans.tenant);
    let checks = Checks::of(&batch);
    let commit = |script: &mut Script| commit::statement(script, None, &tenant, &batch, &checks);
    for plan in plans.searches("commit", "paymux_jobs_pkey", commit).await {
        for (index, columns) in KEYS {
            let search = format!("using {index} on");
            let mut found = 0;
            for step in plan.windows(2).filter(|steps| steps[0].contains(&search)) {
                found += 1;
                let column = |column: &&&str| !step[1].contains(&format!("({column} = "));
                assert_eq!(columns.iter().find(column), None, "{index}: {plan:#?}");
            }
            assert!(found > 0, "{index}: {plan:#?}");
        }
    }
}

/// A batch that asks for and writes one of everything, some of it twice.
fn of_everything(key: RowKey) -> Batch {
    let other = RowKey::new(RowKind::Refund, Uuid::nil());
    let job = JobKey {
        queue: Queue::Sync,
        row: key,
        child: Uuid::nil(),
    };
    let unique = |name: &str| Unique {
        key: UniqueKey::new(Scope::Provider, name),
        target: None,
        bytes: Bytes::new(),
        expires_at: None,
    };
    let row = |key, version| Row {
        key,
        version,
        schema: 1,
        index: Index {
            status: String::new(),
            customer: None,
            reference: None,
            parent: None,
            attention: Attention::None,
            attention_since: None,
            created_at: TIME,
            updated_at: TIME,
        },
        body: Bytes::new(),
    };
    let mut batch = Batch::new(CommitId(Uuid::nil()));
    batch.preconditions = vec![
        Precondition::Absent(key),
        Precondition::Version(other, 1),
        Precondition::Epoch(job, 1),
    ];
    batch.puts = vec![row(key, 1), row(other, 2)];
    batch.uniques = vec![
        UniqueWrite::Insert(unique("a")),
        UniqueWrite::Replace(unique("b")),
        UniqueWrite::Renew {
            unique: unique("d"),
            expired_by: TIME,
        },
        UniqueWrite::Delete(unique("c").key),
    ];
    batch.events = vec![StoredEvent {
        id: Uuid::nil(),
        row: key,
        sequence: 1,
        at: TIME,
        kind: String::new(),
        schema: 1,
        body: Bytes::new(),
    }];
    batch.jobs = vec![
        JobWrite::Reschedule {
            key: job,
            due: Due::At(TIME),
        },
        JobWrite::Done(JobKey { row: other, ..job }),
    ];
    batch
}

#[tokio::test]
async fn a_purge_finds_what_is_old() {
    let Some(plans) = Plans::find().await else { return };
    let old = Timestamp::from_millis(50);
    let retention = Retention {
        events_before: old,
        evidence_before: old,
        commits_before: old,
        uniques_before: old,
    };
    let indexes = [
        "paymux_events_at",
        "paymux_rows_evidence",
        "paymux_commits_pkey",
        "paymux_uniques_expiry",
    ];
    for (delete, index) in purge::DELETES.into_iter().zip(indexes) {
        let script = |script: &mut Script| delete(script, &retention, 10);
        plans.searches("purge", index, script).await;
    }
}

#[tokio::test]
async fn text_in_a_statement_is_never_read_as_sql() {
    let Some(plans) = Plans::find().await else { return };
    for text in [
        "'; DROP TABLE x; --",
        "\\'",
        "é漢🦀",
        "$1",
        "E'\\x'",
        "a'b\"c",
        "",
    ] {
        let mut conn = plans
            .store
            .inner
            .connections
            .hosts
            .pool()
            .acquire()
            .await
            .unwrap();
        for setting in ["on", "off"] {
            let set = format!("SET standard_conforming_strings = {setting}");
            sqlx::raw_sql(AssertSqlSafe(set))
                .execute(&mut *conn)
                .await
                .unwrap();
            let mut again = Script::new(&plans.store.inner.connections.schema, Statements::Inline);
            again
                .push("SELECT ")
                .text(text)
                .push(", ")
                .texts(vec![Some(text.to_owned()), None]);
            let rows = again.all(&mut conn).await.unwrap();
            let mut columns = Columns::of(&rows[0]);
            assert_eq!(columns.next::<String>().unwrap(), text);
            let list: Vec<Option<String>> = columns.next().unwrap();
            assert_eq!(list, [Some(text.to_owned()), None]);
        }
    }
}

#[test]
fn a_url_lists_hosts_between_its_login_and_its_database() {
    let each = super::open::each_host;
    assert_eq!(
        each("postgres://shop:a,b@one:5432,two:5433/shop?x=1,2"),
        [
            "postgres://shop:a,b@one:5432/shop?x=1,2",
            "postgres://shop:a,b@two:5433/shop?x=1,2"
        ]
    );
    for one in [
        "postgres://one/shop",
        "postgres:///shop?host=/tmp",
        "postgres://",
        "not a url",
    ] {
        assert_eq!(each(one), [one]);
    }
}
