//! Payments (docs.stripe.com/payments/paymentintents/lifecycle).

use serde_json::{Value, json};

use crate::Authentication;
use crate::book::{Account, Book, Charge, Intent, Status};
use crate::events::Subject;
use crate::form::Form;
use crate::methods::{Authenticates, card};
use crate::render::{self, Answer, Expand, error, invalid, missing};

/// The most that Stripe takes in one payment: eight digits.
const MOST: i64 = 99_999_999;

const CREATE: &[&str] = &[
    "amount",
    "currency",
    "capture_method",
    "confirm",
    "customer",
    "description",
    "expand[",
    "metadata[",
    "off_session",
    "payment_method",
    "payment_method_data[type]",
    "payment_method_data[card][token]",
    "payment_method_options[card][moto]",
    "payment_method_options[card][request_incremental_authorization]",
    "payment_method_options[card][request_multicapture]",
    "payment_method_options[card][request_three_d_secure]",
    "payment_method_types[",
    "receipt_email",
    "return_url",
    "shipping[name]",
    "shipping[phone]",
    "shipping[address][",
    "statement_descriptor_suffix",
];
const CONFIRM: &[&str] = &[
    "expand[",
    "off_session",
    "payment_method",
    "receipt_email",
    "return_url",
];
const CAPTURE: &[&str] = &[
    "amount_to_capture",
    "expand[",
    "final_capture",
    "metadata[",
    "statement_descriptor_suffix",
];
const INCREMENT: &[&str] = &["amount", "description", "expand[", "metadata["];
const CANCEL: &[&str] = &["cancellation_reason", "expand["];

/// What a call needs beside its own parameters.
pub(crate) struct Call<'a> {
    pub(crate) account: &'a Account,
    pub(crate) form: &'a Form,
    pub(crate) now: i64,
    pub(crate) base_url: &'a str,
}

impl Call<'_> {
    pub(crate) fn allow(&self, known: &[&str]) -> Result<(), Answer> {
        match self.form.unknown(known) {
            None => Ok(()),
            Some(name) => {
                let message = format!("Received unknown parameter: {name}");
                Err(invalid(Some("parameter_unknown"), &message).with("param", name.into()))
            }
        }
    }

    pub(crate) fn expand(&self) -> Result<Expand, Answer> {
        match self.form.list("expand")[..] {
            [] => Ok(Expand::Nothing),
            ["latest_charge"] => Ok(Expand::LatestCharge),
            _ => Err(invalid(None, "This property cannot be expanded.")),
        }
    }

    pub(crate) fn amount(&self, name: &str) -> Result<Option<i64>, Answer> {
        let wrong = |code, message: &str| invalid(Some(code), message).with("param", name.into());
        match self.form.get(name).map(str::parse::<i64>) {
            None => Ok(None),
            Some(Ok(amount)) if amount > MOST => Err(wrong(
                "amount_too_large",
                "Amount must be no more than 999,999.99",
            )),
            Some(Ok(amount)) if amount >= 1 => Ok(Some(amount)),
            Some(Ok(_) | Err(_)) => Err(wrong(
                "parameter_invalid_integer",
                "This value must be greater than or equal to 1.",
            )),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Answer> {
        match self.form.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(invalid(None, &format!("Invalid boolean: {name}")).with("param", name.into())),
        }
    }

    fn wants(&self, option: &str, words: &[&str], wanted: &[&str]) -> Result<bool, Answer> {
        match self.form.get(&format!("payment_method_options[card][{option}]")) {
            None => Ok(false),
            Some(word) if words.contains(&word) => Ok(wanted.contains(&word)),
            Some(word) => Err(invalid(
                None,
                &format!("Invalid payment_method_options[card][{option}]: {word}"),
            )),
        }
    }
}

