//! A small world of the simulator, whose decisions are the input.

use std::fmt::Write as _;

use paymux_sim::{Options, Script, command, run};

/// What shops ask for, what befalls them and who goes on next, as a text: whatever it is, the auditor finds nothing.
/// `tests/simulator/src/script.rs` says how it is read.
pub fn actions(data: &[u8]) {
    hold(&decided(data));
}

/// The world that an input decides on.
pub fn decided(data: &[u8]) -> Options {
    Options::script(Script::read(data))
}

/// Runs a world, and shows what happened in it where the auditor finds anything.
///
/// # Panics
/// Something is violated.
pub fn hold(world: &Options) {
    if run(world).violations.is_empty() {
        return;
    }
    let shown = run(&Options {
        trace: true,
        ..world.clone()
    });
    let mut told = shown.trace.join("\n");
    for violation in &shown.violations {
        let (invariant, what, at) = (violation.invariant, &violation.what, violation.at_ms);
        let _ = write!(told, "\nviolates invariant {invariant} at {at} ms: {what}");
    }
    panic!("{told}\n  {}, with FILE being this input", command(world));
}
