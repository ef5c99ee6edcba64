//! Routing programs as strangers write them.

use paymux_core::routing::{Candidate, CardFacts, Diagnostics, Facts, Program, replay};
use paymux_core::{AccountRef, ConnectorId, MethodKind, money};

/// A document that is no program is told all that is wrong with it. One that is a program is written and read as the same,
/// and decides on a payment as it does again.
pub fn routing_program(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for read in [Program::from_toml(text), Program::from_json(text)] {
        match read {
            Ok(program) => decides(&program),
            Err(refused) => tells(&refused),
        }
    }
}

fn tells(refused: &Diagnostics) {
    assert!(!refused.is_taken(), "refused without a reason");
    assert!(!refused.to_string().is_empty());
    for one in refused.iter() {
        assert!(!one.message().is_empty() && !one.code().is_empty());
    }
}

fn decides(program: &Program) {
    let written = program.to_json();
    let again = Program::from_json(&written).expect("what is written is read");
    assert_eq!(*program, again);
    assert_eq!(program.fingerprint(), again.fingerprint());
    let accounts = ["acme", "stripe", "sandbox"].map(|name| {
        let connector = ConnectorId::new(name).expect("a connector's name");
        Candidate::new(AccountRef::new(connector, "eu"))
    });
    let found = program.check_accounts(&accounts.clone().map(|candidate| candidate.account));
    let _ = found.to_string();
    let mut facts = Facts::of("shop", money!("29.99 EUR"), MethodKind::CardToken);
    for network in [None, Some("visa"), Some("amex")] {
        facts.card = CardFacts {
            network,
            bin: network.map(|_| "373799"),
            ..CardFacts::default()
        };
        let plan = program.plan(&facts, &accounts);
        let replayed = replay(program, plan.explanation(), |_done| {});
        assert_eq!((replayed.decisions, replayed.same), (1, 1), "{replayed}");
    }
}
