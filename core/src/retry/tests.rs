use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decline::{Decline, DeclineAdvice, DeclineCode, DeclineKind};
use crate::id::AttemptId;
use crate::tenant::Mode;
use crate::time::Timestamp;

const NETWORKS: [CardNetwork; 8] = [
    CardNetwork::Visa,
    CardNetwork::Mastercard,
    CardNetwork::AmericanExpress,
    CardNetwork::Discover,
    CardNetwork::Diners,
    CardNetwork::Jcb,
    CardNetwork::UnionPay,
    CardNetwork::Other,
];
const KINDS: [DeclineKind; 3] = [
    DeclineKind::Soft,
    DeclineKind::Hard,
    DeclineKind::AuthenticationRequired,
];
const INSTRUCTIONS: [RetryInstruction; 3] = [
    RetryInstruction::DoNotTryAgain,
    RetryInstruction::TryAgainLater,
    RetryInstruction::ConfirmCardData,
];

fn said(network: CardNetwork, response: Option<&str>, advice: Option<&str>) -> NetworkAdvice {
    let said = NetworkAdvice::of(network);
    let said = response.map_or(said.clone(), |word| said.response_code(word));
    advice.map_or(said.clone(), |word| said.advice_code(word))
}

fn visa(response: &str) -> RetryRule {
    said(CardNetwork::Visa, Some(response), None).retry_rule()
}

fn mastercard(response: Option<&str>, advice: Option<&str>) -> RetryRule {
    said(CardNetwork::Mastercard, response, advice).retry_rule()
}

fn soft(said: NetworkAdvice) -> Decline {
    Decline::new(DeclineCode::InsufficientFunds, DeclineKind::Soft, None).with_network(said)
}

/// The wait and the correction of a rule that allows a try.
fn terms(rule: RetryRule) -> (Duration, Correction) {
    match rule {
        RetryRule::On(terms) => (terms.wait(), terms.correction()),
        RetryRule::Never(never) => panic!("{never:?}"),
    }
}

#[test]
fn every_code_of_visas_has_the_rule_of_its_category() {
    let card = ["04", "07", "14", "15", "41", "43", "46", "R1", "R3"];
    for code in card {
        assert_eq!(visa(code), RetryRule::Never(NeverAgain::ThisCard), "{code}");
    }
    for code in ["12", "57", "R0"] {
        assert_eq!(visa(code), RetryRule::Never(NeverAgain::ThisPayment), "{code}");
    }
    let not_now = [
        "03", "19", "39", "51", "52", "53", "59", "5C", "61", "62", "65", "75", "78", "83", "86", "91", "93",
        "96", "9G", "N3", "N4",
    ];
    for code in not_now {
        assert_eq!(VisaCategory::of(code), Some(VisaCategory::NotNow), "{code}");
        assert_eq!(
            terms(visa(code)),
            (Duration::ZERO, Correction::NotNeeded),
            "{code}"
        );
    }
    for code in ["1A", "54", "55", "63", "6P", "70", "82", "N7"] {
        assert_eq!(VisaCategory::of(code), Some(VisaCategory::DataQuality), "{code}");
        assert_eq!(terms(visa(code)), (Duration::ZERO, Correction::Needed), "{code}");
    }
    for code in ["01", "05", "13", "Z5", "??"] {
        assert_eq!(VisaCategory::of(code), Some(VisaCategory::Generic), "{code}");
    }
    for code in ["00", "10", "85"] {
        assert_eq!(VisaCategory::of(code), None, "{code}");
    }
    assert_eq!(
        VISA.len(),
        card.len() + 3 + not_now.len() + 8,
        "each row is tried above"
    );
    for code in VISA.iter().map(|(code, _)| *code) {
        let RetryRule::On(terms) = visa(code) else {
            continue;
        };
        let limit = RetryLimit {
            most: 15,
            within: days(30),
        };
        assert_eq!(terms.limits(), [limit], "{code}");
    }
}

