//! An ordered list, by currency and method.

use super::plan::{Plan, RouteFacts, Router};
use crate::id::AccountRef;
use crate::method::MethodKind;
use crate::money::Currency;

/// Ordered lists of accounts: the first whose currency and method fit is taken; without one, the accounts in the
/// order of their registration.
///
/// ```
/// use paymux_core::{AccountRef, ConnectorId, Currency, routing::OrderedRouter};
///
/// let stripe = AccountRef::new(ConnectorId::from_static("stripe"), "eu");
/// let sandbox = AccountRef::new(ConnectorId::from_static("sandbox"), "main");
/// let router = OrderedRouter::new().currency(Currency::EUR, [stripe, sandbox.clone()]).otherwise([sandbox]);
/// # drop(router);
/// ```
#[derive(Clone, Debug, Default)]
pub struct OrderedRouter {
    lists: Vec<List>,
}

#[derive(Clone, Debug)]
struct List {
    currency: Option<Currency>,
    method: Option<MethodKind>,
    accounts: Vec<AccountRef>,
    why: String,
}

impl OrderedRouter {
    /// No list: the accounts in the order of their registration.
    pub fn new() -> Self {
        Self::default()
    }

    /// For payments in this currency.
    #[must_use]
    pub fn currency(self, currency: Currency, accounts: impl IntoIterator<Item = AccountRef>) -> Self {
        self.list(
            Some(currency),
            None,
            accounts,
            format!("first list for {currency}"),
        )
    }

    /// For payments by this method.
    #[must_use]
    pub fn method(self, method: MethodKind, accounts: impl IntoIterator<Item = AccountRef>) -> Self {
        self.list(None, Some(method), accounts, format!("first list for {method:?}"))
    }

    /// For payments in this currency by this method.
    #[must_use]
    pub fn currency_and_method(
        self,
        currency: Currency,
        method: MethodKind,
        accounts: impl IntoIterator<Item = AccountRef>,
    ) -> Self {
        self.list(
            Some(currency),
            Some(method),
            accounts,
            format!("first list for {currency} by {method:?}"),
        )
    }

    /// For all others.
    #[must_use]
    pub fn otherwise(self, accounts: impl IntoIterator<Item = AccountRef>) -> Self {
        self.list(None, None, accounts, "the list for all others".to_owned())
    }

    fn list(
        mut self,
        currency: Option<Currency>,
        method: Option<MethodKind>,
        accounts: impl IntoIterator<Item = AccountRef>,
        why: String,
    ) -> Self {
        self.lists.push(List {
            currency,
            method,
            accounts: accounts.into_iter().collect(),
            why,
        });
        self
    }
}

impl Router for OrderedRouter {
    fn route(&self, facts: &RouteFacts<'_>) -> Plan {
        let fits = |list: &&List| {
            list.currency
                .is_none_or(|currency| currency == facts.amount.currency())
                && list.method.is_none_or(|method| method == facts.method.kind())
        };
        match self.lists.iter().find(fits) {
            Some(list) => list
                .accounts
                .iter()
                .fold(Plan::new(), |plan, account| plan.then(account.clone(), &list.why)),
            None => facts.candidates.iter().fold(Plan::new(), |plan, candidate| {
                plan.then(candidate.account.clone(), "in the order of registration")
            }),
        }
    }
}
