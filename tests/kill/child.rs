//! The process that is killed: callers who pay, and workers who take up what the killed ones before it left.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use paymux::Orchestrator;
use serde::{Deserialize, Serialize};

use crate::failpoint::{Cuts, Failpoints, StoppingStore, StoppingTransport};
use crate::kept::{Kept, accounts, engine, tenant};
use crate::log::{Fact, Log};
use crate::order::{Caller, serve_again};
use crate::pause;

/// One life of the child, as its parent wants it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) folder: PathBuf,
    pub(crate) kept: Kept,
    /// The processor's address.
    pub(crate) processor: String,
    /// At which failpoint it stops.
    pub(crate) stop_at: Option<u32>,
    /// For how long it is in the middle of what it stops in.
    pub(crate) moment: Duration,
    /// Around one in so many commits its backends are ended.
    pub(crate) cut_every: Option<u32>,
}

/// How many callers begin orders.
const CALLERS: usize = 3;

impl Life {
    pub(crate) async fn live(self) {
        // Its store may be down, or its connection be ended by another child.
        let engine = loop {
            if let Ok(engine) = self.engine().await {
                break engine;
            }
            pause(Duration::from_millis(50)).await;
        };
        let payments = engine.tenant(tenant());
        let earlier = Log::read(&self.folder);
        let log = Log::open(&self.folder);
        let next = AtomicU64::new(earlier.keys().last().map_or(0, |last| last + 1));
        let new_orders = || async {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                log.note(number, Fact::Begun);
                say("begun");
                let caller = Caller {
                    payments: &payments,
                    log: &log,
                    number,
                };
                Box::pin(caller.serve()).await;
            }
        };
        let old_orders = async {
            serve_again(&payments, &log, &earlier).await;
            std::future::pending::<()>().await;
        };
        let callers: [_; CALLERS] = std::array::from_fn(|_| Box::pin(new_orders()));
        let [one, two, three] = callers;
        tokio::select! {
            drained = Box::pin(engine.run_workers(std::future::pending::<()>())) => {
                panic!("the workers stopped: {drained:?}")
            }
            () = one => {}
            () = two => {}
            () = three => {}
            () = Box::pin(old_orders) => {}
        }
    }

    async fn engine(&self) -> Result<Orchestrator, Box<dyn std::error::Error>> {
        let failpoints = Failpoints::new(self.stop_at, self.moment);
        let cuts = match (&self.kept, self.cut_every) {
            (Kept::AtPostgres { url, schema } | Kept::BehindPgBouncer { url, schema }, Some(every)) => {
                Some(Cuts::new(url, schema, every))
            }
            (Kept::InSqlite | Kept::AtPrimary { .. }, _) | (_, None) => None,
        };
        let store = StoppingStore {
            inner: self.kept.open(&self.folder).await?,
            failpoints: failpoints.clone(),
            cuts,
        };
        let accounts = accounts(&self.processor).map(|account| {
            account.with_transport(|inner| {
                Arc::new(StoppingTransport {
                    inner,
                    failpoints: failpoints.clone(),
                })
            })
        });
        Ok(engine(Arc::new(store), accounts).await?)
    }
}

fn say(what: &str) {
    println!("{what}");
    let _said = std::io::stdout().flush();
}
