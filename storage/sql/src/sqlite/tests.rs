//! Every statement finds its rows by an index: no table is read from end to end, however large it gets.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{Bytes, Tenant, Timestamp};
use uuid::Uuid;

use super::script::{Script, tenant_text};
use super::{SqliteStore, gate, jobs, purge, read};

const TIME: Timestamp = Timestamp::from_secs(1_767_225_600);

struct Plans {
    store: SqliteStore,
    tenant: Tenant,
    key: RowKey,
    _folder: tempfile::TempDir,
}

impl Plans {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: SqliteStore::open(folder.path().join("payments.db"))
                .await
                .unwrap(),
            tenant: Tenant::test("acme").unwrap(),
            key: RowKey::new(RowKind::Intent, Uuid::nil()),
            _folder: folder,
        }
    }

    /// Fails unless every step searches by an index, and one of them by `index`.
    #[track_caller]
    fn searches(&self, plan: &[String], index: &str) {
        let harmless = |step: &String| {
            step.starts_with("SEARCH ")
                || step.starts_with("SCALAR SUBQUERY ")
                || step.starts_with("LIST SUBQUERY ")
                || step.starts_with("USE TEMP B-TREE FOR ")
                || step == "SCAN CONSTANT ROW"
                || step.ends_with("VALUES CLAUSE")
                || step == "CREATE BLOOM FILTER"
        };
        assert!(plan.iter().all(harmless), "a table is scanned: {plan:#?}");
        assert!(
            plan.iter().any(|step| step.contains(index)),
            "not by {index}: {plan:#?}"
        );
    }

    async fn of(&self, script: Script) -> Vec<String> {
        let mut writer = self.store.inner.connections.writer().await.unwrap();
        script.plan(writer.conn().unwrap()).await
    }
}

#[tokio::test]
async fn each_shape_of_a_query_has_its_index() {
    let plans = Plans::new().await;
    let of = |change: fn(&mut Query)| {
        let mut query = Query::of(RowKind::Intent);
        change(&mut query);
        query
    };
    let shapes = [
        (of(|_| {}), "sqlite_autoindex_paymux_rows_1"),
        (
            of(|query| query.after = Some(Uuid::nil())),
            "sqlite_autoindex_paymux_rows_1",
        ),
        (
            of(|query| query.statuses = vec!["created".to_owned()]),
            "paymux_rows_status",
        ),
        (
            of(|query| query.customer = Some("c".to_owned())),
            "paymux_rows_customer",
        ),
        (
            of(|query| query.reference = Some("r".to_owned())),
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
        (of(|query| query.created_from = Some(TIME)), "paymux_rows_created"),
        (
            of(|query| query.created_before = Some(TIME)),
            "paymux_rows_created",
        ),
        (
            of(|query| {
                query.customer = Some("c".to_owned());
                query.statuses = vec!["created".to_owned(), "failed".to_owned()];
            }),
            "paymux_rows_",
        ),
    ];
    for (mut query, index) in shapes {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            query.order = order;
            let plan = plans.of(read::matching(&plans.tenant, &query)).await;
            plans.searches(&plan, index);
        }
    }
}

#[tokio::test]
async fn a_page_by_one_filter_is_not_sorted() {
    let plans = Plans::new().await;
    let mut query = Query::of(RowKind::Intent);
    query.after = Some(Uuid::nil());
    for filter in [0, 1, 2] {
        match filter {
            0 => {}
            1 => query.statuses = vec!["created".to_owned()],
            _ => {
                query.statuses.clear();
                query.customer = Some("c".to_owned());
            }
        }
        let plan = plans.of(read::matching(&plans.tenant, &query)).await;
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
    }
}

#[tokio::test]
async fn reads_by_name_use_the_primary_keys() {
    let plans = Plans::new().await;
    let (tenant, key) = (&plans.tenant, plans.key);
    let other = RowKey::new(RowKind::Refund, Uuid::nil());
    for keys in [vec![key], vec![key, other]] {
        plans.searches(
            &plans.of(read::rows(tenant, &keys)).await,
            "sqlite_autoindex_paymux_rows_1 (tenant=? AND kind=? AND id=?)",
        );
    }
    for scope in Scope::ALL {
        let name = UniqueKey::new(*scope, "name");
        plans.searches(
            &plans.of(read::unique(tenant, &name)).await,
            "(owner=? AND scope=? AND name=?)",
        );
    }
    let name = UniqueKey::new(Scope::Provider, "name");
    plans.searches(
        &plans.of(read::anyones(&name)).await,
        "(owner=? AND scope=? AND name=?)",
    );
    plans.searches(
        &plans.of(read::sequence(tenant, key, 3, 10)).await,
        "(tenant=? AND row_kind=? AND row_id=? AND sequence>?)",
    );
}

#[tokio::test]
async fn jobs_are_found_by_when_they_are_due() {
    let plans = Plans::new().await;
    let request = ClaimRequest {
        queue: Queue::Sync,
        limit: 10,
        lease: Duration::from_secs(60),
    };
    let due = "paymux_jobs_due (queue=? AND due<?)";
    plans.searches(&plans.of(jobs::any_due(Queue::Sync, None)).await, due);
    plans.searches(&plans.of(jobs::count_due(Queue::Sync, None)).await, due);
    plans.searches(&plans.of(jobs::claim(&request, None)).await, due);
    plans.searches(
        &plans.of(jobs::count_scheduled(Queue::Sync)).await,
        "paymux_jobs_due (queue=?)",
    );
    // A scan, but of the index that holds only the rows in question.
    let plan = plans.of(jobs::count_attention()).await;
    assert_eq!(plan, ["SCAN paymux_rows USING INDEX paymux_rows_attention"]);
}

#[tokio::test]
async fn a_commit_asks_by_primary_keys_alone() {
    let plans = Plans::new().await;
    let key = plans.key;
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
    let mut batch = Batch::new(CommitId(Uuid::nil()));
    batch.preconditions = vec![
        Precondition::Absent(key),
        Precondition::Version(key, 1),
        Precondition::Epoch(job, 1),
    ];
    batch.uniques = vec![
        UniqueWrite::Insert(unique("a")),
        UniqueWrite::Replace(unique("b")),
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
    let tenant = tenant_text(&plans.tenant);
    let checks = gate::checks(&batch);
    assert_eq!(checks.len(), 6);
    let plan = plans
        .of(gate::gate("", None, &tenant, batch.commit_id, &checks))
        .await;
    plans.searches(&plan, "PRIMARY KEY (commit_id=? AND tenant=?)");
    plans.searches(
        &plan,
        "PRIMARY KEY (tenant=? AND queue=? AND row_kind=? AND row_id=? AND child=?)",
    );
}

#[tokio::test]
async fn a_purge_finds_what_is_old() {
    let plans = Plans::new().await;
    let retention = Retention {
        events_before: TIME,
        evidence_before: TIME,
        commits_before: TIME,
        uniques_before: TIME,
    };
    let indexes = [
        "paymux_events_at (at<?)",
        "paymux_rows_evidence (created_at<?)",
        "PRIMARY KEY (commit_id<?)",
        "paymux_uniques_expiry (expires_at<?)",
    ];
    for (mut delete, index) in purge::deletes(&retention).into_iter().zip(indexes) {
        delete.bind(10);
        plans.searches(&plans.of(delete).await, index);
    }
}
