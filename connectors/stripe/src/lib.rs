//! paymux's connector to Stripe.
