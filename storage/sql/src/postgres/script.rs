//! SQL text with its values, and how it is run.

use std::fmt::Write as _;
use std::sync::Arc;

use paymux_core::store::{JobKey, RowKey, StoreError, UniqueKey};
use paymux_core::{Tenant, Timestamp};
#[cfg(test)]
use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::{Arguments, AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::error::Failure;
use super::open::Statements;

/// A statement and its values. The text is built of the literals in this crate; each value is bound, or written in a
/// form that has no quote and no backslash in it.
pub(super) struct Script {
    text: String,
    /// What stands before each table's name, so that no search path matters.
    schema: Arc<str>,
    statements: Statements,
    arguments: PgArguments,
    bound: usize,
    /// The bound values' types.
    #[cfg(test)]
    types: Vec<String>,
    wrong: Option<StoreError>,
}

impl Script {
    /// `schema` is quoted and ends in a dot.
    pub(super) fn new(schema: &Arc<str>, statements: Statements) -> Self {
        Self {
            text: String::with_capacity(1024),
            schema: schema.clone(),
            statements,
            arguments: PgArguments::default(),
            bound: 0,
            #[cfg(test)]
            types: Vec::new(),
            wrong: None,
        }
    }

    /// Text, in which each `paymux_…` is a table.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        let mut rest = text;
        while let Some(at) = rest.find("paymux_") {
            let (before, table) = rest.split_at(at);
            self.text.push_str(before);
            self.text.push_str(&self.schema);
            let (name, after) = table.split_at("paymux_".len());
            self.text.push_str(name);
            rest = after;
        }
        self.text.push_str(rest);
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.value(value.to_owned(), |text| write_text(text, Some(value)))
    }

    pub(super) fn texts(&mut self, values: Vec<Option<String>>) -> &mut Self {
        let literal = self.literals(&values, "text", |text, value| write_text(text, value.as_deref()));
        self.either(values, literal)
    }

    pub(super) fn uuid(&mut self, id: Uuid) -> &mut Self {
        self.value(id, |text| write_uuid(text, Some(id)))
    }

    pub(super) fn uuids(&mut self, values: Vec<Option<Uuid>>) -> &mut Self {
        let literal = self.literals(&values, "uuid", |text, value| write_uuid(text, *value));
        self.either(values, literal)
    }

    pub(super) fn number(&mut self, value: Option<i64>) -> &mut Self {
        self.value(value, |text| write_number(text, value))
    }

    pub(super) fn numbers(&mut self, values: Vec<Option<i64>>) -> &mut Self {
        let literal = self.literals(&values, "bigint", |text, value| write_number(text, *value));
        self.either(values, literal)
    }

    pub(super) fn bodies(&mut self, values: Vec<Vec<u8>>) -> &mut Self {
        let literal = self.literals(&values, "bytea", |text, value| write_bytes(text, value));
        self.either(values, literal)
    }

    pub(super) fn time(&mut self, time: Timestamp) -> &mut Self {
        self.number(Some(time.as_millis()))
    }

    /// How many rows at most: always in the text, since a plan for whatever limit is one for a tenth of the table.
    pub(super) fn limit(&mut self, limit: u32) -> &mut Self {
        // A String takes whatever is written into it.
        let _ = write!(self.text, " LIMIT {limit}");
        self
    }

    /// PostgreSQL's integers have a sign.
    pub(super) fn signed(&mut self, number: u64) -> i64 {
        i64::try_from(number).unwrap_or_else(|_| {
            self.wrong.get_or_insert(StoreError::rejected(
                "a version, sequence or epoch is over 2^63 - 1",
            ));
            i64::MAX
        })
    }

    /// The milliseconds since 1970 by the injected clock, or by the database's: when the statement came in.
    pub(super) fn now(&mut self, injected: Option<i64>) -> &mut Self {
        self.push("COALESCE(")
            .number(injected)
            .push(", CAST(floor(extract(epoch FROM statement_timestamp()) * 1000) AS BIGINT))")
    }

    fn value<T>(&mut self, value: T, literal: impl FnOnce(&mut String)) -> &mut Self
    where
        T: for<'q> sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres>,
    {
        let literal = match self.statements {
            Statements::Prepared => None,
            Statements::Inline => {
                let mut text = String::new();
                literal(&mut text);
                Some(text)
            }
        };
        self.either(value, literal)
    }

    fn literals<T>(&self, values: &[T], of: &str, each: impl Fn(&mut String, &T)) -> Option<String> {
        match self.statements {
            Statements::Prepared => None,
            Statements::Inline => {
                let mut text = String::from("CAST(ARRAY[");
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        text.push_str(", ");
                    }
                    each(&mut text, value);
                }
                text.push_str("] AS ");
                text.push_str(of);
                text.push_str("[])");
                Some(text)
            }
        }
    }

    fn either<T>(&mut self, value: T, literal: Option<String>) -> &mut Self
    where
        T: for<'q> sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres>,
    {
        match literal {
            Some(literal) => self.text.push_str(&literal),
            None => {
                self.bound += 1;
                #[cfg(test)]
                self.types.push(T::type_info().to_string());
                // A String takes whatever is written into it.
                let _ = write!(self.text, "${}", self.bound);
                if let Err(error) = self.arguments.add(value) {
                    self.wrong
                        .get_or_insert(StoreError::rejected("a value can't be bound").caused_by(error));
                }
            }
        }
        self
    }

    /// How PostgreSQL would run it with its values.
    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a test fails by it")]
    pub(super) async fn plan(mut self, conn: &mut PgConnection) -> Vec<String> {
        self.text.insert_str(0, "EXPLAIN ");
        let steps = self.all(conn).await.unwrap();
        steps.iter().map(|step| step.get(0)).collect()
    }

    /// How PostgreSQL would run it with whatever values, as it does once it has run a prepared statement a few times.
    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a test fails by it")]
    pub(super) async fn plan_of_any(self, conn: &mut PgConnection) -> Vec<String> {
        let (text, types) = (self.text, self.types);
        let (list, nulls) = (types.join(", "), vec!["NULL"; types.len()].join(", "));
        let list = if list.is_empty() {
            list
        } else {
            format!("({list})")
        };
        let nulls = if nulls.is_empty() {
            nulls
        } else {
            format!("({nulls})")
        };
        let sql = format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE probe {list} AS {text}; \
             EXPLAIN EXECUTE probe{nulls}; DEALLOCATE probe"
        );
        let steps = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await.unwrap();
        steps.iter().map(|step| step.get(0)).collect()
    }

    /// All rows that it gives.
    pub(super) async fn all(self, conn: &mut PgConnection) -> Result<Vec<PgRow>, Failure> {
        if let Some(error) = self.wrong {
            return Err(error.into());
        }
        let text = AssertSqlSafe(self.text);
        let rows = match self.statements {
            Statements::Prepared => sqlx::query_with(text, self.arguments).fetch_all(conn).await,
            Statements::Inline => sqlx::raw_sql(text).fetch_all(conn).await,
        };
        Ok(rows?)
    }
}

