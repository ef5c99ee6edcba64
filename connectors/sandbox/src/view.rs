//! The books as inspectors read them: by reference, in sums, and as a table.

use paymux_core::{Currency, Money, MoneyError};

use crate::ledger::{Payment, RefundEntry, Sent};

/// The processor's books at one moment, for tests and for people. A caller of the processor never sees them.
#[derive(Clone, Debug, Default)]
pub struct LedgerView {
    payments: Vec<Payment>,
    refunds: Vec<RefundEntry>,
    sends: Vec<Sent>,
}

/// Sums over payments of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Held and not captured.
    pub held: Money,
    /// Taken in all.
    pub captured: Money,
    /// Given back in all.
    pub refunded: Money,
    /// Taken back by payers' banks in all.
    pub returned: Money,
}

impl LedgerView {
    pub(crate) fn new(payments: Vec<Payment>, refunds: Vec<RefundEntry>, sends: Vec<Sent>) -> Self {
        Self {
            payments,
            refunds,
            sends,
        }
    }

    /// Every payment of every account, oldest first.
    pub fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// Every refund, oldest first.
    pub fn refunds(&self) -> &[RefundEntry] {
        &self.refunds
    }

    /// Everything that callers sent, oldest first.
    pub fn sends(&self) -> &[Sent] {
        &self.sends
    }

    /// The payment that the processor calls `handle`.
    pub fn payment(&self, handle: &str) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.handle == handle)
    }

    /// The refund that the processor calls `handle`.
    pub fn refund(&self, handle: &str) -> Option<&RefundEntry> {
        self.refunds.iter().find(|refund| refund.handle == handle)
    }

    /// The payments of one account.
    pub fn account<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Payment> {
        self.payments
            .iter()
            .filter(move |payment| payment.account == account)
    }

    /// The payments that were asked for as `reference`: the caller's own or the merchant's.
    pub fn charges(&self, reference: &str) -> Vec<&Payment> {
        let named = |payment: &&Payment| {
            payment.reference == reference || payment.merchant_reference.as_deref() == Some(reference)
        };
        self.payments.iter().filter(named).collect()
    }

    /// Those of [`LedgerView::charges`] by which the payer is charged now: money is held, being captured, or taken
    /// and not given back. More than one for one order is a double charge.
    pub fn live_charges(&self, reference: &str) -> Vec<&Payment> {
        let mut charges = self.charges(reference);
        charges.retain(|payment| payment.is_live());
        charges
    }

    /// The sums over all payments in `currency`.
    ///
    /// # Errors
    /// If a sum leaves 64-bit minor units.
    pub fn totals(&self, currency: Currency) -> Result<Totals, MoneyError> {
        let zero = Money::zero(currency);
        let mut totals = Totals {
            held: zero,
            captured: zero,
            refunded: zero,
            returned: zero,
        };
        for payment in self
            .payments
            .iter()
            .filter(|payment| payment.amount.currency() == currency)
        {
            totals.held = totals.held.checked_add(payment.held())?;
            totals.captured = totals.captured.checked_add(payment.captured)?;
            totals.refunded = totals.refunded.checked_add(payment.refunded)?;
            totals.returned = totals.returned.checked_add(payment.returned)?;
        }
        Ok(totals)
    }

    /// The payments as a table for people.
    pub fn render(&self) -> String {
        let head = [
            "account",
            "payment",
            "reference",
            "state",
            "asked",
            "held",
            "captured",
            "refunded",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for payment in &self.payments {
            let reference = payment.merchant_reference.as_ref().unwrap_or(&payment.reference);
            rows.push([
                payment.account.clone(),
                payment.handle.clone(),
                reference.clone(),
                payment.state.as_str().to_owned(),
                payment.amount.to_string(),
                payment.held().to_string(),
                payment.captured.to_string(),
                payment.refunded.to_string(),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        let mut table = String::new();
        for row in &rows {
            let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
                if column < 4 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            table.push('\n');
        }
        table
    }
}
