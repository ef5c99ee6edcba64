//! The connector to an account: which slots it fills, with which step and key.

use std::sync::Arc;

use paymux_core::AccountRef;
use paymux_core::connector::{
    Ability, Authorization, Capabilities, Connector, Echoes, Offer, Requirement, Step, VoidAfterCapture,
};

use crate::map::Api;
use crate::processor::Processor;
use crate::shape::{AuthorizationShape, Shape};
use crate::transport::SandboxTransport;

pub(crate) fn connect(processor: Arc<Processor>, account: AccountRef, shape: &Shape) -> Connector {
    let api = Arc::new(Api::new(account.clone()));
    let moves = Step::moves_money(shape.key);
    let mut builder = Connector::builder(
        account,
        capabilities(shape),
        Arc::new(SandboxTransport(processor)),
    );
    for ability in Ability::ALL
        .iter()
        .copied()
        .filter(|ability| shape.offers(*ability))
    {
        builder = match ability {
            Ability::Authorize => builder.authorize(match shape.authorization {
                AuthorizationShape::OneCall => Authorization::OneCall(moves, api.clone()),
                AuthorizationShape::HandleFirst => Authorization::HandleFirst {
                    prepare: (Step::preparatory(shape.key), api.clone()),
                    execute: (moves, api.clone()),
                },
            }),
            Ability::Complete => builder.complete(moves, api.clone()),
            Ability::Capture => builder.capture(moves, api.clone()),
            Ability::Increment => builder.increment(moves, api.clone()),
            Ability::Void => builder.void(moves, api.clone()),
            Ability::Cancel => builder.cancel(moves, api.clone()),
            Ability::Refund => builder.refund(moves, api.clone()),
            Ability::Read => builder.read(api.clone()),
            Ability::LookUp => builder.look_up(api.clone()),
            Ability::ReadRefund => builder.read_refund(api.clone()),
            Ability::LookUpRefund => builder.look_up_refund(api.clone()),
            Ability::Webhooks => builder.webhooks(api.clone()),
            // An ability that core learnt after this crate was written.
            _ => builder,
        };
    }
    builder.build()
}

fn capabilities(shape: &Shape) -> Capabilities {
    let mut limits = Capabilities::currencies(shape.currencies.iter().copied())
        .partial_capture()
        .partial_refund()
        .setup()
        .mit()
        .partial_authorization()
        .echoes(Echoes::AmountAndReference)
        .success_on(shape.success_on);
    if shape.three_d_secure == Offer::Offered {
        limits = limits.three_d_secure();
    }
    if shape.manual_capture == Offer::Refused {
        limits = limits.automatic_capture_only();
    }
    if shape.multicapture == Offer::Offered {
        limits = limits.multicapture();
    }
    if shape.void_after_capture == VoidAfterCapture::Yes {
        limits = limits.void_after_capture();
    }
    if shape.refund_per_capture == Requirement::Required {
        limits = limits.refund_per_capture();
    }
    if shape.refund_requires_settlement == Requirement::Required {
        limits = limits.refund_requires_settlement();
    }
    match shape.reads_settle_within {
        Some(quiet) => limits.reads_settle_within(quiet),
        None => limits,
    }
}
