//! What is wrong with a TOML program, shown line by line.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::diagnostics::{Diagnostic, Diagnostics, Lines, Severity};

/// Each with its line, and what is meant on it marked.
pub(super) fn write(f: &mut fmt::Formatter<'_>, text: &str, all: &Diagnostics) -> fmt::Result {
    let lines = Lines::of(text);
    let renderer = Renderer::plain();
    all.iter().try_for_each(|one| {
        let level = match one.severity() {
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let title = level.primary_title(one.message()).id(one.code());
        let mut group = Group::with_title(title);
        if let Some(snippet) = snippet(one, text, &lines) {
            group = group.elements(snippet);
        }
        if let Some(suggestion) = one.suggestion() {
            group = group.element(Level::HELP.message(suggestion));
        }
        writeln!(f, "{}\n", renderer.render(&[group]))
    })
}

/// How many bytes of a line are shown, before what is meant and from there on: a program may stand in one line.
const SHOWN: (usize, usize) = (120, 240);

/// The one line, so that the renderer needn't read all the others for each; of a long one the part that is meant.
fn snippet<'t>(one: &Diagnostic, text: &'t str, lines: &Lines<'t>) -> Option<Vec<Element<'t>>> {
    let bytes = one.bytes()?;
    let (number, start) = lines.line_of(bytes.start);
    let line = text.get(start..)?.split('\n').next()?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    let meant = (bytes.start - start).min(line.len());
    let end = (bytes.end - start).clamp(meant, line.len());
    let mark = |at: Range<usize>| AnnotationKind::Primary.span(at);
    let (before, after) = SHOWN;
    if line.len() <= before + after {
        let whole = Snippet::source(line).line_start(number).path(PROGRAM);
        return Some(vec![whole.annotation(mark(meant..end)).into()]);
    }
    let from = line.floor_char_boundary(meant.saturating_sub(before));
    let to = line.floor_char_boundary(meant + after);
    let (line_number, column) = one.line_column()?;
    let origin = Origin::path(PROGRAM).line(line_number).char_column(column);
    let part = Snippet::source(&line[from..to]).line_start(number);
    let marked = mark(meant - from..end.min(to) - from);
    Some(vec![origin.into(), part.annotation(marked).into()])
}

/// What stands where a file's name would.
const PROGRAM: &str = "program";