impl Book {
    pub(crate) fn create(&mut self, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(CREATE)?;
        let expand = call.expand()?;
        let required = |name: &str| {
            let message = format!("Missing required param: {name}.");
            invalid(Some("parameter_missing"), &message).with("param", name.into())
        };
        let amount = call.amount("amount")?.ok_or_else(|| required("amount"))?;
        let currency = call.form.get("currency").ok_or_else(|| required("currency"))?;
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(invalid(None, "Invalid currency.").with("param", "currency".into()));
        }
        let capture_method = match call.form.get("capture_method") {
            None | Some("automatic_async") => "automatic_async",
            Some("automatic") => "automatic",
            Some("manual") => "manual",
            Some(_) => return Err(invalid(None, "Invalid capture_method.")),
        };
        let confirm = call.flag("confirm")?.unwrap_or(false);
        let off_session = call.flag("off_session")?;
        if off_session.is_some() && !confirm {
            return Err(invalid(None, "off_session can only be used with confirm=true."));
        }
        let method = call
            .form
            .get("payment_method")
            .or(call.form.get("payment_method_data[card][token]"));
        let card = match method {
            None => None,
            Some(name) => Some(card(name).ok_or_else(|| missing_method(name))?),
        };
        let if_available = ["if_available", "never"];
        let multicapture = call.wants("request_multicapture", &if_available, &["if_available"])?;
        let incremental = call.wants(
            "request_incremental_authorization",
            &if_available,
            &["if_available"],
        )?;
        let three_ds_requested = call.wants(
            "request_three_d_secure",
            &["any", "automatic", "challenge"],
            &["any", "challenge"],
        )?;
        let id = self.id("pi");
        let text = |name: &str| call.form.get(name).map(str::to_owned);
        let intent = Intent {
            id: id.clone(),
            account: call.account.clone(),
            status: if card.is_some() {
                Status::RequiresConfirmation
            } else {
                Status::RequiresPaymentMethod
            },
            amount,
            capturable: 0,
            received: 0,
            currency: currency.to_owned(),
            capture_method,
            client_secret: format!("{id}_secret_{}", self.id("s")),
            created: call.now,
            customer: text("customer"),
            description: text("description"),
            statement_descriptor_suffix: text("statement_descriptor_suffix"),
            metadata: call.form.metadata().collect(),
            payment_method: method.map(str::to_owned),
            card,
            three_ds_requested,
            multicapture: multicapture && capture_method == "manual",
            incremental: incremental && capture_method == "manual",
            return_url: text("return_url"),
            next_action: None,
            last_payment_error: None,
            latest_charge: None,
            canceled_at: None,
            cancellation_reason: None,
        };
        self.intents.insert(id.clone(), intent);
        self.happened(&id, "payment_intent.created", Subject::Intent);
        if confirm {
            return self.attempt(&id, off_session.unwrap_or(false), call, expand);
        }
        Ok(self.shown(&id, expand))
    }

    pub(crate) fn retrieve(&self, id: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(&["client_secret", "expand["])?;
        let expand = call.expand()?;
        self.own(id, call.account)?;
        Ok(self.shown(id, expand))
    }

    pub(crate) fn confirm(&mut self, id: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(CONFIRM)?;
        let expand = call.expand()?;
        let off_session = call.flag("off_session")?.unwrap_or(false);
        let other = match call.form.get("payment_method") {
            None => None,
            Some(name) => Some((name.to_owned(), card(name).ok_or_else(|| missing_method(name))?)),
        };
        let intent = self.own_mut(id, call.account)?;
        let open = match intent.status {
            Status::RequiresConfirmation | Status::RequiresAction => true,
            Status::RequiresPaymentMethod => other.is_some(),
            Status::RequiresCapture | Status::Succeeded | Status::Canceled => false,
        };
        if !open {
            return Err(self.unexpected(id, "confirm"));
        }
        if let Some((name, card)) = other {
            intent.payment_method = Some(name);
            intent.card = Some(card);
        }
        if let Some(url) = call.form.get("return_url") {
            intent.return_url = Some(url.to_owned());
        }
        self.attempt(id, off_session, call, expand)
    }

    /// A confirmation that may go on: asks the payer to authenticate, or charges the card.
    fn attempt(
        &mut self,
        id: &str,
        off_session: bool,
        call: &Call<'_>,
        expand: Expand,
    ) -> Result<Answer, Answer> {
        let intent = self.own_mut(id, call.account)?;
        let Some(card) = intent.card else {
            return Err(self.unexpected(id, "confirm"));
        };
        let authenticates = match card.authentication {
            Authenticates::Never => false,
            Authenticates::IfRequested => intent.three_ds_requested,
            Authenticates::Always => true,
            Authenticates::OnSession => !off_session,
        };
        intent.last_payment_error = None;
        if !authenticates {
            return self.charge(id, false, call.now, expand);
        }
        if off_session {
            let code = "authentication_required";
            return Err(self.decline(id, code, Some(code), None));
        }
        intent.status = Status::RequiresAction;
        intent.next_action = Some(match &intent.return_url {
            Some(back) => json!({
                "type": "redirect_to_url",
                "redirect_to_url": { "url": format!("{}/_pages/{id}", call.base_url), "return_url": back },
            }),
            None => json!({
                "type": "use_stripe_sdk",
                "use_stripe_sdk": { "type": "three_d_secure_redirect", "stripe_js": format!("{}/_pages/{id}", call.base_url) },
            }),
        });
        self.happened(id, "payment_intent.requires_action", Subject::Intent);
        Ok(self.shown(id, expand))
    }

    /// What the payer does on the bank's page. Gives where to send the payer then.
    pub(crate) fn authenticate(
        &mut self,
        id: &str,
        outcome: Authentication,
        now: i64,
    ) -> Option<Option<String>> {
        let intent = self.intents.get_mut(id)?;
        if intent.status != Status::RequiresAction {
            return None;
        }
        intent.next_action = None;
        let back = intent.return_url.clone();
        let charged = match outcome {
            Authentication::Completed => self.charge(id, true, now, Expand::Nothing),
            Authentication::Failed => {
                Err(self.decline(id, "payment_intent_authentication_failure", None, None))
            }
        };
        let status = if charged.is_ok() { "succeeded" } else { "failed" };
        Some(back.map(|url| {
            let joint = if url.contains('?') { '&' } else { '?' };
            format!("{url}{joint}payment_intent={id}&redirect_status={status}")
        }))
    }

    fn charge(&mut self, id: &str, authenticated: bool, now: i64, expand: Expand) -> Result<Answer, Answer> {
        let charge_id = self.id("ch");
        let Some(intent) = self.intents.get_mut(id) else {
            return Err(missing("payment_intent", id));
        };
        let declines = intent.card.and_then(|card| card.declines);
        intent.latest_charge = Some(charge_id.clone());
        let mut charge = Charge {
            id: charge_id.clone(),
            intent: id.to_owned(),
            amount: intent.amount,
            captured: 0,
            refunded: 0,
            created: now,
            approved: declines.is_none(),
            authenticated,
            failure_code: declines.map(|(code, _)| code),
        };
        if let Some((code, decline_code)) = declines {
            self.charges.insert(charge_id.clone(), charge);
            return Err(self.decline(id, code, decline_code, Some(charge_id)));
        }
        let event = if intent.capture_method == "manual" {
            intent.status = Status::RequiresCapture;
            intent.capturable = intent.amount;
            "payment_intent.amount_capturable_updated"
        } else {
            charge.captured = intent.amount;
            intent.status = Status::Succeeded;
            intent.received = intent.amount;
            "payment_intent.succeeded"
        };
        self.charges.insert(charge_id, charge);
        self.happened(id, event, Subject::Intent);
        Ok(self.shown(id, expand))
    }

    /// 402, and the payment waits for another method.
    fn decline(
        &mut self,
        id: &str,
        code: &str,
        decline_code: Option<&str>,
        charge: Option<String>,
    ) -> Answer {
        let kind = if code == "payment_intent_authentication_failure" {
            "invalid_request_error"
        } else {
            "card_error"
        };
        let mut failed = json!({ "type": kind, "code": code, "message": "Your card was declined." });
        if let Some(word) = decline_code {
            failed["decline_code"] = word.into();
        }
        if let Some(charge) = charge {
            failed["charge"] = charge.into();
        }
        if let Some(intent) = self.intents.get_mut(id) {
            intent.status = Status::RequiresPaymentMethod;
            intent.payment_method = None;
            intent.card = None;
            intent.last_payment_error = Some(failed.clone());
        }
        self.happened(id, "payment_intent.payment_failed", Subject::Intent);
        let mut answer = error(402, kind, Some(code), "Your card was declined.");
        answer.body["error"] = failed;
        answer
            .with("payment_intent", self.shown(id, Expand::Nothing).body)
            .begun()
    }

    pub(crate) fn capture(&mut self, id: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(CAPTURE)?;
        let expand = call.expand()?;
        let asked = call.amount("amount_to_capture")?;
        let is_final = call.flag("final_capture")?.unwrap_or(true);
        let intent = self.own_mut(id, call.account)?;
        if intent.status != Status::RequiresCapture {
            return Err(self.unexpected(id, "capture"));
        }
        if !is_final && !intent.multicapture {
            return Err(invalid(None, "This PaymentIntent can't be captured more than once.").begun());
        }
        let amount = asked.unwrap_or(intent.capturable);
        if amount > intent.capturable {
            let message = "The amount_to_capture is more than what can be captured.";
            return Err(invalid(Some("amount_too_large"), message).begun());
        }
        intent.received += amount;
        intent.capturable -= amount;
        intent.metadata.extend(call.form.metadata());
        if is_final || intent.capturable == 0 {
            intent.capturable = 0;
            intent.status = Status::Succeeded;
        }
        let (done, charge) = (intent.status == Status::Succeeded, intent.latest_charge.clone());
        if let Some(charge) = charge.and_then(|id| self.charges.get_mut(&id)) {
            charge.captured += amount;
        }
        self.happened(id, "charge.captured", Subject::Charge);
        let event = if done {
            "payment_intent.succeeded"
        } else {
            "payment_intent.amount_capturable_updated"
        };
        self.happened(id, event, Subject::Intent);
        Ok(self.shown(id, expand))
    }

    pub(crate) fn increment(&mut self, id: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(INCREMENT)?;
        let expand = call.expand()?;
        let total = call
            .amount("amount")?
            .ok_or_else(|| invalid(Some("parameter_missing"), "Missing required param: amount."))?;
        let intent = self.own_mut(id, call.account)?;
        if intent.status != Status::RequiresCapture {
            return Err(self.unexpected(id, "increment"));
        }
        if !intent.incremental || intent.received > 0 {
            return Err(invalid(None, "This PaymentIntent can't be incremented.").begun());
        }
        if total <= intent.amount {
            return Err(invalid(None, "The amount must be greater than the authorized amount.").begun());
        }
        intent.amount = total;
        intent.capturable = total;
        let charge = intent.latest_charge.clone();
        if let Some(charge) = charge.and_then(|id| self.charges.get_mut(&id)) {
            charge.amount = total;
        }
        self.happened(id, "payment_intent.amount_capturable_updated", Subject::Intent);
        Ok(self.shown(id, expand))
    }

    pub(crate) fn cancel(&mut self, id: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(CANCEL)?;
        let expand = call.expand()?;
        let reason = call.form.get("cancellation_reason");
        if reason.is_some_and(|reason| {
            !["duplicate", "fraudulent", "requested_by_customer", "abandoned"].contains(&reason)
        }) {
            return Err(invalid(None, "Invalid cancellation_reason."));
        }
        let intent = self.own_mut(id, call.account)?;
        match intent.status {
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction
            | Status::RequiresCapture => {}
            Status::Succeeded | Status::Canceled => return Err(self.unexpected(id, "cancel")),
        }
        intent.capturable = 0;
        intent.next_action = None;
        // docs.stripe.com/payments/multicapture: what was captured in part is over as `succeeded`, not as `canceled`.
        if intent.received > 0 {
            intent.status = Status::Succeeded;
            self.happened(id, "charge.captured", Subject::Charge);
            self.happened(id, "payment_intent.succeeded", Subject::Intent);
            return Ok(self.shown(id, expand));
        }
        intent.status = Status::Canceled;
        intent.canceled_at = Some(call.now);
        intent.cancellation_reason = reason.map(str::to_owned);
        self.happened(id, "payment_intent.canceled", Subject::Intent);
        Ok(self.shown(id, expand))
    }

    fn unexpected(&self, id: &str, verb: &str) -> Answer {
        let status = self.intents.get(id).map_or("", |intent| intent.status.as_str());
        let message = format!("You cannot {verb} this PaymentIntent because it has a status of {status}.");
        let answer = invalid(Some("payment_intent_unexpected_state"), &message);
        answer
            .with("payment_intent", self.shown(id, Expand::Nothing).body)
            .begun()
    }

    fn shown(&self, id: &str, expand: Expand) -> Answer {
        let body = self
            .intents
            .get(id)
            .map_or(Value::Null, |intent| render::intent(self, intent, expand));
        Answer::ok(body)
    }

    /// The payment, if it is this account's.
    pub(crate) fn own(&self, id: &str, account: &Account) -> Result<&Intent, Answer> {
        let intent = self.intents.get(id).filter(|intent| intent.account == *account);
        intent.ok_or_else(|| missing("payment_intent", id))
    }

    fn own_mut(&mut self, id: &str, account: &Account) -> Result<&mut Intent, Answer> {
        let intent = self
            .intents
            .get_mut(id)
            .filter(|intent| intent.account == *account);
        intent.ok_or_else(|| missing("payment_intent", id))
    }
}

fn missing_method(name: &str) -> Answer {
    let message = format!("No such PaymentMethod: '{name}'");
    invalid(Some("resource_missing"), &message).with("param", "payment_method".into())
}
