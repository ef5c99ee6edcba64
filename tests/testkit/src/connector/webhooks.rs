//! The clauses about webhooks.

use std::slice::from_ref;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use paymux_core::connector::{Handle, Inbound, Verified, WebhookOps};
use paymux_core::{Secret, Timestamp};
use serde_json::Value;

use super::payments::Payments;
use super::report::{Clause, Report};
use super::requests::attempt;
use super::{ConnectorSuite, Sign, noise};

const NOW: Timestamp = Timestamp::from_secs(1_750_000_000);

/// Longer than any processor's tolerance.
const LONG: Duration = Duration::from_secs(30 * 86_400);

impl ConnectorSuite {
    pub(super) async fn webhooks(&self, payments: &Payments, report: &mut Report) {
        let Some(ops) = self.connector.slots().webhooks() else {
            report.not_offered("webhooks");
            return;
        };
        report.section("webhooks", "");
        let (Some(sign), Some(notice)) = (&self.sign, &self.notice) else {
            let missing =
                "say how the processor signs, with `.signed_by(…)`, and what it posts, with `.notice(…)`";
            report.note(Clause::Stated, Err(missing.into()));
            return;
        };
        let about = payments
            .first()
            .map_or_else(|| self.handle.clone(), |facts| facts.handle.clone());
        let post = Post {
            ops,
            sign,
            body: Bytes::from(notice(&about).to_string()),
        };
        post.genuine(self, &about, report).await;
        post.foreign(self, report);
        post.forged(report).await;
        post.altered(report).await;
        post.stale(report).await;
        post.malformed(report).await;
    }
}

/// The secrets of an endpoint, both live while one replaces the other.
fn live() -> [Secret; 2] {
    ["whsec_one_5f1d7a8c2b", "whsec_two_0c9e4b6d31"].map(Secret::from)
}

struct Post<'a> {
    ops: &'a dyn WebhookOps,
    sign: &'a Sign,
    body: Bytes,
}

