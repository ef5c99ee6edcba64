//! What a host asks for: builders whose setters never fail, and the check that names every bad field at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::details::{
    Address, AmountDetails, CaptureMethod, Challenge, IntentDetails, IntentMode, Metadata, Mit, Need, Payer,
    Sca, Through,
};
use super::event::IntentChange;
use super::state::{Intent, RiskAfter, Totals};
use super::status::IntentStatus;
use crate::error::{Error, Fault};
use crate::id::{CustomerId, PaymentIntentId};
use crate::money::{Currency, Money};
use crate::routing::Country;
use crate::tenant::Mode;
use crate::time::Timestamp;

/// A payment to make. Setters never fail; the verb that takes it reports every bad field at once.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct NewIntent {
    pub(crate) mode: IntentMode,
    pub(crate) amount: Money,
    pub(crate) capture_method: CaptureMethod,
    pub(crate) details: IntentDetails,
    pub(crate) scheduled_for: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl NewIntent {
    fn of(mode: IntentMode, amount: Money) -> Self {
        Self {
            mode,
            amount,
            capture_method: CaptureMethod::Automatic,
            details: IntentDetails::default(),
            scheduled_for: None,
            expires_at: None,
        }
    }

    /// A payment of `amount`, of at least 1 minor unit, captured with its authorization.
    pub fn payment(amount: Money) -> Self {
        Self::of(IntentMode::Payment, amount)
    }

    /// A method kept for later; no money moves.
    pub fn setup(currency: Currency) -> Self {
        Self::of(IntentMode::Setup, Money::zero(currency))
    }

    /// A method checked; no money moves.
    pub fn verify(currency: Currency) -> Self {
        Self::of(IntentMode::Verify, Money::zero(currency))
    }

    /// When the money is taken.
    pub fn capture(mut self, method: CaptureMethod) -> Self {
        self.capture_method = method;
        self
    }

    /// To be confirmed at that time, in the future: for [`Payments::schedule`](crate::Payments::schedule).
    pub fn scheduled_for(mut self, at: Timestamp) -> Self {
        self.scheduled_for = Some(at);
        self
    }

    /// After that time no new attempt is made, and what wasn't confirmed is cancelled.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// The payer isn't there: the merchant initiates it.
    pub fn mit(mut self, mit: Mit) -> Self {
        self.details.mit = Some(mit);
        self
    }
}

/// A change of an intent that hasn't been confirmed. What isn't set stays.
#[derive(Clone, Debug, Default, Serialize)]
#[must_use]
pub struct IntentUpdate {
    pub(crate) amount: Option<Money>,
    pub(crate) capture_method: Option<CaptureMethod>,
    pub(crate) details: IntentDetails,
    set: Set,
}

