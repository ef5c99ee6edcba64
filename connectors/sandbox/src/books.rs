//! The books behind a ledger, kept in memory and, where a file is given, in an append-only file of JSON lines.
//!
//! Each change is one line with the after-images of all that it touched, written by one write under an exclusive
//! lock: a process that is killed leaves a whole change or none, and at worst a torn last line, which the next one
//! cuts off.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use paymux_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ledger::{Payment, RefundEntry, Sent};
use crate::processor::{Answer, Arrival};
use crate::view::LedgerView;
use crate::wire::{About, Event};

/// Everything that the processor knows.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) ids: u64,
    payments: HashMap<String, Payment>,
    refunds: HashMap<String, RefundEntry>,
    order: Vec<(About, String)>,
    by_reference: HashMap<(String, String), Vec<(About, String)>>,
    due: BTreeSet<(Timestamp, About, String)>,
    keys: HashMap<(String, String), KeyEntry>,
    in_work: HashMap<String, InWork>,
    sends: Vec<Sent>,
    sends_of: HashMap<String, usize>,
    notices: Vec<NoticeEntry>,
    posted: usize,
}

/// What an idempotency key stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyEntry {
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) hash: String,
    pub(crate) since: Timestamp,
    pub(crate) usage: KeyUse,
}

/// What became of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyUse {
    /// Its request is being worked on.
    InUse,
    /// This was the answer.
    Answered(Answer),
    /// Nothing was executed: the key is free.
    Free,
}

/// A request that the processor works on for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InWork {
    pub(crate) id: String,
    pub(crate) due: Timestamp,
    pub(crate) arrival: Arrival,
    pub(crate) answer: Option<Answer>,
}

/// A webhook that is posted or waits to be.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NoticeEntry {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) account: String,
    pub(crate) about: About,
    pub(crate) handle: String,
    /// The payment that it concerns, which decides how it is posted.
    pub(crate) payment: String,
    pub(crate) reference: Option<String>,
    pub(crate) object: Box<RawValue>,
}

impl NoticeEntry {
    pub(crate) fn event(&self, object: Option<Box<RawValue>>) -> Event {
        Event {
            event: self.id.clone(),
            kind: self.kind.clone(),
            account: self.account.clone(),
            about: self.about,
            id: self.handle.clone(),
            reference: self.reference.clone(),
            object,
        }
    }
}

/// Shows no object: it may hold a client secret.
impl fmt::Debug for NoticeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoticeEntry")
            .field("kind", &self.kind)
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

/// After-images of what one change touched: a line of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Change {
    ids: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    payments: Vec<Payment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refunds: Vec<RefundEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    in_work: Vec<InWork>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sends: Vec<Sent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notices: Vec<NoticeEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    posted: Option<usize>,
}

impl Change {
    fn is_empty(&self) -> bool {
        let Self {
            ids: _,
            payments,
            refunds,
            keys,
            in_work,
            sends,
            notices,
            posted,
        } = self;
        payments.is_empty()
            && refunds.is_empty()
            && keys.is_empty()
            && in_work.is_empty()
            && sends.is_empty()
            && notices.is_empty()
            && posted.is_none()
    }
}

impl Books {
    pub(crate) fn payment(&self, handle: &str) -> Option<&Payment> {
        self.payments.get(handle)
    }

    pub(crate) fn refund(&self, handle: &str) -> Option<&RefundEntry> {
        self.refunds.get(handle)
    }

    /// The payments that were asked for as `reference`, oldest first.
    pub(crate) fn payments_of(&self, account: &str, reference: &str) -> Vec<&Payment> {
        let found = self.by_reference.get(&(account.to_owned(), reference.to_owned()));
        let payment = |(about, handle): &(About, String)| match about {
            About::Payment => self.payments.get(handle),
            About::Refund => None,
        };
        found.into_iter().flatten().filter_map(payment).collect()
    }

    /// The refunds that were asked for as `reference`, oldest first.
    pub(crate) fn refunds_of(&self, account: &str, reference: &str) -> Vec<&RefundEntry> {
        let found = self.by_reference.get(&(account.to_owned(), reference.to_owned()));
        let refund = |(about, handle): &(About, String)| match about {
            About::Payment => None,
            About::Refund => self.refunds.get(handle),
        };
        found.into_iter().flatten().filter_map(refund).collect()
    }

    /// The payment of any account that has the capture `handle`.
    pub(crate) fn payment_with_capture(&self, handle: &str) -> Option<&Payment> {
        let has = |payment: &&Payment| payment.captures.iter().any(|capture| capture.handle == handle);
        self.payments.values().find(has)
    }

