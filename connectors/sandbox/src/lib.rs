//! An in-process payment processor for paymux, with a ledger of its own and seeded faults.
