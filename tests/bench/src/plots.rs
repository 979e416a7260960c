//! The pictures of the page: bars for variants of one work, lines over growing work and over time. SVG that reads on a
//! phone, and on light and dark pages alike: ground and ink follow what the reader prefers, and the series' colours show
//! on both.

use anyhow::{Result, anyhow};
use graphwarden_soak::Summary;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::results::{Results, Row};

/// What one picture shows.
struct Plot {
    file: &'static str,
    title: &'static str,
    kind: Kind,
}

enum Kind {
    /// One bar a variant, in one work; the shorter the better, or the longer.
    Bars { group: &'static str, metric: &'static str },
    /// One line a variant, over the work of all these groups; both axes grow by factors.
    /// Only these variants, where there are more than can be told apart.
    Lines {
        groups: &'static [&'static str],
        metric: &'static str,
        over: &'static str,
        only: &'static [&'static str],
    },
    /// One line for each part whose memory the soak watched, over its minutes.
    Memory,
}

/// Pictures of what was not measured are left out.
const PLOTS: &[Plot] = &[
    Plot {
        file: "bench-processor.svg",
        title: "Processor time a request, 4 KB, all processes (µs)",
        kind: Kind::Bars { group: "peers-4kb", metric: "processor with servers" },
    },
    Plot {
        file: "bench-latency.svg",
        title: "Added median latency, 4 KB, 500 requests/s (ms)",
        kind: Kind::Bars { group: "peers-4kb", metric: "added median" },
    },
    Plot {
        file: "bench-bytes.svg",
        title: "Processor time a request, by size of body (µs)",
        kind: Kind::Lines {
            groups: &["peers-1kb", "peers-4kb", "peers-100kb", "peers-10mb"],
            metric: "processor with servers",
            over: "bytes",
            only: &[
                "Envoy alone",
                "copying wasm",
                "graphwarden",
                "ext_proc, streamed",
                "ext_authz + ext_proc, streamed",
                "Lua gsub",
                "Presidio behind ext_proc",
            ],
        },
    },
    Plot {
        file: "bench-rules.svg",
        title: "Processor time a request, by rules (µs)",
        kind: Kind::Lines { groups: &["scale-rules"], metric: "processor time", over: "rules", only: &[] },
    },
    Plot {
        file: "bench-connections.svg",
        title: "Requests a second, by connections",
        kind: Kind::Lines { groups: &["scale-connections"], metric: "rate", over: "connections", only: &[] },
    },
    Plot { file: "soak-memory.svg", title: "Memory during the soak (MiB)", kind: Kind::Memory },
];

/// Ink and grid; where the reader prefers dark pages, [`STYLE`] replaces the ink.
const INK: RGBColor = RGBColor(31, 35, 40);
const GRID: RGBColor = RGBColor(140, 149, 159);
/// Ours, and the others in turn.
const OURS: RGBColor = RGBColor(26, 127, 55);
const OTHERS: [RGBColor; 7] = [
    RGBColor(9, 105, 218),
    RGBColor(207, 34, 46),
    RGBColor(154, 103, 0),
    RGBColor(130, 80, 223),
    RGBColor(17, 138, 143),
    RGBColor(191, 57, 137),
    RGBColor(120, 128, 138),
];
const STYLE: &str = "<style>text{font-family:system-ui,sans-serif}.ground{fill:#fff}@media(prefers-color-scheme:dark){\
    .ground{fill:#0d1117}[fill=\"#1F2328\"]{fill:#e6edf3}[stroke=\"#1F2328\"]{stroke:#e6edf3}}</style>";
const GROUND: &str = r#"<rect class="ground" width="100%" height="100%" rx="8"/>"#;

const WIDTH: u32 = 640;
/// Pixels of text; the backend makes four fifths of it.
const TEXT: i32 = 25;
/// From one bar to the next, with its name above it.
const LINE: i32 = 52;