fn write_text(text: &mut String, value: Option<&str>) {
    let plain = |value: &str| {
        value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-./:@+= ".contains(&byte))
    };
    match value {
        None => text.push_str("CAST(NULL AS TEXT)"),
        Some(value) if plain(value) => {
            text.push('\'');
            text.push_str(value);
            text.push('\'');
        }
        Some(value) => {
            text.push_str("convert_from(");
            write_bytes(text, value.as_bytes());
            text.push_str(", 'UTF8')");
        }
    }
}

fn write_bytes(text: &mut String, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(2 * value.len() + 20);
    text.push_str("decode('");
    for byte in value {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text.push_str("', 'hex')");
}

fn write_uuid(text: &mut String, value: Option<Uuid>) {
    match value {
        None => text.push_str("CAST(NULL AS UUID)"),
        Some(id) => {
            let _ = write!(text, "CAST('{id}' AS UUID)");
        }
    }
}

fn write_number(text: &mut String, value: Option<i64>) {
    match value {
        None => text.push_str("CAST(NULL AS BIGINT)"),
        Some(value) => {
            let _ = write!(text, "CAST('{value}' AS BIGINT)");
        }
    }
}

pub(super) fn tenant_text(tenant: &Tenant) -> Arc<str> {
    tenant.to_string().into()
}

/// A table of a batch's things: row `n`, from 1, has the element `n` of each column's array.
///
/// Only the numbers are unnested, since PostgreSQL keeps the rows of every unnested array in a store of their own. It
/// takes an array that it doesn't know for ten elements, and what a limit that it doesn't know lets through for a
/// tenth of that: a plan for any values is then one for a single row, as a batch mostly has of each thing. So it is
/// found to be no worse than a plan for the values at hand, and is kept.
pub(super) struct Listed<'s> {
    script: &'s mut Script,
    count: usize,
}

