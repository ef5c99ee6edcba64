//! An in-process payment processor for paymux, with a ledger of its own and seeded faults.
//!
//! [`Sandbox`] is a whole processor: accounts, payments, captures, refunds, idempotency keys, webhooks, and books
//! that nobody's money passes by unseen. Its [`connector`](Sandbox::connector) is an ordinary connector, which speaks
//! JSON with it as it would with any processor and knows nothing of its books. A host tests against it, and so does
//! paymux: what the engine believes is compared with what [`Sandbox::ledger`] says.
//!
//! ```
//! use paymux_core::TestClock;
//! use paymux_sandbox::{Call, FaultKind, Sandbox, Shape};
//! use std::sync::Arc;
//!
//! let clock = TestClock::new();
//! let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(Shape::handle_first());
//! let (main, second) = (sandbox.connector("main"), sandbox.connector("second"));
//! sandbox.faults().next(Call::Capture, FaultKind::DropAnswer);
//! // … hand the connectors to an orchestrator, and then ask the books:
//! assert!(sandbox.ledger().live_charges("order-1042").len() <= 1);
//! # drop((main, second));
//! ```
//!
//! Everything follows from the seed, the calls and the clock. The clock is tokio's unless [`Sandbox::clock`] sets
//! another; a test's clock moves settlement, expiry and key windows at will. What is due happens when the processor
//! is next called or looked at.
//!
//! # Magic tokens
//!
//! What a payment method names decides what happens: a card's token, a wallet's or bank's name. "First send" means
//! the first of its kind: a second send of the same step is served properly.
//!
//! | token | what happens |
//! |---|---|
//! | `tok_approve` | approved |
//! | `tok_decline_insufficient_funds` | declined, soft |
//! | `tok_decline_do_not_honor` | declined, soft |
//! | `tok_decline_try_again_later` | declined, soft |
//! | `tok_decline_issuer_unavailable` | declined, soft |
//! | `tok_decline_stolen_card` | declined, hard |
//! | `tok_decline_lost_card` | declined, hard |
//! | `tok_decline_expired_card` | declined, hard |
//! | `tok_decline_incorrect_cvc` | declined, hard |
//! | `tok_decline_fraudulent` | declined, hard |
//! | `tok_decline_unmapped` | declined with a word that the connector doesn't know |
//! | `tok_authentication_required` | declined until it is asked with a challenge; then challenged, then approved |
//! | `tok_redirect` | a bank's page, which executes the payment |
//! | `tok_fingerprint_then_challenge` | a fingerprint, then a challenge, then approved |
//! | `tok_pending_then_settled` | accepted; an hour later approved, and settled if it is captured automatically |
//! | `tok_pending_then_declined` | accepted; an hour later declined |
//! | `tok_partially_authorized` | 60 % is held and nothing captured, automatically or not |
//! | `tok_capture_fails_later` | approved; a capture is accepted and fails three days later |
//! | `tok_capture_declined` | approved; a capture is declined |
//! | `tok_charged_answer_lost` | approved; the answer to the first send is lost |
//! | `tok_request_lost` | the first send is lost on its way |
//! | `tok_500_though_charged` | approved; the answer to the first send is a 500 |
//! | `tok_500_not_charged` | the first send is answered with a 500 and does nothing |
//! | `tok_refused` | refused with 422, nothing executed |
//! | `tok_refused_unauthorized` | refused with 401, nothing executed |
//! | `tok_rate_limited` | refused with 429, nothing executed |
//! | `tok_not_sent` | no connection |
//! | `tok_unreadable_answer` | approved; the answer to the first send is cut short |
//! | `tok_amount_altered` | approved; the answer to the first send names one minor unit more, the books don't |
//! | `tok_void_refused` | approved; a void is refused |
//! | `tok_refund_pending` | approved; a refund is accepted and completes an hour later |
//! | `tok_refund_fails` | approved; a refund fails at once |
//! | `tok_refund_fails_later` | approved; a refund completes and fails three days later |
//! | `tok_webhook_duplicate` | approved; each webhook comes twice |
//! | `tok_webhook_reordered` | approved; webhooks that wait together come latest first |
//! | `tok_slow` | approved; the first send takes 30 seconds, and its key is in use meanwhile |
//!
//! A card of another name is declined as `incorrect_number`. Any approved card is challenged first where the caller
//! asks for a challenge. Banks and buy-now-pay-later redirect the payer, vouchers and transfers wait for them, direct
//! debits are pending for an hour, and wallets are approved.
//!
//! [`Sandbox::payer_approves`] and its like are what payers and banks do; [`Faults`] lets any call of any kind fail in
//! any way, in turn or by chance; [`Sandbox::down`] makes the processor unreachable.
//!
//! # Webhooks
//!
//! The processor posts nothing by itself: [`Sandbox::webhooks`] gives what it would post, signed with
//! [`Sandbox::webhook_secret`] in the header `sandbox-signature`, and a test hands each to its webhook endpoint as it
//! likes: late, twice, or not at all. They are hints, unless the shape has
//! [authoritative webhooks](Shape::authoritative_webhooks).
//!
//! # Statuses
//!
//! | status | what it says |
//! |---|---|
//! | 200, 201 | done, pending, or waiting for the payer, as the body says |
//! | 402 | an authoritative no, with its reason |
//! | 400, 401, 404, 422, 429 | with the processor's own `{"error": …}`: nothing was executed, the request is wrong or there are too many |
//! | 409 | the key is in use or was used with another body, or the payment was confirmed before: proves nothing |
//! | 5xx | proves nothing |
//!
//! # Time
//!
//! What is held lapses after 7 days, and a payer's action after 15 minutes. Captured money settles after two days
//! ([`Shape::settles`]).

mod acts;
mod books;
mod config;
mod connector;
mod error;
mod fault;
mod ledger;
mod magic;
mod map;
mod processor;
mod shape;
mod transport;
mod view;
mod webhook;
mod wire;

pub use acts::ActError;
pub use config::Sandbox;
pub use fault::{Call, FaultKind, Faults};
pub use ledger::{CaptureEntry, CaptureState, Fate, Payment, PaymentState, RefundEntry, RefundState, Sent};
pub use magic::Magic;
pub use shape::{Settlement, Shape};
pub use view::{LedgerView, Totals};
