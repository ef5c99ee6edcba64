//! Every state and every command, as the design's table of commands has it; nothing here asks the machine what it
//! would allow.

use super::scene::Scene;
use crate::error::{Error, ErrorKind};
use crate::intent::IntentStatus;
use crate::intent::command::CommandKind;
use crate::intent::machine::{Cell, Illegal, cell};

/// One column for each status in the order of [`IntentStatus::ALL`]. `x`: it is done. `g`: no state without an open
/// operation, or a compensation, lets it through, so that its own guard refuses it. `.`: refused by the table.
const TABLE: [(CommandKind, &str); 19] = [
    // created, scheduled, requires_action, processing, authorized, captured, succeeded, voided, cancelled, failed
    (CommandKind::Update, "xx........"),
    (CommandKind::Confirm, "x.g......."),
    (CommandKind::Due, ".x........"),
    (CommandKind::Cascade, "x..g......"),
    (CommandKind::Refuse, "xx........"),
    (CommandKind::Hold, "xx........"),
    (CommandKind::Complete, "..x......."),
    (CommandKind::Capture, "....x....."),
    (CommandKind::Increment, "....x....."),
    (CommandKind::Void, "....xx...."),
    (CommandKind::Release, "....x....."),
    (CommandKind::Cancel, "xx........"),
    (CommandKind::CloseLive, "..xx......"),
    (CommandKind::ReserveRefund, "....xxx..."),
    (CommandKind::Supersede, "..xx......"),
    (CommandKind::Abandon, "gggggggggg"),
    (CommandKind::ClearReview, "xxxxxxxxxx"),
    (CommandKind::Compensate, "gggggggggg"),
    (CommandKind::NoteReview, "xxxxxxxxxx"),
];

fn cells() -> impl Iterator<Item = (IntentStatus, CommandKind, char)> {
    TABLE.into_iter().flat_map(|(command, row)| {
        let statuses = IntentStatus::ALL.into_iter().zip(row.chars());
        statuses.map(move |(status, expected)| (status, command, expected))
    })
}

#[test]
fn the_table_has_every_cell() {
    assert_eq!(TABLE.map(|(command, _)| command), CommandKind::ALL);
    assert!(TABLE.iter().all(|(_, row)| row.len() == IntentStatus::ALL.len()));
    assert_eq!(cells().count(), 190);
}

#[test]
fn every_state_and_every_command() {
    for (status, command, expected) in cells() {
        let outcomes = Scene::all_of(status).into_iter().map(|mut scene| {
            let before = scene.state.clone();
            let asked = scene.command(command);
            let outcome = scene.run(&asked);
            if outcome.is_err() {
                assert_eq!(
                    scene.state, before,
                    "a refusal changes nothing: {status:?} {command:?}"
                );
            }
            outcome
        });
        let outcomes: Vec<Result<(), Illegal>> = outcomes.collect();
        let refused = Err(Illegal::Transition {
            current: status,
            command,
        });
        match expected {
            'x' => assert!(
                outcomes.iter().any(Result::is_ok),
                "{status:?} {command:?}: {outcomes:?}"
            ),
            'g' => assert!(
                outcomes.iter().all(Result::is_err),
                "{status:?} {command:?}: {outcomes:?}"
            ),
            _refused => {
                assert!(
                    outcomes.iter().all(|outcome| *outcome == refused),
                    "{status:?} {command:?}: {outcomes:?}"
                );
            }
        }
        let listed = match cell(status, command) {
            Cell::Listed => expected != '.',
            Cell::Refused => expected == '.',
        };
        assert!(listed, "{status:?} {command:?}");
    }
}

#[test]
fn a_refused_cell_says_what_is_and_what_was_asked() {
    for (current, command, expected) in cells() {
        if expected == '.' {
            let error = Error::from(Illegal::Transition { current, command });
            let kind = ErrorKind::InvalidTransition {
                current: current.as_str(),
                command: command.as_str(),
            };
            assert_eq!(*error.kind(), kind);
        }
    }
}

/// The page's table, read row by row: `created, scheduled | update, confirm (why)`.
#[test]
fn the_page_says_what_the_table_says() {
    let page = include_str!("../table.md");
    let mut listed = Vec::new();
    let words = |cell: &str| -> Vec<String> {
        let mut depth = 0_i32;
        let plain = cell.chars().filter(|letter| {
            depth += i32::from(*letter == '(');
            let keep = depth == 0;
            depth -= i32::from(*letter == ')');
            keep
        });
        let plain: String = plain.collect();
        plain.split(',').map(|word| word.trim().to_owned()).collect()
    };
    for row in page.lines().skip(2).filter(|row| row.starts_with('|')) {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [from, commands] = columns[..] else {
            panic!("two columns: {row}")
        };
        for from in words(from) {
            for command in words(commands).iter().filter(|command| *command != "none") {
                let known = CommandKind::ALL.into_iter().find(|kind| kind.as_str() == command);
                let known = known.unwrap_or_else(|| panic!("`{command}` is no command"));
                let named = IntentStatus::ALL
                    .into_iter()
                    .filter(|status| from == "any" || from == status.as_str());
                listed.extend(named.map(|status| (status, known)));
            }
        }
    }
    for (status, command, _) in cells() {
        let on_page = listed.contains(&(status, command));
        assert_eq!(
            on_page,
            cell(status, command) == Cell::Listed,
            "{status:?} {command:?}"
        );
    }
}

#[test]
fn there_is_no_command_without_an_intent_but_its_creation() {
    for kind in CommandKind::ALL {
        let command = Scene::manual().command(kind);
        let outcome = crate::intent::decide(None, &command, crate::Timestamp::from_millis(0));
        assert_eq!(outcome, Err(Illegal::NotCreated), "{kind:?}");
    }
    let scene = Scene::manual();
    let again = crate::intent::Command::Create(Box::new(scene.state.clone()));
    assert_eq!(
        crate::intent::decide(Some(&scene.state), &again, scene.now),
        Err(Illegal::Exists)
    );
}