/// Which details an update sets.
#[derive(Clone, Debug, Default, Serialize)]
struct Set(Vec<&'static str>);

impl IntentUpdate {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another amount, in the same currency.
    pub fn amount(mut self, amount: Money) -> Self {
        self.amount = Some(amount);
        self
    }

    /// Another time to take the money.
    pub fn capture(mut self, method: CaptureMethod) -> Self {
        self.capture_method = Some(method);
        self
    }

    /// What it comes to, on top of what is there.
    pub(crate) fn onto(&self, details: &IntentDetails) -> IntentChange {
        let mut merged = details.clone();
        for field in &self.set.0 {
            let new = &self.details;
            match *field {
                "merchant_reference" => merged.merchant_reference.clone_from(&new.merchant_reference),
                "statement_descriptor" => merged.statement_descriptor.clone_from(&new.statement_descriptor),
                "description" => merged.description.clone_from(&new.description),
                "customer" => merged.customer.clone_from(&new.customer),
                "return_url" => merged.return_url.clone_from(&new.return_url),
                "amount_details" => merged.amount_details.clone_from(&new.amount_details),
                "payer" => merged.payer.clone_from(&new.payer),
                "billing" => merged.billing.clone_from(&new.billing),
                "shipping" => merged.shipping.clone_from(&new.shipping),
                "sca" => merged.sca.clone_from(&new.sca),
                "through" => merged.routing.through.clone_from(&new.routing.through),
                "needs" => merged.routing.needs.clone_from(&new.routing.needs),
                "merchant_country" => merged.routing.merchant_country = new.routing.merchant_country,
                "mcc" => merged.routing.mcc = new.routing.mcc,
                "metadata" => merged.metadata.clone_from(&new.metadata),
                other => unreachable!("`{other}` is set by no setter"),
            }
        }
        IntentChange {
            amount: self.amount,
            capture_method: self.capture_method,
            details: Some(merged),
        }
    }
}

macro_rules! detail_setters {
    ($target:ident, |$this:ident, $field:ident| $note:expr) => {
        impl $target {
            /// The host's own reference, which the processor sees: at most 64 characters. Never a key.
            pub fn reference(mut self, merchant_reference: impl Into<String>) -> Self {
                self.details.merchant_reference = Some(merchant_reference.into());
                self.noted("merchant_reference")
            }

            /// What the payer reads on the statement: at most 22 characters.
            pub fn statement_descriptor(mut self, text: impl Into<String>) -> Self {
                self.details.statement_descriptor = Some(text.into());
                self.noted("statement_descriptor")
            }

            /// What the payment is for: at most 500 characters.
            pub fn description(mut self, text: impl Into<String>) -> Self {
                self.details.description = Some(text.into());
                self.noted("description")
            }

            /// The host's customer.
            pub fn customer(mut self, customer: CustomerId) -> Self {
                self.details.customer = Some(customer);
                self.noted("customer")
            }

            /// Where the processor sends the payer back to; `{payment}` stands for our identifier.
            pub fn return_url(mut self, url: impl Into<String>) -> Self {
                self.details.return_url = Some(url.into());
                self.noted("return_url")
            }

            /// How the amount is made up.
            pub fn amount_details(mut self, details: AmountDetails) -> Self {
                self.details.amount_details = details;
                self.noted("amount_details")
            }

            /// Who pays.
            pub fn payer(mut self, payer: Payer) -> Self {
                self.details.payer = payer;
                self.noted("payer")
            }

            /// Where the bill goes.
            pub fn billing(mut self, address: Address) -> Self {
                self.details.billing = Some(address);
                self.noted("billing")
            }

            /// Where the goods go.
            pub fn shipping(mut self, address: Address) -> Self {
                self.details.shipping = Some(address);
                self.noted("shipping")
            }

            /// What is asked about strong customer authentication.
            pub fn sca(mut self, sca: Sca) -> Self {
                self.details.sca = sca;
                self.noted("sca")
            }

            /// Whether a challenge is wanted.
            pub fn challenge(mut self, challenge: Challenge) -> Self {
                self.details.sca.challenge = challenge;
                self.noted("sca")
            }

            /// To this connector, or to this account alone: no rule is asked. It has to be able to take the payment.
            pub fn through(mut self, through: impl Into<Through>) -> Self {
                self.details.routing.through = Some(through.into());
                self.noted("through")
            }

            /// Only to an account that offers all of these, for later on.
            pub fn needs(mut self, needs: impl IntoIterator<Item = Need>) -> Self {
                self.details.routing.needs = needs.into_iter().collect();
                self.noted("needs")
            }

            /// Where the merchant is, for routing.
            pub fn merchant_country(mut self, country: Country) -> Self {
                self.details.routing.merchant_country = Some(country);
                self.noted("merchant_country")
            }

            /// The merchant's category, for routing: ISO 18245, 0 to 9999.
            pub fn mcc(mut self, code: u16) -> Self {
                self.details.routing.mcc = Some(code);
                self.noted("mcc")
            }

            /// Pairs of the host's own: at most 50, keys of at most 40 characters, values of at most 500.
            pub fn metadata<K: Into<String>, V: Into<String>>(
                mut self,
                pairs: impl IntoIterator<Item = (K, V)>,
            ) -> Self {
                let pairs = pairs
                    .into_iter()
                    .map(|(key, value)| (key.into(), value.into()));
                self.details.metadata = pairs.collect::<BTreeMap<_, _>>();
                self.noted("metadata")
            }

            #[allow(unused_mut, reason = "one of the two targets has nothing to note")]
            fn noted(mut self, field: &'static str) -> Self {
                let ($this, $field) = (&mut self, field);
                let () = $note;
                self
            }
        }
    };
}
detail_setters!(NewIntent, |_this, _field| ());
detail_setters!(IntentUpdate, |this, field| this.set.0.push(field));

/// What a policy allows of an intent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) mode: Mode,
    pub(crate) cap_minor: i64,
    pub(crate) now: Timestamp,
}

