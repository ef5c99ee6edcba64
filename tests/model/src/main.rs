//! Explores every scope whole, and prints how much that was.

use std::process::ExitCode;
use std::time::Instant;

use paymux_model::SCOPES;

fn main() -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut exit = ExitCode::SUCCESS;
    println!(
        "{:24} {:>12} {:>12} {:>6} {:>8}",
        "scope", "states", "unique", "depth", "seconds"
    );
    for scope in SCOPES {
        #[allow(clippy::disallowed_methods, reason = "it measures")]
        let from = Instant::now();
        let explored = scope.explore(threads);
        println!(
            "{:24} {:>12} {:>12} {:>6} {:>8}",
            scope.name,
            explored.states,
            explored.unique,
            explored.depth,
            from.elapsed().as_secs()
        );
        for name in &explored.missed {
            exit = ExitCode::FAILURE;
            println!("  never: {name}");
        }
        for (name, path) in &explored.broken {
            exit = ExitCode::FAILURE;
            println!("  broken: {name}");
            for action in path {
                println!("    {action:?}");
            }
        }
    }
    exit
}
