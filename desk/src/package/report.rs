//! `report.html`: what an auditor reads first. One page that needs nothing else, on paper too.

use std::io::Write;

use askama::Template;

use super::charts::{Bar, bars, columns};
use super::controls::{CONTROLS, Control};
use super::figures::Figures;
use super::review::Remarks;

/// How many rows a list of the report has; the tables have them all.
const ROWS: usize = 15;

/// What the report is made from, besides the figures.
pub(super) struct Facts<'a> {
    pub(super) made: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) filters: Vec<(&'static str, String)>,
    pub(super) records: u64,
    pub(super) purged: u64,
    pub(super) ledger: u64,
    pub(super) invocations: u64,
    pub(super) root: String,
    pub(super) key: &'a str,
    pub(super) since: Option<u64>,
    pub(super) review: Remarks,
    pub(super) directory: Option<usize>,
    pub(super) approvals: Vec<(String, u64)>,
    pub(super) findings: Vec<(String, u64)>,
}

/// A number with a name, for the top of the page.
struct Tile {
    value: u64,
    name: &'static str,
    bad: bool,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    facts: &'a Facts<'a>,
    figures: &'a Figures,
    tiles: Vec<Tile>,
    days: String,
    operations: String,
    reasons: String,
    masked: String,
    approvals: String,
    events: Vec<(&'a str, u64)>,
    controls: &'static [Control],
    first: &'a str,
    last: &'a str,
    all_findings: u64,
}

/// Writes the report.
pub(super) fn write(facts: &Facts<'_>, figures: &Figures, mut out: impl Write) -> anyhow::Result<()> {
    let all_findings: u64 = facts.findings.iter().map(|(_, count)| count).sum();
    let refused: u64 = figures.days.values().map(|(_, refused)| refused).sum();
    let masked: u64 = figures.masked.values().sum();
    let tile = |value, name| Tile { value, name, bad: false };
    let mut tiles = vec![
        tile(facts.invocations, "invocations"),
        tile(facts.review.people, "callers"),
        tile(refused, "refused"),
        tile(figures.approved, "with an approval"),
        tile(masked, "values masked"),
        Tile { value: all_findings, name: "findings", bad: all_findings > 0 },
    ];
    if facts.directory.is_some() {
        let strange = facts.review.strangers + facts.review.disabled;
        tiles.push(Tile { value: strange, name: "callers not active in the directory", bad: strange > 0 });
    }
    let (first, last) = figures.span.as_ref().map_or(("", ""), |(first, last)| (first, last));
    let page = Page {
        facts,
        figures,
        tiles,
        days: columns("Invocations by day", &of_days(figures)),
        operations: bars(
            "Invocations by operation",
            &top(figures.operations.iter().map(|(name, both)| Bar {
                name: name.clone(),
                good: both.0,
                bad: both.1,
            })),
        ),
        reasons: bars(
            "Refusals by reason",
            &top(figures.reasons.iter().map(|(name, count)| Bar {
                name: name.clone(),
                good: 0,
                bad: *count,
            })),
        ),
        masked: bars(
            "Masked values by detector",
            &top(figures.masked.iter().map(|(name, count)| Bar { name: name.clone(), good: *count, bad: 0 })),
        ),
        approvals: bars(
            "Approvals by outcome",
            &top(facts.approvals.iter().map(|(name, count)| {
                let bad = matches!(name.as_str(), "denied" | "expired" | "cancelled");
                Bar {
                    name: name.clone(),
                    good: if bad { 0 } else { *count },
                    bad: if bad { *count } else { 0 },
                }
            })),
        ),
        events: figures.events.iter().map(|(name, count)| (name.as_str(), *count)).collect(),
        controls: CONTROLS,
        first,
        last,
        all_findings,
    };
    out.write_all(page.render()?.as_bytes())?;
    Ok(())
}

/// The largest, largest first, and the rest together.
fn top(all: impl Iterator<Item = Bar>) -> Vec<Bar> {
    let mut all: Vec<Bar> = all.collect();
    all.sort_by(|one, other| {
        (other.good + other.bad).cmp(&(one.good + one.bad)).then(one.name.cmp(&other.name))
    });
    if all.len() > ROWS {
        let rest = all.split_off(ROWS - 1);
        let name = format!("{} others", rest.len());
        let (good, bad) = rest.iter().fold((0, 0), |(good, bad), bar| (good + bar.good, bad + bar.bad));
        all.push(Bar { name, good, bad });
    }
    all
}

/// By day; by month, where there are more days than a chart can show.
fn of_days(figures: &Figures) -> Vec<Bar> {
    let cut = if figures.days.len() > 62 { 7 } else { 10 };
    let mut bars: Vec<Bar> = Vec::new();
    for (day, (good, bad)) in &figures.days {
        let name = day.get(..cut).unwrap_or(day);
        match bars.last_mut().filter(|bar| bar.name == name) {
            Some(bar) => {
                bar.good += good;
                bar.bad += bad;
            }
            None => bars.push(Bar { name: name.to_owned(), good: *good, bad: *bad }),
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_days_become_months_and_many_names_an_end() {
        let mut figures = Figures::default();
        for day in 0..90 {
            figures.days.insert(format!("2026-{:02}-{:02}", 1 + day / 30, 1 + day % 30), (2, 1));
        }
        let bars = of_days(&figures);
        assert_eq!((bars.len(), bars[0].name.as_str(), bars[0].good, bars[0].bad), (3, "2026-01", 60, 30));
        let names = top((0..40).map(|index| Bar { name: format!("n{index}"), good: index, bad: 0 }));
        assert_eq!((names.len(), names[0].good, names[ROWS - 1].name.as_str()), (ROWS, 39, "26 others"));
        assert_eq!(names.iter().map(|bar| bar.good).sum::<u64>(), (0..40_u64).sum::<u64>());
    }
}