#[test]
fn every_merchant_advice_code_has_its_rule() {
    let hours = |count: u64| Some((Duration::from_secs(3_600 * count), Correction::NotNeeded));
    let correct = Some((Duration::ZERO, Correction::Needed));
    let rows = [
        ("01", correct),
        ("02", hours(72)),
        ("03", None),
        ("04", correct),
        ("21", None),
        ("22", hours(0)),
        ("24", hours(1)),
        ("25", hours(24)),
        ("26", hours(48)),
        ("27", hours(96)),
        ("28", hours(144)),
        ("29", hours(192)),
        ("30", hours(240)),
        ("40", hours(0)),
        ("41", hours(0)),
        ("42", None),
        ("43", hours(0)),
    ];
    assert_eq!(MERCHANT_ADVICE.len(), rows.len());
    for (code, expected) in rows {
        match (mastercard(Some("51"), Some(code)), expected) {
            (RetryRule::Never(_), None) => {}
            (rule, Some(expected)) => assert_eq!(terms(rule), expected, "{code}"),
            (rule, None) => panic!("{code}: {rule:?}"),
        }
    }
    let RetryRule::On(terms) = mastercard(None, Some("99")) else {
        panic!("a code that nobody knows forbids nothing")
    };
    let limits = terms.limits().iter().map(|limit| (limit.most, limit.within));
    assert_eq!(limits.collect::<Vec<_>>(), [(10, DAY), (35, days(30))]);
}

#[test]
fn mastercards_responses_forbid_by_themselves() {
    for code in ["04", "14", "15", "41", "43"] {
        assert_eq!(
            mastercard(Some(code), None),
            RetryRule::Never(NeverAgain::ThisCard),
            "{code}"
        );
    }
    assert_eq!(
        terms(mastercard(Some("54"), None)),
        (Duration::ZERO, Correction::Needed)
    );
    assert_eq!(
        terms(mastercard(Some("57"), None)),
        (Duration::ZERO, Correction::NotNeeded)
    );
    assert_eq!(MASTERCARD_RESPONSES.len(), 6);
}

/// PayPal, for one, gives Visa's cards an advice code of its own, with other meanings.
#[test]
fn a_code_means_what_it_means_in_its_own_network() {
    for network in NETWORKS {
        let never = matches!(said(network, None, Some("03")).retry_rule(), RetryRule::Never(_));
        assert_eq!(never, network == CardNetwork::Mastercard, "{network:?}");
        let never = matches!(said(network, Some("46"), None).retry_rule(), RetryRule::Never(_));
        assert_eq!(never, network == CardNetwork::Visa, "{network:?}");
    }
    assert_eq!(CardNetwork::named("VISA"), CardNetwork::Visa);
    assert_eq!(CardNetwork::named("maestro"), CardNetwork::Mastercard);
    assert_eq!(CardNetwork::named("elo"), CardNetwork::Other);
}

#[test]
fn no_code_stands_twice_and_each_can_come() {
    fn check<T>(table: &[(&str, T)]) {
        let codes: BTreeSet<_> = table.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes.len(), table.len());
        assert!(codes.iter().all(|word| code(word).as_deref() == Some(*word)));
    }
    check(VISA);
    check(MASTERCARD_RESPONSES);
    check(MERCHANT_ADVICE);
    for word in ["", "4242424242424242", "5 1", "51é", "12345"] {
        let advice = NetworkAdvice::of(CardNetwork::Visa)
            .response_code(word)
            .advice_code(word);
        assert_eq!(advice, NetworkAdvice::of(CardNetwork::Visa), "{word}");
    }
    let lower = NetworkAdvice::of(CardNetwork::Visa).response_code("r1");
    assert_eq!(lower.response(), Some("R1"));
}

/// Everything that a network can say: each response with each advice and with each instruction.
fn everything() -> Vec<NetworkAdvice> {
    let options = |codes: Vec<&'static str>| {
        let mut all: Vec<_> = codes.into_iter().map(Some).collect();
        all.push(None);
        all
    };
    let mut responses: Vec<_> = VISA.iter().map(|(code, _)| *code).collect();
    responses.extend(["05", "79"]);
    let advices: Vec<_> = MERCHANT_ADVICE.iter().map(|(code, _)| *code).collect();
    let mut all = Vec::new();
    for network in [CardNetwork::Visa, CardNetwork::Mastercard, CardNetwork::Other] {
        for response in options(responses.clone()) {
            for advice in options(advices.clone()) {
                all.push(said(network, response, advice));
            }
            let plain = said(network, response, None);
            all.extend(INSTRUCTIONS.map(|instruction| plain.clone().instruction(instruction)));
        }
    }
    all
}

