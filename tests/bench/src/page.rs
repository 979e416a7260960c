//! `docs/benchmarks.md` and its pictures, made of `docs/benchmarks.json`, of `docs/soak.json` and of the template
//! `tests/bench/page/benchmarks.md`, so that no figure on the page was typed by anybody.
//!
//! The template is Markdown with expressions of Jinja:
//!
//! - `{{ goals() }}`: a table of every figure that has a bar, with what it has to reach
//! - `{{ table("peers-4kb", ["rate", "p50"]) }}`: a line for each variant and work of a group, a column for each metric
//! - `{{ figure("peers-4kb", "graphwarden", "4 KB", "rate") }}`: one median with its unit; `…"rate", "of")` its ratio
//! - `{{ picture("bench-bytes.svg", "what is on it") }}`: one of the pictures, where there are figures for it
//! - `{{ taken() }}`: when, on what and with what each group was measured
//! - `{{ soak() }}`: the summary of the soak
//!
//! What was not measured is a dash, a sentence that says so, or no picture: results may hold fewer groups than the page.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use graphwarden_soak::Summary;
use graphwarden_stand::Tools;
use minijinja::Environment;

use crate::plots;
use crate::results::{self, Results, Row, Side};

/// What a cell shows where there is no figure.
const NOTHING: &str = "–";

/// What the page says in the place of a soak.
const NO_SOAK: &str = "*No soak is on record.*";

/// Where the page and what it is made of are.
fn docs() -> PathBuf {
    Tools::find().root().join("docs")
}

/// What is committed of measurements.
struct Committed {
    results: Results,
    soak: Option<Summary>,
}

impl Committed {
    /// Results that are not there are empty; a soak that is not there is none.
    fn read(docs: &Path) -> Result<Self> {
        let soak = soak_text(&docs.join("soak.json"))?.map(|text| Summary::read(&text));
        Ok(Self {
            results: Results::read(&docs.join("benchmarks.json"))?,
            soak: soak.transpose().context("docs/soak.json is no summary of a soak")?,
        })
    }
}

/// The text of a soak's summary, where there is one.
fn soak_text(path: &Path) -> Result<Option<String>> {
    if !path.exists() {
        return Ok(None);
    }
    fs::read_to_string(path).map(Some).with_context(|| format!("cannot read {}", path.display()))
}

