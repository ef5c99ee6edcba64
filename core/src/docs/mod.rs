//! Guides for those who run paymux or add to it, and the decisions behind its shape.

#[doc = include_str!("add_a_connector.md")]
pub mod add_a_connector {}

#[doc = include_str!("add_a_store.md")]
pub mod add_a_store {}

#[doc = include_str!("postgres.md")]
pub mod postgres {}

#[doc = include_str!("reliability.md")]
pub mod reliability {}

#[doc = include_str!("routing.md")]
pub mod routing {}

/// Decisions that changed the design after it was first written down, each with its reason and its price.
///
/// A decision gets a page when it changes a public shape or a promise. Pages are numbered, and aren't rewritten: a
/// later decision that replaces one says so, and the older page then names the later.
pub mod adr {
    #[doc = include_str!("adr/0001-approvals-carry-what-was-granted.md")]
    pub mod adr_0001 {}

    #[doc = include_str!("adr/0002-stores-locate-by-unique-and-return-rows.md")]
    pub mod adr_0002 {}

    #[doc = include_str!("adr/0003-the-test-runtime-comes-with-its-clock.md")]
    pub mod adr_0003 {}

    #[doc = include_str!("adr/0004-actions-are-named-values.md")]
    pub mod adr_0004 {}

    #[doc = include_str!("adr/0005-endpoints-may-be-named.md")]
    pub mod adr_0005 {}

    #[doc = include_str!("adr/0006-what-a-read-says.md")]
    pub mod adr_0006 {}

    #[doc = include_str!("adr/0007-history-before-events.md")]
    pub mod adr_0007 {}

    #[doc = include_str!("adr/0008-a-decline-may-leave-the-page-open.md")]
    pub mod adr_0008 {}

    #[doc = include_str!("adr/0009-a-failed-session-takes-another-try.md")]
    pub mod adr_0009 {}

    #[doc = include_str!("adr/0010-a-key-makes-one-payment.md")]
    pub mod adr_0010 {}

    #[doc = include_str!("adr/0011-chrono-for-the-calendar.md")]
    pub mod adr_0011 {}

    #[doc = include_str!("adr/0012-counts-beside-payments.md")]
    pub mod adr_0012 {}
}
