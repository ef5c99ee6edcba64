//! A notice as a row keeps it until it is applied.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::aggregate::{SCHEMA, decode_body, encode, known_form};
use super::said::{Repeats, Said};
use crate::connector::Notice;
use crate::error::Result;
use crate::hex::hex;
use crate::id::{AccountRef, AttemptId, OperationId, ProviderKind};
use crate::intent::Intent;
use crate::store::{Index, Row, RowKey};

/// A notice as its row keeps it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredNotice {
    pub(super) account: AccountRef,
    pub(super) kind: ProviderKind,
    pub(super) about: String,
    pub(super) reference: Option<String>,
    pub(super) act: String,
    pub(super) stage: NoticeStage,
    pub(super) tries: u32,
    /// The unique of a notice without an event's identifier: repeats are taken as one while it waits, and it is
    /// given up when the notice is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) coalesced: Option<String>,
    /// What it says, until it is applied, where it is more than a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<Said>,
    /// What it repeats with that of what was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repeats: Option<Repeats>,
}

impl StoredNotice {
    pub(super) fn decode(row: &Row) -> Result<Self> {
        known_form(row.key, row.schema)?;
        decode_body(&row.body, row.key)
    }

    /// The attempt that it is about, by the processor's handle or our reference.
    pub(super) fn names(&self, state: &Intent) -> Option<AttemptId> {
        let operation = self
            .reference
            .as_deref()
            .and_then(|text| OperationId::from_reference(state.id.mode(), text));
        let named = state.attempts.iter().find(|attempt| {
            let by_handle = attempt
                .known
                .handle
                .as_ref()
                .is_some_and(|handle| handle.as_str() == self.about);
            attempt.account == self.account && (by_handle || Some(attempt.operation) == operation)
        });
        named.map(|attempt| attempt.id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NoticeStage {
    Received,
    Applied,
    Parked,
}

impl NoticeStage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Applied => "applied",
            Self::Parked => "parked",
        }
    }
}

/// One notice of a kind: by the processor's event, else by all that it says.
pub(super) fn name_of(account: &AccountRef, notice: &Notice, said: Option<&Said>) -> Result<String> {
    let mut named = match &notice.event {
        Some(event) => format!("event/{event}").into_bytes(),
        None => format!("{}/{}/{}", notice.kind.as_str(), notice.about, notice.act).into_bytes(),
    };
    if let (None, Some(said)) = (&notice.event, said) {
        named.extend_from_slice(&encode(said)?);
    }
    let digest = Sha256::digest(&named);
    let digest = hex(&digest[..16]);
    Ok(format!("{account}/{digest}"))
}

pub(super) fn notice_index(stored: &StoredNotice, at: crate::Timestamp) -> Index {
    Index::of(stored.stage.as_str(), at)
}

pub(super) fn notice_row(
    key: RowKey,
    version: u64,
    stored: &StoredNotice,
    at: crate::Timestamp,
) -> Result<Row> {
    Ok(Row {
        key,
        version,
        schema: SCHEMA,
        index: notice_index(stored, at),
        body: encode(stored)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Approval, AuthorizeReport, Echo, Handle};
    use crate::connector::{Authority, RefundReport, Standing};
    use crate::engine::aggregate::tests::reads_back;
    use crate::intent::tests::scene::account;
    use crate::store::RowKind;

    fn notices() -> Vec<StoredNotice> {
        let of = |stage, coalesced: Option<&str>| StoredNotice {
            account: account(),
            kind: ProviderKind::Payment,
            about: "pay_1".to_owned(),
            reference: Some("op_1".to_owned()),
            act: "payment.captured".to_owned(),
            stage,
            tries: 2,
            coalesced: coalesced.map(str::to_owned),
            said: None,
            repeats: None,
        };
        let says = |authority: Authority| StoredNotice {
            said: Said::of(&authority),
            repeats: Repeats::of(&authority),
            ..of(NoticeStage::Received, None)
        };
        let approval = Approval::new(Handle::from("pay_1"), Echo::none());
        let captured = Standing::from(AuthorizeReport::Captured(approval));
        let refunded = RefundReport::Refunded(Handle::from("re_1"), Echo::none());
        let echo = Echo::none()
            .amount(crate::money::Money::from_minor(100, crate::money::Currency::EUR))
            .reference("4111111111111111");
        let repeats = Standing::from(AuthorizeReport::Pending(Handle::from("pay_1"), echo));
        vec![
            of(NoticeStage::Received, None),
            of(NoticeStage::Applied, None),
            of(NoticeStage::Parked, Some("sandbox/main/pay_1/captured")),
            says(Authority::Payment(Box::new(captured))),
            says(Authority::Refund(Box::new(refunded))),
            says(Authority::Payment(Box::new(repeats))),
        ]
    }

    #[test]
    fn notices_of_this_release_read_back_and_a_newer_one_is_named() {
        reads_back("notices.json", &notices());
        let key = RowKey::new(RowKind::Notice, uuid::Uuid::from_u128(1));
        for notice in notices() {
            let row = notice_row(key, 1, &notice, crate::Timestamp::from_millis(0)).unwrap();
            assert_eq!(StoredNotice::decode(&row).unwrap(), notice);
            let newer = Row {
                schema: SCHEMA + 1,
                ..row
            };
            let error = StoredNotice::decode(&newer).unwrap_err();
            assert_eq!(error.code(), "store");
            assert!(
                error.to_string().contains(&format!("the form {}", SCHEMA + 1)),
                "{error}"
            );
        }
    }
}
