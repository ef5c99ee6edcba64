//! Why a payment goes where it goes: what a decision knew, whom it considered, and what it came to.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::circuit::Circuit;
use super::facts::{CardFacts, CardType, Country, Facts, Weekday};
use super::health::Standing;
use super::plan::{Candidate, RouteFacts};
use super::rule::StickyBy;
use crate::decline::DeclineCode;
use crate::id::AccountRef;
use crate::intent::{CaptureMethod, IntentMode, Metadata, MitReason, PlannedAccount};
use crate::method::MethodKind;
use crate::money::Money;

/// Why a payment goes where it goes. It is kept on the payment, holds no personal data and nothing of a card but its first
/// digits, and is enough to decide again: see [`replay`](super::replay()).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Explanation {
    /// Who decided.
    pub by: DecidedBy,
    /// How the accounts were put in order.
    pub choice: ChoiceKind,
    /// A split's draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitDraw>,
    /// Whether all circuits were open.
    pub circuits: Circuits,
    /// What was known of the payment.
    pub facts: KeptFacts,
    /// The accounts that could take it, in the order of their registration, then those that couldn't.
    pub considered: Vec<Considered>,
}

/// Who decided on the accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "snake_case", deny_unknown_fields)]
pub enum DecidedBy {
    /// A rule of a program.
    Program {
        /// The program's name.
        name: String,
        /// What the program is, whatever it is called: [`Program::fingerprint`](super::Program::fingerprint).
        fingerprint: String,
        /// Its number among the tenant's stored programs, where it is one of those.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// The rule that matched, or `otherwise`.
        rule: String,
        /// Its place, from 0; of the default, none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<u32>,
    },
    /// The caller, who named a connector or an account.
    Caller,
    /// A router of the host's own, or the order of registration.
    Router,
}

/// How accounts were put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChoiceKind {
    /// As they are listed.
    Ordered,
    /// By a split's draw.
    Split,
    /// The likeliest to be approved first.
    BestSuccessRate,
    /// The cheapest first.
    Cheapest,
    /// The one with the fewest failures first.
    HealthiestFirst,
    /// It goes nowhere.
    Blocked,
}

/// The draw of a split.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitDraw {
    /// What it sticks to.
    pub sticky_by: StickyBy,
    /// The targets with their shares, as they were drawn: the first won.
    pub drawn: Vec<(String, u32)>,
}

/// Whether there was an account whose circuit let a payment through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuits {
    /// There was.
    SomeClosed,
    /// All of them were open: no account seemed to execute anything.
    AllOpen,
}

impl Circuits {
    /// Of the accounts that a payment may go to.
    pub(super) fn of<'c>(mut planned: impl Iterator<Item = &'c Candidate>) -> Self {
        match planned.next() {
            Some(first) if first.is_open() && planned.all(Candidate::is_open) => Self::AllOpen,
            Some(_) | None => Self::SomeClosed,
        }
    }
}

/// An account, and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Considered {
    /// The account.
    pub account: AccountRef,
    /// Whether the payment may go there.
    pub verdict: Kept,
    /// How it had done lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// What the payment was expected to cost there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Money>,
}

/// Whether a payment may go to an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// It may, in this place from 0.
    At(u32),
    /// It could, and the rule doesn't name it.
    NotNamed,
    /// It can't, for this reason.
    LeftOut(String),
}

/// What was known of a payment, as it is kept. Of its metadata, what the program asks about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each is told of in `Facts`")]
pub struct KeptFacts {
    pub tenant: String,
    pub amount: Money,
    pub method: MethodKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_network: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_type: Option<CardType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_bin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_issuer_country: Option<Country>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer_country: Option<Country>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_country: Option<Country>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcc: Option<u16>,
    pub capture: CaptureMethod,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mit: Option<MitReason>,
    pub mode: IntentMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The keys of metadata that were asked about: what isn't here isn't known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub metadata_asked: BTreeSet<String>,
    pub time_of_day: u16,
    pub day_of_week: Weekday,
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decline: Option<DeclineCode>,
    pub seed: u64,
}

impl KeptFacts {
    /// What is kept of facts, with the metadata of these keys.
    pub fn of<'k>(facts: &Facts<'_>, keys: impl IntoIterator<Item = &'k str>) -> Self {
        let asked: BTreeSet<String> = keys.into_iter().map(str::to_owned).collect();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let pair = |key: &String| Some((key.clone(), facts.metadata?.get(key)?.clone()));
        Self {
            tenant: facts.tenant.to_owned(),
            amount: facts.amount,
            method: facts.method,
            card_network: owned(facts.card.network),
            card_type: facts.card.funding,
            card_bin: owned(facts.card.bin),
            card_issuer_country: facts.card.issuer_country,
            wallet: owned(facts.wallet),
            bank: owned(facts.bank),
            scheme: owned(facts.scheme),
            payer_country: facts.payer_country,
            merchant_country: facts.merchant_country,
            mcc: facts.mcc,
            capture: facts.capture,
            mit: facts.mit,
            mode: facts.mode,
            customer: owned(facts.customer),
            session: owned(facts.session),
            metadata: asked.iter().filter_map(pair).collect(),
            metadata_asked: asked,
            time_of_day: facts.time_of_day,
            day_of_week: facts.day_of_week,
            attempt: facts.attempt,
            last_decline: facts.last_decline,
            seed: facts.seed,
        }
    }

    /// The facts again.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            tenant: &self.tenant,
            amount: self.amount,
            method: self.method,
            card: CardFacts {
                network: self.card_network.as_deref(),
                funding: self.card_type,
                bin: self.card_bin.as_deref(),
                issuer_country: self.card_issuer_country,
            },
            wallet: self.wallet.as_deref(),
            bank: self.bank.as_deref(),
            scheme: self.scheme.as_deref(),
            payer_country: self.payer_country,
            merchant_country: self.merchant_country,
            mcc: self.mcc,
            capture: self.capture,
            mit: self.mit,
            mode: self.mode,
            customer: self.customer.as_deref(),
            session: self.session.as_deref(),
            metadata: Some(&self.metadata),
            time_of_day: self.time_of_day,
            day_of_week: self.day_of_week,
            attempt: self.attempt,
            last_decline: self.last_decline,
            seed: self.seed,
        }
    }
}

