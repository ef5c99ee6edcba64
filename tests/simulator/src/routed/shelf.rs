//! A tenant's stored programs in time: which was active when.

use serde::Deserialize;

/// What happened to a tenant's programs.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Their names, by version from 1.
    names: Vec<String>,
    /// Those that were active, the last one now.
    activated: Vec<u64>,
    /// From when on which was active; none from the beginning.
    turns: Vec<(u64, u64)>,
    /// When the store couldn't be read.
    unread: Vec<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Event {
    Put { version: u64, name: String },
    Activated { version: u64 },
    RolledBack { to: u64 },
}

impl Shelf {
    pub(super) fn happened(&mut self, event: &[u8], now: u64) -> Result<(), String> {
        let event = serde_json::from_slice::<Event>(event).map_err(|error| error.to_string())?;
        match event {
            Event::Put { version, name } => {
                self.names.push(name);
                if version != self.names.len() as u64 {
                    return Err(format!(
                        "program {} is put as version {version}",
                        self.names.len()
                    ));
                }
            }
            Event::Activated { version } => {
                if self.name(version).is_none() {
                    return Err(format!("version {version} is activated, and isn't there"));
                }
                self.activated.push(version);
                self.turns.push((now, version));
            }
            Event::RolledBack { to } => {
                self.activated.pop();
                if self.activated.last() != Some(&to) {
                    return Err(format!("version {to} isn't what was active before"));
                }
                self.turns.push((now, to));
            }
        }
        Ok(())
    }

    pub(super) fn unreadable(&mut self, now: u64) {
        self.unread.push(now);
    }

    pub(super) fn name(&self, version: u64) -> Option<&str> {
        let place = usize::try_from(version.checked_sub(1)?).ok()?;
        self.names.get(place).map(String::as_str)
    }

    /// What an instance may go by from `since` to `until`, which reads it again after `refresh`. Where the store can't be
    /// read, it goes on with what it read last, whenever that was.
    pub(super) fn active(&self, since: u64, until: u64, refresh: u64) -> Vec<Option<u64>> {
        let read = since.saturating_sub(refresh);
        let unread = |at: &u64| (read..=until).contains(at);
        let since = if self.unread.iter().any(unread) { 0 } else { read };
        let after = self.turns.partition_point(|(from, _)| *from <= since);
        let first = after.checked_sub(1).map(|place| self.turns[place].1);
        let mut all = vec![first];
        for (from, version) in &self.turns[after..] {
            if *from <= until && !all.contains(&Some(*version)) {
                all.push(Some(*version));
            }
        }
        all
    }
}
