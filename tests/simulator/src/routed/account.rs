//! Whether an account can take a payment, by its shape.

use paymux_core::{AccountRef, CaptureMethod, Challenge, IntentDetails, Money, Need};

use super::{Method, Setting};
use crate::shape::Shape;

/// What an attempt asks of its account.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) setting: &'a Setting,
    pub(super) tenant: usize,
    pub(super) amount: Money,
    pub(super) method: &'a Method,
    pub(super) capture: CaptureMethod,
    pub(super) challenge: Challenge,
    pub(super) details: &'a IntentDetails,
}

impl Asked<'_> {
    /// Why an account can't take it, if so.
    pub(super) fn why_not(&self, account: &AccountRef) -> Option<String> {
        let setting = self.setting;
        let Some(place) = (0..setting.shapes.len()).find(|place| Shape::account(*place) == *account) else {
            return Some("there is no such account".to_owned());
        };
        let (shape, details) = (&setting.shapes[place], self.details);
        let not = &shape.limits;
        let minor = self.amount.minor();
        let network = self.method.card.as_ref().and_then(|card| card.network.as_deref());
        let payer = details.payer.country.as_deref();
        let lacks = |need: &Need| match need {
            Need::Multicapture => !shape.multicapture,
            Need::Increment => !shape.increment,
            Need::PartialRefund => !shape.partial_refund,
            Need::PartialCapture | Need::Void | Need::Refund => false,
            _ => true,
        };
        let reasons = [
            (
                setting.owners[place].is_some_and(|owner| owner != self.tenant),
                "it is another merchant's",
            ),
            (
                self.method
                    .issued_by
                    .as_ref()
                    .is_some_and(|owner| owner != account),
                "the token is another account's",
            ),
            (
                Some(self.amount.currency()) == not.no_currency,
                "it doesn't take the currency",
            ),
            (
                not.amounts
                    .is_some_and(|(least, most)| (minor != 0 && minor < least) || minor > most),
                "it doesn't take the amount",
            ),
            (
                not.methods
                    .as_ref()
                    .is_some_and(|methods| !methods.contains(&self.method.kind)),
                "it doesn't take the method",
            ),
            (
                not.networks
                    .as_ref()
                    .is_some_and(|networks| network.is_some_and(|network| !networks.contains(network))),
                "it doesn't take the card's network",
            ),
            (
                not.countries.as_ref().is_some_and(|countries| {
                    payer.is_some_and(|payer| !countries.iter().any(|one| one.as_str() == payer))
                }),
                "it doesn't take payers of that country",
            ),
            (
                self.capture == CaptureMethod::Manual && !shape.manual,
                "it doesn't capture later",
            ),
            (
                self.challenge.max(details.sca.challenge) == Challenge::Required && not.no_three_d_secure,
                "it doesn't authenticate payers",
            ),
            (
                details.mit.is_some() && not.no_mit,
                "it doesn't take what merchants initiate",
            ),
            (
                details.routing.needs.iter().any(lacks),
                "it doesn't offer what will be needed",
            ),
        ];
        let why = reasons.into_iter().find(|(is, _)| *is);
        why.map(|(_, why)| why.to_owned())
    }
}
