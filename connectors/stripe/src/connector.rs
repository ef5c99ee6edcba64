//! All that is offered, each call with its effect and its key.

use paymux_core::Mode;
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
        let mode = self.mode();
        let stripe = Arc::new(self);
        let builder = Connector::builder(account, limits, transport);
        let builder = match mode {
            Some(mode) => builder.mode(mode),
            None => builder,
        };
        let slots = builder
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

    /// The mode that the key is for (docs.stripe.com/keys#test-live-modes), by its prefix.
    fn mode(&self) -> Option<Mode> {
        let key = self.secret.expose();
        let begins = |prefixes: [&str; 2]| prefixes.iter().any(|prefix| key.starts_with(prefix));
        match (begins(["sk_test_", "rk_test_"]), begins(["sk_live_", "rk_live_"])) {
            (true, _) => Some(Mode::Test),
            (false, true) => Some(Mode::Live),
            (false, false) => None,
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
            .three_d_secure()
            .success_on(SuccessOn::Accepted);
        match self.multicapture {
            Wanted::IfAvailable => limits.multicapture(),
            Wanted::No => limits,
        }
    }
}
