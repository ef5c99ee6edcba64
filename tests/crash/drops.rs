//! Every verb's future, dropped at every await at which it waits for a port.

use paymux::ErrorKind;

use crate::boundary::Boundaries;
use crate::story::Story;
use crate::world::{Believed, Kept, World};

/// What the caller does before recovery has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Waits,
    Repeats,
    /// Waits, while recovery itself crashes once.
    WaitsLonger,
}

struct Ran {
    believed: Believed,
    cut: bool,
    log: Vec<String>,
}

/// One life of a story: the verb is cut at the `k`th boundary, or not at all if it is 0.
async fn live(story: Story, kept: Kept, caller: Caller, k: u32) -> Ran {
    let world = World::new(kept, story.shape(), story.accounts()).await;
    let setting = Box::pin(story.set_up(&world)).await;
    let boundaries = Boundaries::cut_at(k);
    let engine = world.engine(&boundaries).await;
    let done = boundaries
        .run(Box::pin(story.act(&world, &engine, &setting)))
        .await;
    let log = boundaries.log();
    if let Some(reply) = &done {
        reply.as_ref().unwrap();
    }
    match caller {
        Caller::Waits => {}
        Caller::Repeats => {
            let engine = world.engine(&Boundaries::default()).await;
            match Box::pin(story.act(&world, &engine, &setting)).await {
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::OperationInProgress { .. } => {}
                    other => panic!("{story:?}, cut at {k}, repeated: {other:?}, {error}"),
                },
            }
        }
        Caller::WaitsLonger => {
            world.clock.advance(std::time::Duration::from_secs(50));
            let boundaries = Boundaries::cut_at(k * 7 % 31 + 1);
            let engine = world.engine(&boundaries).await;
            let _cut = boundaries.run(Box::pin(engine.recover_due(10))).await;
        }
    }
    Box::pin(world.recover()).await;
    Box::pin(world.audit()).await;
    let again = async || {
        let engine = world.engine(&Boundaries::default()).await;
        let reply = Box::pin(story.act(&world, &engine, &setting)).await;
        Box::pin(world.recover()).await;
        reply.unwrap_or_else(|error| panic!("{story:?}, cut at {k}: {error:?}\n{log:#?}"))
    };
    // The first repeat may be the first to get through; the two after it are replays.
    again().await;
    Box::pin(world.audit()).await;
    let (first, second) = (again().await, again().await);
    assert_eq!(first, second, "{story:?}, cut at {k}: two replays differ");
    Ran {
        believed: Box::pin(world.audit()).await,
        cut: done.is_none(),
        log,
    }
}

async fn at_every_boundary(story: Story, kept: Kept, caller: Caller) {
    let whole = Box::pin(live(story, kept, Caller::Waits, 0)).await;
    assert!(!whole.cut && whole.log.len() >= 4, "{:?}", whole.log);
    for k in 1.. {
        let ran = Box::pin(live(story, kept, caller, k)).await;
        let place = ran.log.last().cloned().unwrap_or_default();
        if !story.may_charge_elsewhere() {
            assert_eq!(ran.believed, whole.believed, "{story:?}, cut at {k}, {place}");
        } else {
            assert_eq!(
                ran.believed.payment, whole.believed.payment,
                "{story:?}, cut at {k}, {place}"
            );
        }
        if !ran.cut {
            assert_eq!(k as usize, whole.log.len() + 1, "every boundary was a crash");
            return;
        }
    }
}

macro_rules! stories {
    ($($name:ident: $story:ident,)*) => {
        mod memory {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    for caller in [Caller::Waits, Caller::Repeats, Caller::WaitsLonger] {
                        at_every_boundary(Story::$story, Kept::InMemory, caller).await;
                    }
                }
            )*
        }

        mod sqlite {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    at_every_boundary(Story::$story, Kept::InSqlite, Caller::Waits).await;
                }
            )*
        }

        #[test]
        fn no_story_is_left_out() {
            assert_eq!([$(Story::$story),*], Story::ALL);
        }
    };
}

stories! {
    automatic: Automatic,
    manual: Manual,
    declined: Declined,
    cascade: Cascade,
    failover: Failover,
    handle_first: HandleFirst,
    handle_first_manual: HandleFirstManual,
    lost_answer: LostAnswer,
    lost_request: LostRequest,
    capture: Capture,
    capture_of_a_part: CapturePart,
    void: Void,
    release: Release,
    refund: Refund,
    refund_of_two_captures: RefundOfTwoCaptures,
    increment: Increment,
    cancel: Cancel,
    submit: Submit,
    complete: Complete,
    return_page: Return,
    webhook: Webhook,
}