/// Every picture that these results and this soak have the figures for: its name and its text.
pub(crate) fn all(results: &Results, soak: Option<&Summary>) -> Result<Vec<(&'static str, String)>> {
    let mut pictures = Vec::new();
    for plot in PLOTS {
        let picture = match plot.kind {
            Kind::Bars { group, metric } => bars(results, plot.title, group, metric),
            Kind::Lines { groups, metric, over, only } => {
                lines(results, plot.title, groups, (metric, over), only)
            }
            Kind::Memory => soak.map_or(Ok(None), |soak| memory(soak, plot.title)),
        };
        if let Some(picture) = picture.map_err(|error| anyhow!("{}: {error}", plot.file))? {
            pictures.push((plot.file, picture));
        }
    }
    Ok(pictures)
}

type Drawn = Result<Option<String>, String>;
type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws into a text of its own; `draw` is given the canvas below the title.
fn drawn(
    title: &str,
    height: i32,
    draw: impl FnOnce(&Canvas<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Drawn {
    let mut text = String::new();
    {
        let height = u32::try_from(height).map_err(|error| error.to_string())?;
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        let whole = || -> Result<(), Box<dyn std::error::Error>> {
            root.draw(&Text::new(title.to_owned(), (4, 8), ink(TEXT)))?;
            draw(&root)?;
            root.present()?;
            Ok(())
        };
        whole().map_err(|error| error.to_string())?;
    }
    // Behind the opening tag.
    let (head, rest) = text.split_once(">\n").ok_or("an SVG begins with a tag")?;
    Ok(Some(format!("{head}>\n{STYLE}\n<title>{title}</title>\n{GROUND}\n{rest}")))
}

fn ink(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

fn colour(variant: &str, index: usize) -> RGBColor {
    if variant.starts_with("graphwarden") {
        return OURS;
    }
    OTHERS.get(index % OTHERS.len()).copied().unwrap_or(INK)
}

/// Bars from the left, each with its variant's name above and its figure behind it. A bar that is far longer than
/// most is broken off, and its figure says how long it would be.
fn bars(results: &Results, title: &str, group: &str, metric: &str) -> Drawn {
    const LEFT: i32 = 6;
    const ROOM: f64 = 530.0;
    const TOP: i32 = 50;
    let Some(group) = results.group(group) else { return Ok(None) };
    let rows: Vec<&Row> = group.rows.iter().filter(|row| row.metric == metric && row.bar.is_none()).collect();
    let mut sizes: Vec<f64> = rows.iter().map(|row| row.median).collect();
    sizes.sort_by(f64::total_cmp);
    // What is more than twice as long as nine tenths of them does not fit.
    let most = sizes.get(sizes.len().saturating_sub(1 + sizes.len() / 10)).copied().unwrap_or(0.0);
    let longest = sizes.iter().copied().filter(|size| *size <= most * 2.0).fold(0.0, f64::max);
    if longest <= 0.0 {
        return Ok(None);
    }
    let count = i32::try_from(rows.len()).map_err(|error| error.to_string())?;
    drawn(title, TOP + count * LINE + 6, |canvas| {
        for (row, line) in rows.iter().zip(0..) {
            let top = TOP + line * LINE;
            #[expect(clippy::cast_possible_truncation, reason = "a pixel of a few hundred")]
            let right = LEFT + ((row.median / longest).clamp(0.0, 1.0) * ROOM) as i32;
            canvas.draw(&Text::new(row.variant.clone(), (LEFT, top), ink(TEXT - 2)))?;
            let fill = if row.variant.starts_with("graphwarden") { OURS } else { GRID };
            let bar = Rectangle::new([(LEFT, top + 24), (right.max(LEFT + 1), top + 42)], fill.filled());
            canvas.draw(&bar)?;
            let mut figure = crate::page::number(row.median);
            if row.median > longest {
                figure.insert_str(0, "… ");
            }
            canvas.draw(&Text::new(figure, (right + 8, top + 24), ink(TEXT - 2)))?;
        }
        Ok(())
    })
}

/// Lines over growing work. Variants that have only one point are left out.
fn lines(
    results: &Results,
    title: &str,
    groups: &[&str],
    (metric, over): (&str, &str),
    only: &[&str],
) -> Drawn {
    let rows: Vec<(&Row, f64)> = groups
        .iter()
        .filter_map(|group| results.group(group))
        .flat_map(|group| &group.rows)
        .filter(|row| row.metric == metric && row.bar.is_none() && row.median > 0.0)
        .filter_map(|row| Some((row, row.x?)))
        .collect();
    let mut variants: Vec<&str> = Vec::new();
    for (row, _) in &rows {
        if !variants.contains(&row.variant.as_str()) {
            variants.push(&row.variant);
        }
    }
    let points = |variant: &str| -> Vec<(f64, f64)> {
        rows.iter().filter(|(row, _)| row.variant == variant).map(|(row, x)| (*x, row.median)).collect()
    };
    let series: Vec<Line<'_>> = variants
        .into_iter()
        .filter(|variant| only.is_empty() || only.contains(variant))
        .map(|variant| (variant, points(variant)))
        .filter(|(_, points)| points.len() > 1)
        .collect();
    let Some(Edges { left, right, low, high }) = edges(&series) else { return Ok(None) };
    chart(title, &series, over, (left..right).log_scale(), (low * 0.8..high * 1.2).log_scale())
}

/// Lines over the minutes of a soak. Both axes begin at nothing, so that what is flat looks flat and what grows does not.
fn memory(soak: &Summary, title: &str) -> Drawn {
    let series: Vec<Line<'_>> = soak.memory().into_iter().filter(|(_, points)| points.len() > 1).collect();
    let Some(Edges { right, high, .. }) = edges(&series) else { return Ok(None) };
    chart(title, &series, "minutes", 0.0..right, 0.0..high * 1.1)
}

/// The name of a line, and its points.
type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// Between what all points are.
struct Edges {
    left: f64,
    right: f64,
    low: f64,
    high: f64,
}

/// `None` where there are no points.
fn edges(series: &[Line<'_>]) -> Option<Edges> {
    let all = || series.iter().flat_map(|(_, points)| points);
    Some(Edges {
        left: all().map(|point| point.0).reduce(f64::min)?,
        right: all().map(|point| point.0).reduce(f64::max)?,
        low: all().map(|point| point.1).reduce(f64::min)?,
        high: all().map(|point| point.1).reduce(f64::max)?,
    })
}

/// Lines with a legend below, on whatever axes they are given.
fn chart<X, Y>(title: &str, series: &[Line<'_>], over: &str, x: X, y: Y) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let legend = i32::try_from(series.len()).map_err(|error| error.to_string())? * 32;
    drawn(title, 440 + legend, |canvas| {
        let (chart, below) = canvas.margin(44, 0, 0, 16).split_vertically(380);
        let mut chart =
            ChartBuilder::on(&chart).x_label_area_size(64).y_label_area_size(92).build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.mix(0.35))
            .axis_style(GRID)
            .x_desc(over)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .label_style(ink(TEXT - 3))
            .axis_desc_style(ink(TEXT - 3))
            .draw()?;
        for (index, (variant, points)) in series.iter().enumerate() {
            let ours = variant.starts_with("graphwarden");
            let style = colour(variant, index).stroke_width(if ours { 4 } else { 2 });
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            let top = i32::try_from(index)? * 32 + 8;
            below.draw(&PathElement::new([(16, top + 10), (56, top + 10)], style))?;
            below.draw(&Text::new((*variant).to_owned(), (66, top), ink(TEXT - 2)))?;
        }
        Ok(())
    })
}

/// A number on an axis.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", crate::page::number(value / 1e6)),
        value if value >= 1e3 => format!("{} k", crate::page::number(value / 1e3)),
        value => crate::page::number(value),
    }
}
