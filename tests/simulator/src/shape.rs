//! The shapes of accounts: what each offers, how it knows a second send, what its reads and webhooks are worth.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use paymux_core::connector::{
    Authorization, Capabilities, Connector, Echoes, Key, ReplaysErrors, Step, SuccessOn, Transport,
    WebhookOps,
};
use paymux_core::routing::Country;
use paymux_core::{AccountRef, ConnectorId, Currency, MethodKind};

use crate::connector::Api;
use crate::rng::Rng;

/// The two connectors of a world: every other account is of the second one.
pub(crate) const CONNECTORS: [ConnectorId; 2] =
    [ConnectorId::from_static("sim"), ConnectorId::from_static("alt")];

/// How a second send is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyShape {
    pub(crate) window_ms: u64,
    pub(crate) replays_errors: bool,
}

/// What webhooks are worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebhookShape {
    pub(crate) authoritative: bool,
    pub(crate) numbered: bool,
}

/// What an account offers.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) handle_first: bool,
    pub(crate) key: Option<KeyShape>,
    pub(crate) read: bool,
    pub(crate) look_up: bool,
    pub(crate) cancel: bool,
    pub(crate) complete: bool,
    pub(crate) increment: bool,
    pub(crate) multicapture: bool,
    pub(crate) void_after_capture: bool,
    pub(crate) refund_per_capture: bool,
    pub(crate) refund_requires_settlement: bool,
    pub(crate) partial_refund: bool,
    /// Answers an authorization with automatic capture with the capture.
    pub(crate) captures_at_once: bool,
    pub(crate) manual: bool,
    /// `None`: never. 0: with the capture.
    pub(crate) settles_after_ms: Option<u64>,
    pub(crate) success_on_settled: bool,
    pub(crate) quiet_ms: Option<u64>,
    pub(crate) webhooks: Option<WebhookShape>,
    pub(crate) limits: Limits,
}

/// What an account doesn't take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) no_currency: Option<Currency>,
    /// From and to, in minor units.
    pub(crate) amounts: Option<(i64, i64)>,
    pub(crate) countries: Option<BTreeSet<Country>>,
    pub(crate) methods: Option<BTreeSet<MethodKind>>,
    pub(crate) networks: Option<BTreeSet<&'static str>>,
    pub(crate) no_three_d_secure: bool,
    pub(crate) no_mit: bool,
}

/// The currencies that payments are in.
pub(crate) const CURRENCIES: [Currency; 3] = [Currency::EUR, Currency::JPY, Currency::KWD];

/// So long after a call every read shows its effect, where an account says so; the network keeps to it.
pub(crate) const QUIET_MS: u64 = 10 * 60_000;