impl Explanation {
    /// Of a router that gave none, and of a caller who named an account.
    pub(crate) fn of_router(facts: &RouteFacts<'_>, accounts: &[PlannedAccount]) -> Self {
        let texts = facts.texts();
        let place = |candidate: &Candidate| accounts.iter().position(|one| one.account == candidate.account);
        let considered = facts.candidates.iter().map(|candidate| Considered {
            account: candidate.account.clone(),
            verdict: place(candidate).map_or(Kept::NotNamed, |place| Kept::At(place as u32)),
            standing: candidate.standing,
            fee: candidate.fee,
        });
        Self {
            by: match facts.details.routing.through {
                Some(_) => DecidedBy::Caller,
                None => DecidedBy::Router,
            },
            choice: ChoiceKind::Ordered,
            split: None,
            circuits: Circuits::of(facts.candidates.iter().filter(|one| place(one).is_some())),
            facts: KeptFacts::of(&facts.facts(&texts), []),
            considered: considered.collect(),
        }
    }

    /// With the accounts that can't take the payment.
    pub(crate) fn leaving_out(mut self, left_out: &[PlannedAccount]) -> Self {
        self.considered.extend(left_out.iter().map(|out| Considered {
            account: out.account.clone(),
            verdict: Kept::LeftOut(out.reason.clone()),
            standing: None,
            fee: None,
        }));
        self
    }

    /// The accounts that the payment goes to, in order.
    pub fn order(&self) -> Vec<&AccountRef> {
        let kept = |one: &&Considered| matches!(one.verdict, Kept::At(_));
        self.in_order()
            .into_iter()
            .filter(kept)
            .map(|one| &one.account)
            .collect()
    }

    /// Those that the payment goes to, in order, then the others.
    fn in_order(&self) -> Vec<&Considered> {
        let mut considered: Vec<&Considered> = self.considered.iter().collect();
        considered.sort_by_key(|one| match one.verdict {
            Kept::At(place) => (0, place),
            Kept::NotNamed => (1, 0),
            Kept::LeftOut(_) => (2, 0),
        });
        considered
    }
}

/// For a person: one line for who decided, one for each account.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        write!(f, "{} by {}", facts.amount, self.method_words())?;
        match &self.by {
            DecidedBy::Program {
                name,
                fingerprint,
                version,
                rule,
                place,
            } => {
                write!(f, ": program `{name}` ({fingerprint}")?;
                if let Some(version) = version {
                    write!(f, ", version {version}")?;
                }
                match place {
                    Some(place) => write!(f, "), rule {} `{rule}`", place + 1)?,
                    None => f.write_str("), its default")?,
                }
            }
            DecidedBy::Caller => f.write_str(": where the caller asked for")?,
            DecidedBy::Router => f.write_str(": by the host's router")?,
        }
        writeln!(f, ", {}", self.choice.words())?;
        if let Some(split) = &self.split {
            let shares = split
                .drawn
                .iter()
                .map(|(target, share)| format!("{target} {share}"));
            let by = match split.sticky_by {
                StickyBy::Intent => "payment",
                StickyBy::Customer => "customer",
            };
            writeln!(f, "  drawn by {by}: {}", shares.collect::<Vec<_>>().join(", "))?;
        }
        if self.circuits == Circuits::AllOpen {
            writeln!(f, "  all circuits were open")?;
        }
        self.in_order()
            .into_iter()
            .try_for_each(|one| writeln!(f, "{one}"))
    }
}

impl Explanation {
    fn method_words(&self) -> String {
        let facts = &self.facts;
        let network = facts
            .card_network
            .as_deref()
            .or(facts.scheme.as_deref())
            .or(facts.bank.as_deref());
        let kind = super::facts::FactName::Method
            .word(facts.method as u16)
            .replace('_', " ");
        match network {
            Some(network) => format!("{kind} ({network})"),
            None => kind,
        }
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Kept::At(place) => write!(f, "  {}. {}", place + 1, self.account)?,
            Kept::NotNamed => write!(f, "  -  {}: not named by the rule", self.account)?,
            Kept::LeftOut(why) => write!(f, "  -  {}: {why}", self.account)?,
        }
        if let Some(standing) = &self.standing {
            match standing.rate_ppm {
                Some(ppm) => write!(
                    f,
                    ", {}.{} % of {} approved",
                    ppm / 10_000,
                    ppm / 1_000 % 10,
                    standing.tried
                )?,
                None => f.write_str(", not tried lately")?,
            }
            match standing.circuit {
                Circuit::Closed => {}
                Circuit::Open { .. } => f.write_str(", circuit open")?,
                Circuit::HalfOpen => f.write_str(", circuit half open")?,
            }
        }
        match self.fee {
            Some(fee) => write!(f, ", fee {fee}"),
            None => Ok(()),
        }
    }
}

impl ChoiceKind {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Ordered => "in the order given",
            Self::Split => "by a split",
            Self::BestSuccessRate => "the best success rate first",
            Self::Cheapest => "the cheapest first",
            Self::HealthiestFirst => "the healthiest first",
            Self::Blocked => "blocked",
        }
    }
}