/// How soon the same card may be charged again, by an advice; `None` where it may not.
fn room(decline: &Decline) -> Option<Duration> {
    match (decline.kind(), decline.advice()) {
        (_, DeclineAdvice::GiveUp) | (DeclineKind::Hard, DeclineAdvice::TryAnotherMethod) => None,
        (_, DeclineAdvice::TryLater { after }) => Some(after),
        (_, DeclineAdvice::TryAnotherMethod | DeclineAdvice::Authenticate) => Some(Duration::ZERO),
    }
}

fn stricter(said: Option<Duration>, usual: Option<Duration>) -> bool {
    match (said, usual) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(said), Some(usual)) => said >= usual,
    }
}

#[test]
fn what_the_network_says_makes_no_decline_laxer() {
    for said in everything() {
        for (code, kind) in DeclineCode::ALL
            .iter()
            .flat_map(|code| KINDS.map(|kind| (*code, kind)))
        {
            let usual = Decline::new(code, kind, None);
            let decline = usual.clone().with_network(said.clone());
            let about = || format!("{code:?} {kind:?} {said:?}: {:?}", decline.advice());
            assert!(stricter(room(&decline), room(&usual)), "{}", about());
            assert!(usual.may_cascade() || !decline.may_cascade(), "{}", about());
            if usual.advice() == DeclineAdvice::GiveUp {
                assert_eq!(decline.advice(), DeclineAdvice::GiveUp, "{}", about());
            }
            match said.retry_rule() {
                RetryRule::Never(_) => {
                    assert_eq!(decline.kind(), DeclineKind::Hard, "{}", about());
                    assert_eq!(decline.advice(), DeclineAdvice::GiveUp, "{}", about());
                    assert!(!decline.may_cascade(), "{}", about());
                }
                RetryRule::On(terms) if terms.correction() == Correction::Needed => {
                    assert_ne!(decline.kind(), DeclineKind::Soft, "{}", about());
                    assert!(!decline.may_cascade(), "{}", about());
                }
                RetryRule::On(terms) => {
                    assert_eq!(decline.kind(), kind, "{}", about());
                    let at_once = terms.wait().is_zero();
                    assert_eq!(
                        decline.may_cascade(),
                        at_once && usual.may_cascade(),
                        "{}",
                        about()
                    );
                    assert!(!at_once || decline.advice() == usual.advice(), "{}", about());
                }
            }
        }
    }
}

#[test]
fn the_wait_that_the_network_names_is_advised_where_it_is_the_longer() {
    let wait = |code| soft(NetworkAdvice::of(CardNetwork::Mastercard).advice_code(code)).advice();
    assert_eq!(
        wait("24"),
        DeclineAdvice::TryLater { after: DAY },
        "the code's own"
    );
    assert_eq!(wait("30"), DeclineAdvice::TryLater { after: days(10) });
    assert_eq!(wait("01"), DeclineAdvice::TryAnotherMethod);
    let generic = Decline::new(DeclineCode::DoNotHonor, DeclineKind::Soft, None);
    let said = NetworkAdvice::of(CardNetwork::Mastercard).advice_code("24");
    assert_eq!(
        generic.with_network(said).advice(),
        DeclineAdvice::TryLater { after: HOUR }
    );
}

#[test]
fn a_rule_is_the_same_in_whichever_order_it_is_put_together() {
    let says = [
        Says::NeverThisCard,
        Says::NeverThisPayment,
        Says::Correct,
        Says::Wait(HOUR),
        Says::Wait(DAY),
        Says::Again,
    ]
    .map(|says| says.rule(CardNetwork::Mastercard));
    for one in says {
        assert_eq!(one.and(one), one);
        for two in says {
            assert_eq!(one.and(two), two.and(one));
            for three in says {
                assert_eq!(one.and(two).and(three), one.and(two.and(three)));
            }
        }
    }
}

