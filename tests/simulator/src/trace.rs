//! What the engine did, as one hash for every run and as lines for a run that is looked at.

use std::sync::Mutex;

use crate::rng::mix;
use crate::schedule::{Time, lock};

/// The trace of one world.
#[derive(Debug)]
pub(crate) struct Trace {
    time: Time,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(time: Time, lines: bool) -> Self {
        Self {
            time,
            kept: Mutex::new(Kept {
                hash: 0,
                lines: lines.then(Vec::new),
            }),
        }
    }

    /// Adds a fact. Its line is written only where somebody reads it.
    pub(crate) fn fact(&self, what: &[u8], line: impl FnOnce() -> String) {
        let now = self.time.now();
        let mut kept = lock(&self.kept);
        let mut hash = mix(kept.hash, now);
        for chunk in what.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = mix(hash, u64::from_le_bytes(word));
        }
        kept.hash = hash;
        if let Some(lines) = &mut kept.lines {
            lines.push(format!(
                "{:>12.3} {}",
                std::time::Duration::from_millis(now).as_secs_f64(),
                line()
            ));
        }
    }

    /// Adds a line that isn't a fact of the engine's.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        let now = self.time.now();
        if let Some(lines) = &mut lock(&self.kept).lines {
            lines.push(format!(
                "{:>12.3} {}",
                std::time::Duration::from_millis(now).as_secs_f64(),
                line()
            ));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        lock(&self.kept).hash
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.kept).lines.clone().unwrap_or_default()
    }
}