impl Shape {
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let kind = rng.below(10);
        let key = match kind {
            0 | 1 | 9 => None,
            _ => Some(KeyShape {
                window_ms: *rng.pick(&[3_600_000, 24 * 3_600_000, 24 * 3_600_000]),
                replays_errors: rng.chance(300),
            }),
        };
        let bare = kind == 0;
        let (read, look_up) = match kind {
            0 => (false, false),
            1 | 9 => (rng.chance(500), true),
            _ => (rng.chance(800), rng.chance(600)),
        };
        let settles_after_ms = *rng.pick(&[None, Some(0), Some(2 * 3_600_000)]);
        Self {
            handle_first: !bare && rng.chance(400),
            key,
            read,
            look_up,
            cancel: rng.chance(700),
            complete: rng.chance(500),
            increment: rng.chance(600),
            multicapture: rng.chance(700),
            void_after_capture: rng.chance(500),
            refund_per_capture: rng.chance(200),
            refund_requires_settlement: settles_after_ms.is_some() && rng.chance(150),
            partial_refund: rng.chance(900),
            captures_at_once: rng.chance(750),
            manual: rng.chance(900),
            settles_after_ms,
            success_on_settled: settles_after_ms.is_some() && rng.chance(400),
            quiet_ms: (!bare && rng.chance(800)).then_some(QUIET_MS),
            webhooks: match bare || (!read && !look_up) {
                true => Some(WebhookShape {
                    authoritative: true,
                    numbered: rng.chance(700),
                }),
                false => rng.chance(600).then(|| WebhookShape {
                    authoritative: rng.chance(300),
                    numbered: rng.chance(700),
                }),
            },
            limits: Limits::default(),
        }
    }

    pub(crate) fn account(place: usize) -> AccountRef {
        let [even, odd] = CONNECTORS;
        let connector = if place.is_multiple_of(2) { even } else { odd };
        AccountRef::new(connector, format!("a{place}"))
    }

    pub(crate) fn connect(&self, place: usize, transport: Arc<dyn Transport>) -> Connector {
        self.connect_reading(place, transport, |api| api)
    }

    /// As `connect`, with what `reads` makes of how webhooks are read.
    pub(crate) fn connect_reading(
        &self,
        place: usize,
        transport: Arc<dyn Transport>,
        reads: impl FnOnce(Arc<dyn WebhookOps>) -> Arc<dyn WebhookOps>,
    ) -> Connector {
        let api = Arc::new(Api {
            account: Self::account(place),
        });
        let key = match self.key {
            None => Key::None,
            Some(shape) => Key::Header {
                window: Duration::from_millis(shape.window_ms),
                replays_errors: match shape.replays_errors {
                    true => ReplaysErrors::Yes,
                    false => ReplaysErrors::Never,
                },
            },
        };
        let moves = Step::moves_money(key);
        let mut builder = Connector::builder(Self::account(place), self.capabilities(), transport)
            .authorize(match self.handle_first {
                false => Authorization::OneCall(moves, api.clone()),
                true => Authorization::HandleFirst {
                    prepare: (Step::preparatory(key), api.clone()),
                    execute: (moves, api.clone()),
                },
            })
            .capture(moves, api.clone())
            .void(moves, api.clone())
            .refund(moves, api.clone());
        if self.complete {
            builder = builder.complete(moves, api.clone());
        }
        if self.increment {
            builder = builder.increment(moves, api.clone());
        }
        if self.cancel {
            builder = builder.cancel(moves, api.clone());
        }
        if self.read {
            builder = builder.read(api.clone()).read_refund(api.clone());
        }
        if self.look_up {
            builder = builder.look_up(api.clone()).look_up_refund(api.clone());
        }
        if self.webhooks.is_some() {
            builder = builder.webhooks(reads(api));
        }
        builder.build()
    }

    fn capabilities(&self) -> Capabilities {
        let not = &self.limits;
        let currencies = CURRENCIES.into_iter().filter(|one| Some(*one) != not.no_currency);
        let mut limits = Capabilities::currencies(currencies)
            .partial_capture()
            .partial_authorization()
            .setup()
            .echoes(Echoes::AmountAndReference)
            .success_on(match self.success_on_settled {
                true => SuccessOn::Settled,
                false => SuccessOn::Accepted,
            });
        if !not.no_three_d_secure {
            limits = limits.three_d_secure();
        }
        if !not.no_mit {
            limits = limits.mit();
        }
        if let Some((least, most)) = not.amounts {
            limits = limits.amounts(least, most);
        }
        if let Some(countries) = &not.countries {
            limits = limits.payer_countries(countries.iter().copied());
        }
        if let Some(methods) = &not.methods {
            limits = limits.methods(methods.iter().copied());
        }
        if let Some(networks) = &not.networks {
            limits = limits.networks(networks.iter().copied());
        }
        if !self.manual {
            limits = limits.automatic_capture_only();
        }
        if self.multicapture {
            limits = limits.multicapture();
        }
        if self.partial_refund {
            limits = limits.partial_refund();
        }
        if self.void_after_capture {
            limits = limits.void_after_capture();
        }
        if self.refund_per_capture {
            limits = limits.refund_per_capture();
        }
        if self.refund_requires_settlement {
            limits = limits.refund_requires_settlement();
        }
        match self.quiet_ms {
            Some(quiet) => limits.reads_settle_within(Duration::from_millis(quiet)),
            None => limits,
        }
    }
}