/// Renders the page and its pictures; with `take`, of what was measured last.
pub(crate) fn write(take: bool) -> Result<()> {
    let docs = docs();
    if take {
        let committed = docs.join("benchmarks.json");
        let mut kept = Results::read(&committed)?;
        for group in Results::read(&results::path())?.groups {
            kept.groups.retain(|other| other.group != group.group);
            kept.groups.push(group);
        }
        kept.groups.sort_by(|one, other| one.group.cmp(&other.group));
        kept.write(&committed)?;
        let summary = Tools::find().root().join("target/soak/summary.json");
        if let Some(text) = soak_text(&summary)? {
            // What cannot be read must not take the place of what can.
            Summary::read(&text).with_context(|| format!("{} is no summary of a soak", summary.display()))?;
            fs::write(docs.join("soak.json"), text).context("cannot write docs/soak.json")?;
        }
    }
    for (path, content) in rendered(&Committed::read(&docs)?)? {
        fs::write(docs.join(&path), content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The page and its pictures, by their paths in `docs`.
fn rendered(committed: &Committed) -> Result<Vec<(PathBuf, String)>> {
    let template = Tools::find().root().join("tests/bench/page/benchmarks.md");
    let template =
        fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
    let pictures = plots::all(&committed.results, committed.soak.as_ref())?;
    let names: Vec<&'static str> = pictures.iter().map(|(name, _)| *name).collect();
    let mut files = vec![(PathBuf::from("benchmarks.md"), page(&template, committed, names)?)];
    for (name, picture) in pictures {
        files.push((Path::new("images").join(name), picture));
    }
    Ok(files)
}

/// The template with the figures in their places.
fn page(template: &str, committed: &Committed, pictures: Vec<&'static str>) -> Result<String> {
    let results = &committed.results;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let shared = results.clone();
    environment.add_function("goals", move || goals(&shared));
    let shared = results.clone();
    environment
        .add_function("table", move |group: &str, metrics: Vec<String>| table(&shared, group, &metrics));
    let shared = results.clone();
    environment.add_function(
        "figure",
        move |group: &str, variant: &str, work: &str, metric: &str, of: Option<bool>| {
            figure(&shared, (group, variant, work, metric), of.unwrap_or(false))
        },
    );
    environment.add_function("picture", move |name: &str, text: &str| {
        if pictures.contains(&name) { format!("![{text}](images/{name})") } else { String::new() }
    });
    let shared = results.clone();
    environment.add_function("taken", move || taken(&shared));
    let soak = committed.soak.as_ref().map_or_else(|| NO_SOAK.to_owned(), Summary::markdown);
    environment.add_function("soak", move || soak.trim_end().to_owned());
    let text = environment.render_str(template, ()).map_err(|error| anyhow!("the template: {error:#}"))?;
    Ok(format!("{}\n", text.trim_end()))
}

/// Every figure that has a bar.
fn goals(results: &Results) -> String {
    let mut text = "| what | figure | goal |\n|---|---|---|\n".to_owned();
    for row in results.groups.iter().flat_map(|group| &group.rows) {
        let Some(bar) = &row.bar else { continue };
        let side = match bar.side {
            Side::AtLeast => "at least",
            Side::AtMost => "at most",
        };
        let (unit, of) = match &row.of {
            Some(of) => (String::new(), format!(", of {}", of.variant)),
            None => (spaced(&row.unit), String::new()),
        };
        let missed = if bar.met { "" } else { ", **missed**" };
        let _ = writeln!(
            text,
            "| {}, {}: {}{of} | {} | {side} {}{unit}{missed} |",
            row.variant,
            row.work,
            row.metric,
            with_spread(row, row.of.is_some()),
            number(bar.limit),
        );
    }
    text.trim_end().to_owned()
}

/// A line for each variant and work, a column for each metric.
fn table(results: &Results, group: &str, metrics: &[String]) -> String {
    let Some(group) = results.group(group) else { return "*Not measured in these results.*".to_owned() };
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for row in group.rows.iter().filter(|row| metrics.contains(&row.metric)) {
        let line = (row.variant.as_str(), row.work.as_str());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let metrics: Vec<&String> =
        metrics.iter().filter(|metric| group.rows.iter().any(|row| row.metric == **metric)).collect();
    // Where all is of one work, its name would stand in every line.
    let works: BTreeSet<&str> = lines.iter().map(|line| line.1).collect();
    let heading = |metric: &str| {
        let unit = group.rows.iter().find(|row| row.metric == metric).map_or("", |row| row.unit.as_str());
        if unit.is_empty() { metric.to_owned() } else { format!("{metric}, {unit}") }
    };
    let mut text = format!("| {} |", if works.len() == 1 { *works.iter().next().unwrap_or(&"") } else { "" });
    for metric in &metrics {
        let _ = write!(text, " {} |", heading(metric));
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(metrics.len()));
    for (variant, work) in lines {
        let name = if works.len() == 1 { variant.to_owned() } else { format!("{variant}, {work}") };
        let _ = write!(text, "\n| {name} |");
        for metric in &metrics {
            let cell = group.row(variant, work, metric).map_or_else(|| NOTHING.to_owned(), cell);
            let _ = write!(text, " {cell} |");
        }
    }
    text
}

/// A median, and the ratio in its words where there is one.
fn cell(row: &Row) -> String {
    let own = number(row.median);
    match &row.of {
        Some(of) if of.variant == row.variant => own,
        Some(_) => format!("{own}; {}", with_spread(row, true)),
        None if row.rounds > 1 => with_spread(row, false),
        None => own,
    }
}

/// A figure or its ratio, with the lowest and highest of its rounds.
fn with_spread(row: &Row, ratio: bool) -> String {
    let (median, low, high, unit) = match row.of.as_ref().filter(|_| ratio) {
        Some(of) => (of.median, of.low, of.high, String::new()),
        None => (row.median, row.low, row.high, String::new()),
    };
    if row.rounds > 1 {
        format!("{}{unit} ({}–{})", number(median), number(low), number(high))
    } else {
        format!("{}{unit}", number(median))
    }
}

/// One figure for a sentence.
fn figure(
    results: &Results,
    (group, variant, work, metric): (&str, &str, &str, &str),
    ratio: bool,
) -> String {
    let row = results.group(group).and_then(|group| group.row(variant, work, metric));
    match row {
        Some(row) if ratio => row.of.as_ref().map_or_else(|| NOTHING.to_owned(), |of| number(of.median)),
        Some(row) => format!("{}{}", number(row.median), spaced(&row.unit)),
        None => NOTHING.to_owned(),
    }
}

/// When, on what and with what each group was measured; groups of one run share a line.
fn taken(results: &Results) -> String {
    let mut text = "| measured | commit | with | on |\n|---|---|---|---|".to_owned();
    for group in &results.groups {
        let taken = &group.taken;
        let _ = write!(
            text,
            "\n| {}, {} | {} | Envoy {}, rustc {} | {}, {} cores, {:.0} GiB, {} |",
            group.group,
            taken.date.split('T').next().unwrap_or_default(),
            taken.commit,
            taken.versions.envoy,
            taken.versions.rustc,
            taken.machine.processor,
            taken.machine.cores,
            taken.machine.memory_mib as f64 / 1024.0,
            taken.machine.kernel,
        );
    }
    text
}

/// A unit as it follows a number.
fn spaced(unit: &str) -> String {
    if unit.is_empty() || unit.starts_with('/') { unit.to_owned() } else { format!(" {unit}") }
}

/// A number as people read it: three digits that count, and groups of thousands.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    let plain = format!("{size:.digits$}");
    let (whole, rest) = plain.split_once('.').map_or((plain.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "−" } else { "" };
    // A limit that was written as a whole number is shown as one.
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_committed_results_and_the_committed_soak_render_to() -> Result<()> {
        let committed = Committed::read(&docs())?;
        for (path, content) in rendered(&committed)? {
            let there = fs::read_to_string(docs().join(&path)).unwrap_or_default();
            assert!(
                there == content,
                "docs/{} is not what docs/benchmarks.json and docs/soak.json give; `make bench-page` renders it",
                path.display()
            );
        }
        let page = fs::read_to_string(docs().join("benchmarks.md"))?;
        let soak = committed.soak.map_or_else(|| NO_SOAK.to_owned(), |soak| soak.markdown());
        assert!(page.contains(soak.trim_end()), "docs/benchmarks.md does not show docs/soak.json");
        Ok(())
    }

    #[test]
    fn numbers_are_as_people_read_them() {
        let shown = [1_234_567.0, 812.4, 81.24, 0.8124, 0.05, 0.0, -3.5, 40.0].map(number);
        assert_eq!(shown, ["1,234,567", "812", "81.2", "0.81", "0.05", "0", "−3.5", "40"]);
    }

    #[test]
    fn a_missed_goal_is_shown_as_missed() -> Result<()> {
        let values = [0.7, 0.8];
        let row = Row::new("ours", "4 KB", "rate", "/s", &values)?.of("theirs", &values, &[1.0, 1.0])?;
        let group = |row| results::Group {
            group: "peers-4kb".to_owned(),
            taken: results::Taken {
                date: "2026-11-23T04:10:00Z".to_owned(),
                commit: "0".repeat(12),
                machine: results::Machine {
                    processor: "a processor".to_owned(),
                    cores: 2,
                    memory_mib: 2048,
                    kernel: "Linux 6".to_owned(),
                },
                versions: results::Versions {
                    envoy: "1.40.0".to_owned(),
                    rustc: "1.95.0".to_owned(),
                    graphwarden: "0.1.0".to_owned(),
                },
            },
            rows: vec![row],
        };
        let results = |row| Results { schema: 1, groups: vec![group(row)] };
        let missed = results(row.clone().at_least(0.9));
        assert!(goals(&missed).contains("| 0.8 (0.7–0.8) | at least 0.9, **missed** |"));
        assert!(!goals(&results(row.at_least(0.8))).contains("missed"));
        let page = page(
            "{{ figure('peers-4kb', 'ours', '4 KB', 'rate', true) }} {{ table('scale', []) }}",
            &Committed { results: missed, soak: None },
            Vec::new(),
        )?;
        assert_eq!(page, "0.8 *Not measured in these results.*\n");
        Ok(())
    }

    #[test]
    fn a_soak_is_shown_with_its_memory_and_none_without_a_picture() -> Result<()> {
        const TEMPLATE: &str = "{{ soak() }}\n\n{{ picture('soak-memory.svg', 'Lines') }}";
        let shown = |soak: Option<Summary>| -> Result<(String, Vec<(&'static str, String)>)> {
            let committed = Committed { results: Results { schema: 1, groups: Vec::new() }, soak };
            let pictures = plots::all(&committed.results, committed.soak.as_ref())?;
            let names = pictures.iter().map(|(name, _)| *name).collect();
            Ok((page(TEMPLATE, &committed, names)?, pictures))
        };
        let (none, pictures) = shown(None)?;
        assert_eq!((none.as_str(), pictures.len()), ("*No soak is on record.*\n", 0));
        let part =
            |of: &str, samples: [[f64; 2]; 3]| serde_json::json!({"of": of, "series_seconds_mib": samples});
        let soak = serde_json::json!({
            "seconds": 3_600,
            "requests": 54_000,
            "commit": "0000000",
            "kinds": [],
            "faults": {"desk frozen for a while": 60},
            "ledger": {"request": 54_000},
            "verify": [],
            "memory": {"parts": [
                part("Envoy", [[5.0, 140.0], [1_800.0, 151.5], [3_595.0, 150.25]]),
                part("the desk", [[5.0, 40.0], [1_800.0, 52.0], [3_595.0, 52.5]]),
            ]},
            "failures": ["run: 500 (1)"],
        });
        let (page, pictures) = shown(Some(Summary::read(&soak.to_string())?))?;
        assert!(page.contains("54000 requests in 60 minutes at commit `0000000`: **1 failures**."), "{page}");
        assert!(page.contains("| desk frozen for a while | 60 |"), "{page}");
        assert!(page.ends_with("\n\n![Lines](images/soak-memory.svg)\n"), "{page}");
        let [("soak-memory.svg", picture)] = pictures.as_slice() else { panic!("{pictures:?}") };
        for name in ["Envoy", "the desk", "minutes"] {
            assert!(picture.contains(&format!("\n{name}\n")), "{name} is not in {picture}");
        }
        Ok(())
    }
}
