//! What is dropped: what is too old to count, and what is one too many.

use super::{BUCKETS, Health};
use crate::id::AccountRef;
use crate::method::MethodKind;
use crate::money::Currency;
use crate::time::Timestamp;

/// Beyond the limit, one part of this many goes at once, so that not each new segment looks at all others.
const GONE_AT_ONCE: usize = 8;

impl Health {
    /// Drops what counts no more at `at`: no rate changes by it. A circuit that has been open without a single attempt for
    /// five half-lives is closed again.
    pub fn expire(&mut self, at: Timestamp) {
        let circuit = &self.settings.circuit;
        let first = self.settings.first(at);
        let first = first.min(at.before(circuit.window).before(circuit.pause));
        let bucket = self.settings.bucket(at).saturating_sub(BUCKETS as i64 - 1);
        let circuit = self.settings.circuit;
        self.accounts.retain(|_account, counts| {
            counts.all.drop_before(bucket);
            counts.methods.retain(|_method, counts| {
                counts.all.drop_before(bucket);
                counts
                    .later
                    .iter_mut()
                    .for_each(|window| window.drop_before(bucket));
                counts.pulse.expire(&circuit, at, first);
                counts.vias.retain(|_via, counts| {
                    counts.all.drop_before(bucket);
                    counts.currencies.retain(|_currency, counts| {
                        counts.all.drop_before(bucket);
                        !counts.all.is_empty()
                    });
                    !counts.currencies.is_empty() || !counts.all.is_empty()
                });
                let counted = std::iter::once(&counts.all).chain(&counts.later);
                !counts.vias.is_empty()
                    || !counts.pulse.is_idle()
                    || counted.into_iter().any(|window| !window.is_empty())
            });
            !counts.methods.is_empty()
        });
    }

    /// Drops what lies further ahead of `at` than clocks of instances differ, so that it can't push out what doesn't.
    pub(super) fn drop_ahead(&mut self, at: Timestamp) {
        let bucket = self.settings.bucket(at).saturating_add(1);
        let circuit = self.settings.circuit;
        for counts in self.accounts.values_mut() {
            counts.all.drop_after(bucket);
            for counts in counts.methods.values_mut() {
                counts.all.drop_after(bucket);
                let later = counts.later.iter_mut();
                later.for_each(|window| window.drop_after(bucket));
                counts.pulse.drop_ahead(&circuit, at);
                for counts in counts.vias.values_mut() {
                    counts.all.drop_after(bucket);
                    let each = counts.currencies.values_mut();
                    each.for_each(|counts| counts.all.drop_after(bucket));
                }
            }
        }
    }

    /// How many of the finest segments it has.
    pub fn segments(&self) -> usize {
        let methods = self
            .accounts
            .values()
            .flat_map(|account| account.methods.values());
        let vias = methods.flat_map(|method| method.vias.values());
        vias.map(|via| via.currencies.len()).sum()
    }

    /// Drops the segments that were used least recently, where there is one too many.
    pub(super) fn bound_segments(&mut self) {
        let most = self.settings.most_segments;
        if self.segments() <= most {
            return;
        }
        let mut all: Vec<(Timestamp, AccountRef, MethodKind, Box<str>, Currency)> = Vec::new();
        for (account, counts) in &self.accounts {
            for (method, counts) in &counts.methods {
                for (via, counts) in &counts.vias {
                    let each = counts.currencies.iter();
                    all.extend(each.map(|(currency, counts)| {
                        (counts.used, account.clone(), *method, via.clone(), *currency)
                    }));
                }
            }
        }
        all.sort_unstable();
        let too_many = all.len() - most + most / GONE_AT_ONCE;
        for (_used, account, method, via, currency) in all.into_iter().take(too_many) {
            let account = self.accounts.get_mut(&account);
            let Some(method) = account.and_then(|counts| counts.methods.get_mut(&method)) else {
                continue;
            };
            if let Some(counts) = method.vias.get_mut(&via) {
                counts.currencies.remove(&currency);
                if counts.currencies.is_empty() {
                    method.vias.remove(&via);
                }
            }
        }
    }

    /// Makes room for an account, where there is none.
    pub(super) fn bound_accounts(&mut self) {
        let most = self.settings.most_accounts;
        if self.accounts.len() < most {
            return;
        }
        let mut all: Vec<(Timestamp, AccountRef)> = self
            .accounts
            .iter()
            .map(|(account, counts)| (counts.used, account.clone()))
            .collect();
        all.sort_unstable();
        let too_many = all.len() - most + 1 + most / GONE_AT_ONCE;
        for (_used, account) in all.into_iter().take(too_many) {
            self.accounts.remove(&account);
        }
    }
}
