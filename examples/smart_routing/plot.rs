//! The day as an SVG: the share of approved payments in each half hour, a line for each strategy.

use std::fmt::Write as _;

use crate::day::{Day, FAILS, PARTS};

const WIDTH: u64 = 960;
const HEIGHT: u64 = 400;
const LEFT: u64 = 56;
const TOP: u64 = 56;
/// The lowest share that is shown, in percent.
const LEAST: u64 = 60;
const COLOURS: [&str; 4] = ["#8a8a8a", "#c98a1b", "#1b7f5c", "#2b5fc2"];

pub(crate) fn svg(days: &[Day]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        LEFT + WIDTH + 24,
        TOP + HEIGHT + 48
    );
    failure(&mut svg);
    grid(&mut svg);
    for ((place, day), colour) in (0..).zip(days).zip(COLOURS) {
        line(&mut svg, day, colour);
        let x = LEFT + place * 150;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"32\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"43\">{}</text>",
            x + 18,
            day.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where north can't be reached, and where it is weak yet.
fn failure(svg: &mut String) {
    for (from, until, fill) in [
        (FAILS.lost_from, FAILS.weak_from, "#f4d6d2"),
        (FAILS.weak_from, FAILS.well_from, "#faebe9"),
    ] {
        let (from, until) = (x_of(from), x_of(until));
        let _ = writeln!(
            svg,
            "<rect x=\"{from}\" y=\"{TOP}\" width=\"{}\" height=\"{HEIGHT}\" fill=\"{fill}\"/>",
            until - from
        );
    }
}

fn grid(svg: &mut String) {
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"20\">approved, % of the payments of each half hour; shaded: north fails, then is weak</text>"
    );
    for share in (LEAST..=100).step_by(10) {
        let y = y_of(share, 100);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{share}</text>",
            LEFT + WIDTH,
            LEFT - 8,
            y + 4
        );
    }
    for hour in (0..=24).step_by(3) {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{hour:02}:00</text>",
            LEFT + hour * WIDTH / 24,
            TOP + HEIGHT + 24
        );
    }
}

fn line(svg: &mut String, day: &Day, colour: &str) {
    let mut points = String::new();
    for (place, (payments, approved)) in (0..).zip(&day.parts) {
        if *payments > 0 {
            let x = LEFT + (2 * place + 1) * WIDTH / (2 * PARTS as u64);
            let _ = write!(points, "{x},{} ", y_of(*approved, *payments));
        }
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>",
        points.trim_end()
    );
}

fn x_of(at: u64) -> u64 {
    LEFT + at * WIDTH / 86_400_000
}

/// What is below the lowest share is drawn there.
fn y_of(part: u64, whole: u64) -> u64 {
    let above = (part * 100).saturating_sub(LEAST * whole);
    TOP + HEIGHT - HEIGHT * above / ((100 - LEAST) * whole)
}