impl<'s> Listed<'s> {
    pub(super) fn new(script: &'s mut Script, count: usize) -> Self {
        script.push("(SELECT t.n");
        Self { script, count }
    }

    pub(super) fn texts(&mut self, name: &str, values: impl Iterator<Item = Option<String>>) -> &mut Self {
        self.script.push(", (").texts(values.collect());
        self.named(name)
    }

    pub(super) fn uuids(&mut self, name: &str, values: impl Iterator<Item = Option<Uuid>>) -> &mut Self {
        self.script.push(", (").uuids(values.collect());
        self.named(name)
    }

    pub(super) fn numbers(&mut self, name: &str, values: impl Iterator<Item = Option<i64>>) -> &mut Self {
        self.script.push(", (").numbers(values.collect());
        self.named(name)
    }

    /// Numbers without a sign.
    pub(super) fn counts(&mut self, name: &str, values: impl Iterator<Item = Option<u64>>) -> &mut Self {
        let signed = |value: Option<u64>| value.map(|value| self.script.signed(value));
        let values: Vec<_> = values.map(signed).collect();
        self.numbers(name, values.into_iter())
    }

    pub(super) fn bodies(&mut self, name: &str, values: impl Iterator<Item = Vec<u8>>) -> &mut Self {
        self.script.push(", (").bodies(values.collect());
        self.named(name)
    }

    /// Two columns that name rows, or nothing.
    pub(super) fn rows(
        &mut self,
        [kind, id]: [&str; 2],
        keys: impl Iterator<Item = Option<RowKey>> + Clone,
    ) -> &mut Self {
        let kinds = keys
            .clone()
            .map(|key| key.map(|key| key.kind.as_str().to_owned()));
        self.texts(kind, kinds);
        self.uuids(id, keys.map(|key| key.map(|key| key.id)))
    }

    /// The columns `queue`, `row_kind`, `row_id` and `child`.
    pub(super) fn jobs(&mut self, keys: impl Iterator<Item = JobKey> + Clone) -> &mut Self {
        let queues = keys.clone().map(|key| Some(key.queue.as_str().to_owned()));
        self.texts("queue", queues);
        self.rows(["row_kind", "row_id"], keys.clone().map(|key| Some(key.row)));
        self.uuids("child", keys.map(|key| Some(key.child)))
    }

    /// The columns `scope` and `name`.
    pub(super) fn uniques<'k>(&mut self, keys: impl Iterator<Item = &'k UniqueKey> + Clone) -> &mut Self {
        self.texts(
            "scope",
            keys.clone().map(|key| Some(key.scope.as_str().to_owned())),
        );
        self.texts("name", keys.map(|key| Some(key.name.clone())))
    }

    pub(super) fn end(&mut self) {
        let numbers = (1..).take(self.count).map(Some).collect();
        self.script
            .push(" FROM unnest(")
            .numbers(numbers)
            .push(") AS t (n) LIMIT ");
        self.script.number(Some(self.count as i64)).push(")");
    }

    fn named(&mut self, name: &str) -> &mut Self {
        self.script.push(")[t.n] AS ").push(name);
        self
    }
}
