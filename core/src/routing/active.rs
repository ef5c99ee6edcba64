//! The program in force.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::program::Program;

/// How many copies of the handle there are: threads that share none don't wait for each other's caches.
const COPIES: usize = 16;

/// The program in force, which is replaced while payments run.
///
/// A decision takes [`ActiveProgram::current`] and keeps to it, so that it is made by one program to its end. Reading is a
/// lock that threads share only beyond the sixteenth, since one lock or one count of references for all is a cache line that
/// every decision writes: two threads on two cores then decide together less than one does alone.
///
/// ```
/// use paymux_core::routing::{ActiveProgram, Program, Route};
///
/// let first = Program::builder("first").otherwise(Route::ordered(["stripe"]))?;
/// let active = ActiveProgram::new(first);
/// let second = Program::builder("second").otherwise(Route::ordered(["acme"]))?;
/// active.replace(second);
/// assert_eq!(active.current().name(), "second");
/// # Ok::<(), paymux_core::routing::Diagnostics>(())
/// ```
pub struct ActiveProgram {
    copies: [Copy; COPIES],
}

/// Apart from its neighbours: processors fetch lines of 64 bytes in pairs.
#[repr(align(128))]
struct Copy(RwLock<Arc<Program>>);

impl ActiveProgram {
    /// A program in force.
    pub fn new(program: Program) -> Self {
        Self {
            copies: std::array::from_fn(|_| Copy(RwLock::new(Arc::new(program.clone())))),
        }
    }

    /// The program in force now.
    pub fn current(&self) -> Arc<Program> {
        let copy = &self.copies[place() % COPIES].0;
        Arc::clone(&copy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another program in force, at once for all: when one thread has got the new one, no thread gets the old one any
    /// more. Whoever decides by the old one goes on with it.
    pub fn replace(&self, program: Program) {
        let write = |copy| RwLock::write(copy).unwrap_or_else(PoisonError::into_inner);
        let mut locked = self.copies.each_ref().map(|copy| write(&copy.0));
        for copy in &mut locked {
            **copy = Arc::new(program.clone());
        }
    }
}

impl fmt::Debug for ActiveProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActiveProgram")
            .field(&self.current().name())
            .finish()
    }
}

/// This thread's place among those that asked.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    PLACE.with(|place| *place)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::routing::rule::Route;

    fn program(number: usize) -> Program {
        let builder = Program::builder(&number.to_string());
        builder.otherwise(Route::ordered(["stripe"])).unwrap()
    }

    #[test]
    fn no_thread_goes_back_to_an_older_program() {
        const LAST: usize = 300;
        let active = ActiveProgram::new(program(0));
        let (newest, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let read = || {
            while !done.load(Ordering::SeqCst) {
                let least = newest.load(Ordering::SeqCst);
                let number: usize = active.current().name().parse().unwrap();
                assert!(number >= least, "{number} after {least}");
                newest.fetch_max(number, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            let readers = [scope.spawn(read), scope.spawn(read), scope.spawn(read)];
            (1..=LAST).for_each(|number| active.replace(program(number)));
            done.store(true, Ordering::SeqCst);
            for reader in readers {
                reader.join().unwrap();
            }
        });
        assert_eq!(active.current().name(), LAST.to_string());
    }
}
