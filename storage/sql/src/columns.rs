//! Rows read back, of either database.

use std::str::FromStr;
use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{Tenant, Timestamp};
use sqlx::{ColumnIndex, Decode, Type};
use uuid::Uuid;

/// A database's row, and what reading it fails with.
pub(crate) trait DatabaseRow: sqlx::Row {
    type Failure: From<StoreError> + From<sqlx::Error>;
}

/// Reads a row's columns from left to right.
pub(crate) struct Columns<'r, R> {
    row: &'r R,
    next: usize,
}

impl<'r, R> Columns<'r, R>
where
    R: DatabaseRow,
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
    Uuid: Decode<'r, R::Database> + Type<R::Database>,
{
    pub(crate) fn of(row: &'r R) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn next<T>(&mut self) -> Result<T, R::Failure>
    where
        T: Decode<'r, R::Database> + Type<R::Database>,
    {
        let at = self.next;
        self.next += 1;
        Ok(self.row.try_get(at)?)
    }

    pub(crate) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, R::Failure> {
        T::try_from(self.next::<i64>()?)
            .map_err(|_| StoreError::corrupt("a number is out of its range").into())
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, R::Failure> {
        self.next().map(Timestamp::from_millis)
    }

    pub(crate) fn optional_time(&mut self) -> Result<Option<Timestamp>, R::Failure> {
        Ok(self.next::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    pub(crate) fn tenant(&mut self) -> Result<Tenant, R::Failure> {
        let text: &str = self.next()?;
        text.parse()
            .map_err(|_| StoreError::corrupt("a tenant can't be read").into())
    }

    fn word<T: FromStr<Err = StoreError>>(&mut self) -> Result<T, R::Failure> {
        Ok(self.next::<&str>()?.parse()?)
    }

    fn key(&mut self) -> Result<RowKey, R::Failure> {
        Ok(RowKey::new(self.word()?, self.next()?))
    }

    fn optional_key(&mut self) -> Result<Option<RowKey>, R::Failure> {
        let (kind, id) = (self.next::<Option<&str>>()?, self.next::<Option<Uuid>>()?);
        match (kind, id) {
            (Some(kind), Some(id)) => Ok(Some(RowKey::new(kind.parse::<RowKind>()?, id))),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                Err(StoreError::corrupt("half of a row's name is missing").into())
            }
        }
    }

    pub(crate) fn row(&mut self) -> Result<Row, R::Failure> {
        Ok(Row {
            key: self.key()?,
            version: self.number()?,
            schema: self.number()?,
            index: Index {
                status: self.next()?,
                customer: self.next()?,
                reference: self.next()?,
                parent: self.optional_key()?,
                attention: self.word()?,
                attention_since: self.optional_time()?,
                created_at: self.time()?,
                updated_at: self.time()?,
            },
            body: self.next::<Vec<u8>>()?.into(),
        })
    }

    /// What is kept under `key`.
    pub(crate) fn unique(&mut self, key: &UniqueKey) -> Result<Unique, R::Failure> {
        Ok(Unique {
            key: key.clone(),
            target: self.optional_key()?,
            bytes: self.next::<Vec<u8>>()?.into(),
            expires_at: self.optional_time()?,
        })
    }

    /// Whose row a unique names.
    pub(crate) fn target(&mut self) -> Result<Option<(Tenant, RowKey)>, R::Failure> {
        let tenant = self.tenant()?;
        Ok(self.optional_key()?.map(|target| (tenant, target)))
    }

    /// An event of `row`.
    pub(crate) fn event(&mut self, row: RowKey) -> Result<StoredEvent, R::Failure> {
        Ok(StoredEvent {
            id: self.next()?,
            row,
            sequence: self.number()?,
            at: self.time()?,
            kind: self.next()?,
            schema: self.number()?,
            body: self.next::<Vec<u8>>()?.into(),
        })
    }

    /// A job of `queue` that was claimed, after the time at which it was due.
    pub(crate) fn claim(&mut self, queue: Queue) -> Result<(Timestamp, Claim), R::Failure> {
        let was_due = self.time()?;
        let claim = Claim {
            tenant: self.tenant()?,
            job: JobKey {
                queue,
                row: self.key()?,
                child: self.next()?,
            },
            epoch: self.number()?,
            age: Duration::from_millis(self.next::<i64>()?.try_into().unwrap_or(0)),
        };
        Ok((was_due, claim))
    }
}