#[test]
fn what_was_stored_is_read() {
    let old = r#"{"code":"do_not_honor","kind":"soft","network_code":null}"#;
    let read: Decline = serde_json::from_str(old).unwrap();
    assert_eq!(
        read,
        Decline::new(DeclineCode::DoNotHonor, DeclineKind::Soft, None)
    );
    assert_eq!(serde_json::to_string(&read).unwrap(), old);

    let said = NetworkAdvice::of(CardNetwork::Mastercard)
        .response_code("51")
        .advice_code("26");
    let decline = soft(said.clone().instruction(RetryInstruction::TryAgainLater));
    let written = serde_json::to_string(&decline).unwrap();
    assert_eq!(
        written,
        r#"{"code":"insufficient_funds","kind":"soft","network_code":null,"network":{"network":"mastercard","response_code":"51","advice_code":"26","instruction":"try_again_later"}}"#
    );
    assert_eq!(serde_json::from_str::<Decline>(&written).unwrap(), decline);
    let later: NetworkAdvice = serde_json::from_str(r#"{"network":"a_new_one"}"#).unwrap();
    assert_eq!(later, NetworkAdvice::of(CardNetwork::Other));
}

fn attempt(number: u128) -> AttemptId {
    AttemptId::from_uuid(Mode::Test, Uuid::from_u128(number))
}

fn hour(number: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + 3_600 * number)
}

fn refused(until: Timestamp) -> TryPermission {
    TryPermission::Refused { until: Some(until) }
}

/// Declined tries, one an hour.
fn declined(network: CardNetwork, count: u32) -> CardTries {
    let mut tries = CardTries::of(network);
    for number in 0..count {
        tries.record(
            attempt(u128::from(number)),
            hour(i64::from(number)),
            TryOutcome::Declined,
        );
    }
    tries
}

#[test]
fn the_sixteenth_try_of_a_visa_card_waits_until_the_first_is_thirty_days_old() {
    let free = RetryRule::free(CardNetwork::Visa);
    assert_eq!(
        declined(CardNetwork::Visa, 14).allowed(free, hour(14)),
        TryPermission::Allowed
    );
    let tries = declined(CardNetwork::Visa, 15);
    let until = hour(0).after(days(30));
    assert_eq!(tries.allowed(free, hour(15)), refused(until));
    assert_eq!(
        tries.allowed(free, until.before(Duration::from_millis(1))),
        refused(until)
    );
    assert_eq!(tries.allowed(free, until), TryPermission::Allowed);
    assert_eq!(
        declined(CardNetwork::Jcb, 60).allowed(RetryRule::free(CardNetwork::Jcb), hour(60)),
        TryPermission::Allowed
    );
}

#[test]
fn a_mastercard_has_a_limit_by_the_day_and_one_by_the_month() {
    let free = RetryRule::free(CardNetwork::Mastercard);
    let tries = declined(CardNetwork::Mastercard, 10);
    assert_eq!(tries.allowed(free, hour(10)), refused(hour(24)));
    assert_eq!(tries.allowed(free, hour(24)), TryPermission::Allowed);

    let mut month = CardTries::of(CardNetwork::Mastercard);
    for number in 0..35_u32 {
        let at = hour(i64::from(number) * 12);
        month.record(attempt(u128::from(number)), at, TryOutcome::Declined);
    }
    assert_eq!(month.allowed(free, hour(34 * 12 + 1)), refused(hour(24 * 30)));
}

#[test]
fn an_approval_begins_the_count_anew() {
    let free = RetryRule::free(CardNetwork::Visa);
    let mut tries = declined(CardNetwork::Visa, 15);
    tries.record(attempt(99), hour(16), TryOutcome::Approved);
    assert_eq!(
        (tries.allowed(free, hour(16)), tries.declined()),
        (TryPermission::Allowed, 0)
    );
    tries.record(attempt(3), hour(3), TryOutcome::Declined);
    assert_eq!(tries.declined(), 0, "late news of what was before it");
    assert_eq!(tries.ends_at(), None);
}

