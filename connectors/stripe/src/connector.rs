//! All that is offered, each call with its effect and its key.

use paymux_core::connector::prelude::*;

use crate::config::{Stripe, Wanted};
use crate::wire;

/// Stripe keeps the first result of a key for at least 24 hours, a 500 included
/// (docs.stripe.com/api/idempotent_requests).
const KEY: Key = Key::Header {
    window: Duration::from_secs(24 * 3600),
    replays_errors: ReplaysErrors::Yes,
};

impl Stripe {
    /// The connector of this account. `transport` sends its requests.
    pub fn connector(self, transport: Arc<dyn Transport>) -> Connector {
        let limits = self.limits();
        let increments = self.incremental;
        let account = self.account.clone();
        let stripe = Arc::new(self);
        let slots = Connector::builder(account, limits, transport)
            .authorize(Authorization::HandleFirst {
                prepare: (Step::preparatory(KEY), stripe.clone()),
                execute: (Step::moves_money(KEY), stripe.clone()),
            })
            .capture(Step::moves_money(KEY), stripe.clone())
            .void(Step::moves_money(KEY), stripe.clone())
            .cancel(Step::moves_money(KEY), stripe.clone())
            .refund(Step::moves_money(KEY), stripe.clone())
            .read(stripe.clone())
            .read_refund(stripe.clone())
            .look_up_refund(stripe.clone())
            .webhooks(stripe.clone());
        match increments {
            Wanted::IfAvailable => slots.increment(Step::moves_money(KEY), stripe).build(),
            Wanted::No => slots.build(),
        }
    }

    /// What it can take. No echo is promised for every call, since a capture's answer repeats the payment's totals;
    /// the exchanges themselves insist on amount and reference where an answer has them.
    fn limits(&self) -> Capabilities {
        let currencies = wire::CURRENCIES.iter().copied().filter(|currency| {
            self.currencies
                .as_ref()
                .is_none_or(|chosen| chosen.contains(currency))
        });
        let limits = Capabilities::currencies(currencies)
            .methods([MethodKind::CardToken, MethodKind::Provider])
            .partial_capture()
            .partial_refund()
            .mit()
            .success_on(SuccessOn::Accepted);
        match self.multicapture {
            Wanted::IfAvailable => limits.multicapture(),
            Wanted::No => limits,
        }
    }
}