    pub(crate) fn key(&self, account: &str, key: &str) -> Option<&KeyEntry> {
        self.keys.get(&(account.to_owned(), key.to_owned()))
    }

    pub(crate) fn in_work(&self, id: &str) -> Option<&InWork> {
        self.in_work.get(id)
    }

    /// The first request whose work is done by `now` and which has no answer yet.
    pub(crate) fn work_done_by(&self, now: Timestamp) -> Option<String> {
        let ready = self
            .in_work
            .values()
            .filter(|work| work.answer.is_none() && work.due <= now);
        ready
            .min_by_key(|work| (work.due, work.id.clone()))
            .map(|work| work.id.clone())
    }

    /// What time changes first, if it does so by `now`.
    pub(crate) fn due_by(&self, now: Timestamp) -> Option<(Timestamp, About, String)> {
        self.due.first().filter(|(at, ..)| *at <= now).cloned()
    }

    /// How many equal sends there were.
    pub(crate) fn sends_of(&self, hash: &str) -> usize {
        self.sends_of.get(hash).copied().unwrap_or(0)
    }

    /// The webhooks that wait to be posted.
    fn unposted(&self) -> &[NoticeEntry] {
        self.notices.get(self.posted..).unwrap_or_default()
    }

    pub(crate) fn view(&self) -> LedgerView {
        let (mut payments, mut refunds) = (Vec::new(), Vec::new());
        for (about, handle) in &self.order {
            match about {
                About::Payment => payments.extend(self.payments.get(handle).cloned()),
                About::Refund => refunds.extend(self.refunds.get(handle).cloned()),
            }
        }
        LedgerView::new(payments, refunds, self.sends.clone())
    }

    fn put_payment(&mut self, payment: &Payment) {
        let name = (About::Payment, payment.handle.clone());
        let due = |at| (at, About::Payment, payment.handle.clone());
        match self.payments.insert(payment.handle.clone(), payment.clone()) {
            Some(before) => {
                if let Some(at) = before.due() {
                    self.due.remove(&due(at));
                }
            }
            None => {
                self.order.push(name.clone());
                let reference = (payment.account.clone(), payment.reference.clone());
                self.by_reference.entry(reference).or_default().push(name);
            }
        }
        self.due.extend(payment.due().map(due));
    }

    fn put_refund(&mut self, refund: &RefundEntry) {
        let name = (About::Refund, refund.handle.clone());
        let due = |at| (at, About::Refund, refund.handle.clone());
        match self.refunds.insert(refund.handle.clone(), refund.clone()) {
            Some(before) => {
                if let Some(at) = before.turns_at {
                    self.due.remove(&due(at));
                }
            }
            None => {
                self.order.push(name.clone());
                if let Some(reference) = &refund.reference {
                    let reference = (refund.account.clone(), reference.clone());
                    self.by_reference.entry(reference).or_default().push(name);
                }
            }
        }
        self.due.extend(refund.turns_at.map(due));
    }

    fn put_send(&mut self, send: Sent) {
        *self.sends_of.entry(send.hash.clone()).or_default() += 1;
        self.sends.push(send);
    }

    fn apply(&mut self, change: Change) {
        let Change {
            ids,
            payments,
            refunds,
            keys,
            in_work,
            sends,
            notices,
            posted,
        } = change;
        self.ids = ids;
        payments.iter().for_each(|payment| self.put_payment(payment));
        refunds.iter().for_each(|refund| self.put_refund(refund));
        let named = |key: KeyEntry| ((key.account.clone(), key.key.clone()), key);
        self.keys.extend(keys.into_iter().map(named));
        self.in_work
            .extend(in_work.into_iter().map(|work| (work.id.clone(), work)));
        sends.into_iter().for_each(|send| self.put_send(send));
        self.notices.extend(notices);
        self.posted = posted.unwrap_or(self.posted);
    }
}

/// One change in the making: what is put is in the books at once, and in the file when the change ends.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) books: &'a mut Books,
    /// What the file will get, where there is one.
    change: Option<Change>,
}

