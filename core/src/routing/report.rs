//! What is wrong with a TOML program, shown line by line.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

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
        let mut group = level
            .primary_title(one.message())
            .id(one.code())
            .elements(snippet(one, text, &lines));
        if let Some(suggestion) = one.suggestion() {
            group = group.element(Level::HELP.message(suggestion));
        }
        writeln!(f, "{}\n", renderer.render(&[group]))
    })
}

/// The one line, so that the renderer needn't read all the others for each.
fn snippet<'t>(
    one: &Diagnostic,
    text: &'t str,
    lines: &Lines<'t>,
) -> Option<Snippet<'t, annotate_snippets::Annotation<'t>>> {
    let bytes = one.bytes()?;
    let (number, start) = lines.line_of(bytes.start);
    let rest = text.get(start..)?;
    let line = rest.split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let from = (bytes.start - start).min(line.len());
    let to = (bytes.end - start).clamp(from, line.len());
    Some(
        Snippet::source(line)
            .line_start(number)
            .path("program")
            .annotation(AnnotationKind::Primary.span(from..to)),
    )
}
