//! `examples/stripe.rs` against the stand-in. Against localstripe it runs with the other examples.

use std::process::Command;

use paymux_standin_stripe::Standin;

#[path = "../../examples/stripe.rs"]
mod stripe;

/// Set in the process that is the example: it takes its account from the environment.
const CHILD: &str = "PAYMUX_EXAMPLE_CHILD";

#[test]
fn the_example_goes_as_it_says_against_the_stand_in() {
    if std::env::var_os(CHILD).is_some() {
        return stripe::main().unwrap();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let standin = runtime.block_on(Standin::start()).unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("example::the_example_goes_as_it_says_against_the_stand_in")
        .env(CHILD, "1")
        .env("STRIPE_API_BASE", standin.base_url())
        .env("STRIPE_SECRET_KEY", "sk_test_standin")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(said.contains("refunded  10.00 EUR"), "{said}");
    let charges = standin.ledger().charges();
    let [charge] = charges.as_slice() else {
        panic!("one charge: {charges:?}")
    };
    assert_eq!((charge.captured, charge.refunded), (3_000, 1_000));
    assert!(charge.released, "the rest");
}