impl Draft<'_> {
    /// The next number: identifiers follow from it and the seed.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.books.ids += 1;
        self.books.ids
    }

    pub(crate) fn put_payment(&mut self, payment: Payment) {
        self.books.put_payment(&payment);
        if let Some(change) = &mut self.change {
            put_image(&mut change.payments, payment, |image| &image.handle);
        }
    }

    pub(crate) fn put_refund(&mut self, refund: RefundEntry) {
        self.books.put_refund(&refund);
        if let Some(change) = &mut self.change {
            put_image(&mut change.refunds, refund, |image| &image.handle);
        }
    }

    pub(crate) fn put_key(&mut self, key: KeyEntry) {
        if let Some(change) = &mut self.change {
            change.keys.push(key.clone());
        }
        let name = (key.account.clone(), key.key.clone());
        self.books.keys.insert(name, key);
    }

    pub(crate) fn put_in_work(&mut self, work: InWork) {
        if let Some(change) = &mut self.change {
            change.in_work.push(work.clone());
        }
        self.books.in_work.insert(work.id.clone(), work);
    }

    pub(crate) fn put_send(&mut self, send: Sent) {
        if let Some(change) = &mut self.change {
            change.sends.push(send.clone());
        }
        self.books.put_send(send);
    }

    pub(crate) fn put_notice(&mut self, notice: NoticeEntry) {
        if let Some(change) = &mut self.change {
            change.notices.push(notice.clone());
        }
        self.books.notices.push(notice);
    }

    /// Takes the webhooks that wait to be posted.
    pub(crate) fn take_unposted(&mut self) -> Vec<NoticeEntry> {
        let waiting = self.books.unposted().to_vec();
        if !waiting.is_empty() {
            self.books.posted = self.books.notices.len();
            if let Some(change) = &mut self.change {
                change.posted = Some(self.books.posted);
            }
        }
        waiting
    }
}

/// An after-image takes the place of an earlier one of the same thing: what was first touched stands first.
fn put_image<T>(images: &mut Vec<T>, image: T, handle: impl Fn(&T) -> &str) {
    match images
        .iter_mut()
        .find(|earlier| handle(earlier) == handle(&image))
    {
        Some(earlier) => *earlier = image,
        None => images.push(image),
    }
}

/// The books with their file, if they have one.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    books: Books,
    file: Option<BooksFile>,
}

#[derive(Debug)]
struct BooksFile {
    file: File,
    /// How much of the file is in the books.
    read: u64,
}

impl Ledger {
    /// Books that a file keeps; it is made where there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let mut kept = Kept {
            books: Books::default(),
            file: Some(BooksFile { file, read: 0 }),
        };
        kept.turn()?.end(None)?;
        Ok(Self(Mutex::new(kept)))
    }

    /// Makes one change. Where the file fails, the books are as they were.
    pub(crate) fn change<R>(&self, make: impl FnOnce(&mut Draft<'_>) -> R) -> io::Result<R> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = kept.turn()?;
        let mut draft = Draft {
            change: turn.kept.file.is_some().then(Change::default),
            books: &mut turn.kept.books,
        };
        let result = make(&mut draft);
        let change = draft.change;
        turn.end(change)?;
        Ok(result)
    }
}

impl Kept {
    /// Locks the file, and reads what others have appended.
    fn turn(&mut self) -> io::Result<Turn<'_>> {
        if let Some(file) = &self.file {
            file.file.lock()?;
        }
        let turn = Turn {
            kept: self,
            ended: false,
        };
        if let Some(file) = &mut turn.kept.file {
            file.catch_up(&mut turn.kept.books)?;
        }
        Ok(turn)
    }
}

/// Holds the file's lock. Where a change doesn't come to its end, by an error or a panic, the next one reads the books
/// anew: what was written, if anything, is read again or cut off.
struct Turn<'a> {
    kept: &'a mut Kept,
    ended: bool,
}

impl Turn<'_> {
    /// Appends the change, if it is one.
    fn end(mut self, change: Option<Change>) -> io::Result<()> {
        if let Some(file) = &mut self.kept.file
            && let Some(mut change) = change.filter(|change| !change.is_empty())
        {
            change.ids = self.kept.books.ids;
            file.append(&change)?;
        }
        self.ended = true;
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(file) = &mut self.kept.file else {
            return;
        };
        if !self.ended {
            self.kept.books = Books::default();
            file.read = 0;
        }
        // It fails where the file is gone, and its lock with it.
        let _ = file.file.unlock();
    }
}

impl BooksFile {
    /// Reads what others have appended, and cuts a torn last line off: its writer is dead, since we hold the lock.
    fn catch_up(&mut self, books: &mut Books) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut appended = Vec::new();
        self.file.read_to_end(&mut appended)?;
        let whole = appended
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in appended[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let change = serde_json::from_slice(line).map_err(io::Error::other)?;
            books.apply(change);
        }
        self.read += whole as u64;
        if whole < appended.len() {
            self.file.set_len(self.read)?;
        }
        Ok(())
    }

    fn append(&mut self, change: &Change) -> io::Result<()> {
        let mut line = serde_json::to_vec(change).map_err(io::Error::other)?;
        line.push(b'\n');
        let written = self.file.write(&line)?;
        if written < line.len() {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "the ledger's file took part of a line",
            ));
        }
        self.read += line.len() as u64;
        Ok(())
    }
}