impl NewIntent {
    /// The state that it starts in.
    pub(crate) fn into_state(self, id: PaymentIntentId, at: Timestamp) -> Intent {
        Intent {
            id,
            mode: self.mode,
            amount: self.amount,
            capture_method: self.capture_method,
            status: match self.scheduled_for {
                Some(_) => IntentStatus::Scheduled,
                None => IntentStatus::Created,
            },
            details: Arc::new(self.details),
            session: None,
            scheduled_for: self.scheduled_for,
            scheduled_method: None,
            expires_at: self.expires_at,
            totals: Totals::default(),
            attempts: Vec::new(),
            captures: Vec::new(),
            operations: Vec::new(),
            open_op: None,
            winner: None,
            ended: None,
            last_decline: None,
            last_failure: None,
            plan: None,
            review: None,
            risk_after: RiskAfter::Settled,
            refunds: BTreeMap::new(),
            created_at: at,
            updated_at: at,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// All faults at once.
    pub(crate) fn check(&self, limits: Limits) -> Result<(), Error> {
        let mut faults = check_amount(self.mode, self.amount, limits);
        faults.extend(check_details(&self.details, limits.mode));
        if self.scheduled_for.is_some_and(|at| at <= limits.now) {
            faults.push(Fault::new(
                "scheduled_for",
                "not in the future",
                "leave it out to pay now",
            ));
        }
        if self.expires_at.is_some_and(|at| at <= limits.now) {
            faults.push(Fault::new(
                "expires_at",
                "not in the future",
                "give a later time, or leave it out",
            ));
        }
        if let (Some(day), Some(end)) = (self.scheduled_for, self.expires_at)
            && end <= day
        {
            faults.push(Fault::new(
                "expires_at",
                "the payment expires before its day",
                "give a time after `scheduled_for`",
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_all(faults))
        }
    }
}

pub(crate) fn check_amount(mode: IntentMode, amount: Money, limits: Limits) -> Vec<Fault> {
    let minor = amount.minor();
    let fault = match mode {
        IntentMode::Payment if minor < 1 => Fault::new(
            "amount",
            format!("{amount} is not a payment"),
            "pay at least 1 minor unit",
        ),
        IntentMode::Payment if minor > limits.cap_minor => {
            let most = Money::from_minor(limits.cap_minor, amount.currency());
            Fault::new(
                "amount",
                format!("over the cap of {most}"),
                "split the payment, or raise the policy's cap",
            )
        }
        IntentMode::Setup | IntentMode::Verify if minor != 0 => Fault::new(
            "amount",
            "a setup or verification moves no money",
            "use an amount of 0",
        ),
        IntentMode::Payment | IntentMode::Setup | IntentMode::Verify => return Vec::new(),
    };
    vec![fault]
}

pub(crate) fn check_details(details: &IntentDetails, mode: Mode) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at_most = |field: &'static str, value: Option<&String>, most: usize| {
        let Some(value) = value else { return };
        if value.is_empty() || value.chars().count() > most || value.chars().any(char::is_control) {
            let remedy = format!("use 1 to {most} characters without control characters");
            faults.push(Fault::new(
                field,
                "empty, too long, or with control characters",
                remedy,
            ));
        }
    };
    at_most("merchant_reference", details.merchant_reference.as_ref(), 64);
    at_most("statement_descriptor", details.statement_descriptor.as_ref(), 22);
    at_most("description", details.description.as_ref(), 500);
    faults.extend(
        details
            .return_url
            .as_deref()
            .and_then(|url| check_url("return_url", url, mode)),
    );
    faults.extend(check_metadata(&details.metadata));
    if details
        .payer
        .country
        .as_ref()
        .is_some_and(|country| country.parse::<Country>().is_err())
    {
        faults.push(Fault::new(
            "payer.country",
            "not a country",
            "write two letters, as in ISO 3166-1: `FR`",
        ));
    }
    if details.routing.mcc.is_some_and(|code| code > 9_999) {
        faults.push(Fault::new(
            "routing.mcc",
            "not a merchant's category",
            "use a code of ISO 18245, 0 to 9999",
        ));
    }
    if details.amount_details.line_items.len() > 100 {
        faults.push(Fault::new("line_items", "more than 100", "merge some of them"));
    }
    for (place, item) in details.amount_details.line_items.iter().enumerate() {
        if !(1..=9_999).contains(&item.quantity) || item.unit_amount.minor() < 0 {
            let field = format!("line_items.{place}");
            faults.push(Fault::new(
                field,
                "not an item",
                "use a quantity of 1 to 9,999 and a price of at least 0",
            ));
        }
    }
    faults
}

/// A page of the host's: https, or in test mode http on this machine's own name.
pub(crate) fn check_url(field: &'static str, url: &str, mode: Mode) -> Option<Fault> {
    let filled = url.replace("{payment}", "id").replace("{session}", "id");
    let good = filled
        .parse::<http::Uri>()
        .ok()
        .is_some_and(|uri| match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_)) => true,
            (Some("http"), Some("localhost" | "127.0.0.1" | "[::1]")) => mode == Mode::Test,
            (Some(_) | None, _) => false,
        });
    (!good || url.len() > 2_048).then(|| {
        Fault::new(
            field,
            "not a page to return to",
            "use an https address of at most 2,048 characters",
        )
    })
}

fn check_metadata(metadata: &Metadata) -> Vec<Fault> {
    let mut faults = Vec::new();
    if metadata.len() > 50 {
        faults.push(Fault::new(
            "metadata",
            "more than 50 pairs",
            "keep the rest in your own database",
        ));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.chars().count() > 40 {
            faults.push(Fault::new(
                "metadata",
                "a key is empty or over 40 characters",
                "shorten it",
            ));
        } else if value.chars().count() > 500 {
            let field = format!("metadata.{key}");
            faults.push(Fault::new(field, "a value is over 500 characters", "shorten it"));
        }
    }
    faults
}