#[test]
fn a_condemned_card_rests_for_thirty_days_or_until_it_is_approved() {
    let lost = soft(NetworkAdvice::of(CardNetwork::Visa).response_code("41"));
    assert_eq!(TryOutcome::of(&lost), TryOutcome::Condemned);
    let stopped = soft(NetworkAdvice::of(CardNetwork::Visa).response_code("R0"));
    assert_eq!(TryOutcome::of(&stopped), TryOutcome::Declined);

    let free = RetryRule::free(CardNetwork::Visa);
    let mut tries = CardTries::of(CardNetwork::Visa);
    tries.record(attempt(1), hour(0), TryOutcome::of(&lost));
    let until = hour(0).after(days(30));
    assert_eq!(tries.allowed(free, hour(1)), refused(until));
    assert_eq!(tries.allowed(free, until), TryPermission::Allowed);
    assert_eq!(tries.ends_at(), Some(until));
    assert_eq!(
        tries.allowed(lost.retry_rule(), until),
        TryPermission::Refused { until: None },
        "of that payment never"
    );
    tries.record(attempt(2), hour(2), TryOutcome::Approved);
    assert_eq!(tries.allowed(free, hour(3)), TryPermission::Allowed);
}

#[test]
fn a_wait_counts_from_the_last_try() {
    let rule = mastercard(Some("51"), Some("27"));
    let tries = declined(CardNetwork::Mastercard, 2);
    assert_eq!(tries.allowed(rule, hour(2)), refused(hour(1).after(days(4))));
    assert_eq!(
        CardTries::of(CardNetwork::Mastercard).allowed(rule, hour(2)),
        TryPermission::Allowed
    );
}

#[test]
fn a_record_is_bounded_and_its_bound_changes_no_answer() {
    for network in NETWORKS {
        let most = network.limits().iter().map(|limit| limit.most).max().unwrap_or(0);
        let tries = declined(network, 1_000);
        assert_eq!(tries.declined(), 64);
        assert!(most <= 64, "{network:?}");
        let written = serde_json::to_string(&tries).unwrap();
        assert!(written.len() < 8_192, "{}", written.len());
        assert_eq!(serde_json::from_str::<CardTries>(&written).unwrap(), tries);
    }
}

#[derive(Clone, Debug)]
struct Tried(u128, i64, TryOutcome);

fn tried() -> impl Strategy<Value = Vec<Tried>> {
    let outcome = prop_oneof![
        1 => Just(TryOutcome::Approved),
        20 => Just(TryOutcome::Declined),
        1 => Just(TryOutcome::Condemned),
    ];
    let one = (0_u128..200, 0_i64..1_000, outcome).prop_map(|(id, at, outcome)| Tried(id, at, outcome));
    proptest::collection::vec(one, 0..120)
}

fn record(tried: &[Tried]) -> CardTries {
    let mut tries = CardTries::of(CardNetwork::Mastercard);
    for Tried(id, at, outcome) in tried {
        tries.record(attempt(*id), hour(*at), *outcome);
    }
    tries
}

fn merged(mut one: CardTries, other: &CardTries) -> CardTries {
    one.merge(other);
    one
}

proptest! {
    #[test]
    fn instances_converge(one in tried(), two in tried(), three in tried()) {
        let all: Vec<Tried> = one.iter().chain(&two).chain(&three).cloned().collect();
        let mut backwards = all.clone();
        backwards.reverse();
        let (one, two, three) = (record(&one), record(&two), record(&three));
        let left = merged(merged(one.clone(), &two), &three);
        prop_assert_eq!(&left, &merged(one.clone(), &merged(two.clone(), &three)));
        prop_assert_eq!(&left, &merged(three, &merged(two, &one)));
        prop_assert_eq!(&left, &merged(left.clone(), &left));
        prop_assert_eq!(&left, &merged(left.clone(), &one));
        prop_assert_eq!(&left, &record(&all));
        prop_assert_eq!(&left, &record(&backwards));
    }

    #[test]
    fn a_card_that_is_refused_until_then_may_be_tried_then(tried in tried(), at in 0_i64..2_000) {
        let tries = record(&tried);
        let free = RetryRule::free(CardNetwork::Mastercard);
        match tries.allowed(free, hour(at)) {
            TryPermission::Allowed => {}
            TryPermission::Refused { until: Some(until) } => {
                prop_assert!(until > hour(at));
                prop_assert_eq!(tries.allowed(free, until), TryPermission::Allowed);
                prop_assert!(tries.ends_at().is_some_and(|end| until <= end));
            }
            TryPermission::Refused { until: None } => prop_assert!(false, "a free rule always ends"),
        }
    }
}