impl Post<'_> {
    fn signed(&self, body: &Bytes, secret: &Secret, at: Timestamp) -> Inbound {
        Inbound {
            headers: (self.sign)(body, secret, at),
            body: body.clone(),
        }
    }

    async fn verify(&self, inbound: &Inbound, secrets: &[Secret]) -> Result<Verified, String> {
        self.ops
            .verify(inbound, secrets, NOW)
            .await
            .map_err(|bad| bad.to_string())
    }

    async fn refuses(&self, inbound: &Inbound, secrets: &[Secret], what: &str) -> Result<(), String> {
        match self.verify(inbound, secrets).await {
            Ok(_) => Err(format!("{what} is taken for genuine")),
            Err(_) => Ok(()),
        }
    }

    async fn genuine(&self, suite: &ConnectorSuite, about: &Handle, report: &mut Report) {
        let live = live();
        for secret in &live {
            let inbound = self.signed(&self.body, secret, NOW);
            let accounts = attempt(|| self.ops.identify(&inbound));
            report.note(
                Clause::Genuine,
                match accounts {
                    Ok(Ok(accounts)) if accounts.contains(suite.connector.account()) => Ok(()),
                    Ok(_) => Err("its account isn't identified".into()),
                    Err(panic) => Err(panic),
                },
            );
            let notices = self
                .verify(&inbound, &live)
                .await
                .map(|genuine| attempt(|| self.ops.decode(&genuine)));
            report.note(
                Clause::Genuine,
                match notices {
                    Err(why) => Err(format!("one of two live secrets signed it, and {why}")),
                    Ok(Err(panic)) => Err(panic),
                    Ok(Ok(Err(malformed))) => Err(malformed.to_string()),
                    Ok(Ok(Ok(notices))) if notices.iter().any(|notice| notice.about() == about) => Ok(()),
                    Ok(Ok(Ok(_))) => Err("no notice is about the object".into()),
                },
            );
        }
        let status = self.ops.reply().status();
        report.note(
            Clause::Genuine,
            match status.is_success() {
                true => Ok(()),
                false => Err(format!("the processor hears {status} and will post again")),
            },
        );
    }

    /// Where the body names the account, one that names another account is another's.
    fn foreign(&self, suite: &ConnectorSuite, report: &mut Report) {
        let account = suite.connector.account();
        let [one, _] = &live();
        let named = serde_json::from_slice::<Value>(&self.body).ok();
        let Some(foreign) = named.and_then(|body| renamed(body, account.account())) else {
            report.not_asked(Clause::Foreign, "what is posted doesn't name the account");
            return;
        };
        let inbound = self.signed(&Bytes::from(foreign.to_string()), one, NOW);
        report.note(
            Clause::Foreign,
            match attempt(|| self.ops.identify(&inbound)) {
                Err(panic) => Err(panic),
                Ok(Ok(accounts)) if accounts.contains(account) => {
                    Err("a webhook that names another account is taken for its own".into())
                }
                Ok(Ok(_) | Err(_)) => Ok(()),
            },
        );
    }

    async fn forged(&self, report: &mut Report) {
        let [one, two] = &live();
        let genuine = self.signed(&self.body, one, NOW);
        let unsigned = Inbound {
            headers: HeaderMap::new(),
            body: self.body.clone(),
        };
        report.note(
            Clause::Forged,
            self.refuses(&unsigned, from_ref(one), "a webhook without a signature")
                .await,
        );
        report.note(
            Clause::Forged,
            self.refuses(&genuine, from_ref(two), "another account's webhook")
                .await,
        );
        report.note(
            Clause::Forged,
            self.refuses(&genuine, &[], "a webhook, without any secret,")
                .await,
        );
        let guessed = self.signed(&self.body, &Secret::from(""), NOW);
        report.note(
            Clause::Forged,
            self.refuses(&guessed, from_ref(one), "one signed with an empty secret")
                .await,
        );
        let keyless = self.signed(&self.body, &Secret::from(""), NOW);
        report.note(
            Clause::Forged,
            self.refuses(&keyless, &[Secret::from("")], "what an empty secret signed")
                .await,
        );
        // Headers that aren't part of the signature may change, but some are.
        let mut refused = 0;
        for (name, value) in &genuine.headers {
            let mut headers = genuine.headers.clone();
            headers.insert(name, turned(value));
            let forged = Inbound {
                headers,
                body: self.body.clone(),
            };
            if self.verify(&forged, from_ref(one)).await.is_err() {
                refused += 1;
                report.note(Clause::Forged, self.whole(&genuine, name).await);
            }
        }
        report.note(
            Clause::Forged,
            match refused {
                0 => Err("a signature with another last digit is taken for genuine".into()),
                _ => Ok(()),
            },
        );
    }

    /// Whether no part of what a header is signed with will do. The shortest beginning that is taken ends where the
    /// signature does, and says something of the secret.
    async fn whole(&self, genuine: &Inbound, name: &HeaderName) -> Result<(), String> {
        let [one, two] = &live();
        let Some(value) = genuine.headers.get(name) else {
            return Ok(());
        };
        let value = value.as_bytes();
        for end in 0..value.len() {
            let Ok(part) = HeaderValue::from_bytes(&value[..end]) else {
                continue;
            };
            let mut cut = genuine.clone();
            cut.headers.insert(name, part);
            if self.verify(&cut, from_ref(one)).await.is_err() {
                continue;
            }
            self.refuses(&cut, from_ref(two), "a webhook whose signature is cut off")
                .await?;
            let goes_on = value[end].is_ascii_alphanumeric() || b"+/-_".contains(&value[end]);
            return match goes_on {
                true => Err("the beginning of a signature is taken for all of it".into()),
                false => Ok(()),
            };
        }
        Ok(())
    }

    async fn altered(&self, report: &mut Report) {
        let [one, _] = &live();
        let headers = (self.sign)(&self.body, one, NOW);
        let mut longer = self.body.to_vec();
        longer.push(b' ');
        let bodies = noise::flips(&self.body)
            .into_iter()
            .chain(noise::cuts(&self.body))
            .chain([longer.into()]);
        for body in bodies {
            let inbound = Inbound {
                headers: headers.clone(),
                body,
            };
            report.note(
                Clause::Altered,
                self.refuses(&inbound, from_ref(one), "another body").await,
            );
        }
    }

    async fn stale(&self, report: &mut Report) {
        let [one, _] = &live();
        let now = self.signed(&self.body, one, NOW);
        for (at, what) in [
            (NOW.before(LONG), "a month old one"),
            (NOW.after(LONG), "one from next month"),
        ] {
            let inbound = self.signed(&self.body, one, at);
            if inbound.headers == now.headers {
                report.not_asked(Clause::Stale, "the signature holds no time");
                return;
            }
            report.note(Clause::Stale, self.refuses(&inbound, from_ref(one), what).await);
        }
    }

    async fn malformed(&self, report: &mut Report) {
        let [one, _] = &live();
        // An object without anything known in it may be news that the connector doesn't care for.
        let is_object =
            |body: &Bytes| serde_json::from_slice::<Value>(body).is_ok_and(|value| value.is_object());
        let bodies = noise::garbage().into_iter().chain(noise::cuts(&self.body));
        let bodies = bodies
            .chain(noise::flips(&self.body))
            .chain(noise::confusions(&self.body));
        for body in bodies {
            let inbound = self.signed(&body, one, NOW);
            let may_read = is_object(&body);
            let identified = attempt(|| self.ops.identify(&inbound)).map(|_| ());
            report.note(
                Clause::Malformed,
                identified.map_err(|panic| format!("{panic} while it identifies")),
            );
            let Ok(genuine) = self.verify(&inbound, from_ref(one)).await else {
                // A processor's own signature over what it would never post: refusing it earlier is as good.
                report.note(Clause::Malformed, Ok(()));
                continue;
            };
            report.note(
                Clause::Malformed,
                match attempt(|| self.ops.decode(&genuine)) {
                    Err(panic) => Err(format!("{panic} while it decodes")),
                    Ok(Ok(_)) if !may_read => Err("garbage is taken for a notice".into()),
                    Ok(Ok(_) | Err(_)) => Ok(()),
                },
            );
        }
    }
}

/// A body in which another account's name stands wherever `account` stands by itself. `None` where it stands nowhere.
fn renamed(mut body: Value, account: &str) -> Option<Value> {
    fn rename(value: &mut Value, account: &str) -> usize {
        match value {
            Value::String(text) if text == account => {
                text.push_str("_other");
                1
            }
            Value::Array(items) => items.iter_mut().map(|item| rename(item, account)).sum(),
            Value::Object(fields) => fields.values_mut().map(|field| rename(field, account)).sum(),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }
    let found = rename(&mut body, account);
    (found > 0).then_some(body)
}

/// A header's value with its last digit or letter exchanged for another one.
fn turned(value: &HeaderValue) -> HeaderValue {
    let mut bytes = value.as_bytes().to_vec();
    if let Some(last) = bytes.iter_mut().rev().find(|byte| byte.is_ascii_alphanumeric()) {
        *last = if *last == b'0' { b'1' } else { b'0' };
    }
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| value.clone())
}
