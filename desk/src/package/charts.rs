//! Charts of the report: SVG in the page itself, readable in print, with the same figures in words for whoever does
//! not see them.

use std::fmt::Write;

/// A bar: its name, and what stands to be seen in green and in red.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) good: u64,
    pub(super) bad: u64,
}

/// Lying bars, one under the other.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    const ROW: usize = 26;
    const LEFT: usize = 250;
    const WIDTH: usize = 760;
    let most = bars.iter().map(|bar| bar.good + bar.bad).max().unwrap_or(0).max(1);
    let height = bars.len() * ROW + 8;
    let mut out = open(title, WIDTH, height, bars);
    for (index, bar) in bars.iter().enumerate() {
        let y = index * ROW + 4;
        let room = (WIDTH - LEFT - 110) as f64;
        let (good, bad) = (room * bar.good as f64 / most as f64, room * bar.bad as f64 / most as f64);
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect class=\"good\" x=\"{LEFT}\" y=\"{y}\" width=\"{good:.1}\" height=\"18\"/>\
             <rect class=\"bad\" x=\"{:.1}\" y=\"{y}\" width=\"{bad:.1}\" height=\"18\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            LEFT - 8,
            y + 14,
            escape(&shorten(&bar.name, 36)),
            LEFT as f64 + good,
            LEFT as f64 + good + bad + 6.0,
            y + 14,
            figures(bar),
        );
    }
    out.push_str("</svg>");
    out
}

/// Standing bars over days.
pub(super) fn columns(title: &str, bars: &[Bar]) -> String {
    const WIDTH: usize = 760;
    const HEIGHT: usize = 190;
    const FOOT: usize = 26;
    let most = bars.iter().map(|bar| bar.good + bar.bad).max().unwrap_or(0).max(1);
    let step = (WIDTH - 60) as f64 / bars.len().max(1) as f64;
    let mut out = open(title, WIDTH, HEIGHT, bars);
    let _ = write!(
        out,
        "<text x=\"46\" y=\"14\" text-anchor=\"end\">{most}</text><text x=\"46\" y=\"{}\" text-anchor=\"end\">0</text>\
        <line x1=\"52\" y1=\"{}\" x2=\"{WIDTH}\" y2=\"{}\"/>",
        HEIGHT - FOOT,
        HEIGHT - FOOT,
        HEIGHT - FOOT
    );
    // As many names as fit without touching.
    let every = (90.0 / step).ceil().max(1.0) as usize;
    for (index, bar) in bars.iter().enumerate() {
        let room = (HEIGHT - FOOT - 6) as f64;
        let (good, bad) = (room * bar.good as f64 / most as f64, room * bar.bad as f64 / most as f64);
        let x = 54.0 + step * index as f64;
        let foot = (HEIGHT - FOOT) as f64;
        let width = (step * 0.8).min(60.0);
        let _ = write!(
            out,
            "<rect class=\"good\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{good:.1}\"><title>{}: {}</title></rect>\
             <rect class=\"bad\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{bad:.1}\"/>",
            foot - good,
            escape(&bar.name),
            figures(bar),
            foot - good - bad,
        );
        if index % every == 0 {
            let _ = write!(out, "<text x=\"{x:.1}\" y=\"{}\">{}</text>", HEIGHT - 8, escape(&bar.name));
        }
    }
    out.push_str("</svg>");
    out
}

fn open(title: &str, width: usize, height: usize, bars: &[Bar]) -> String {
    let words: Vec<String> =
        bars.iter().take(40).map(|bar| format!("{}: {}", bar.name, figures(bar))).collect();
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\"><title>{}</title><desc>{}</desc>",
        escape(title),
        escape(title),
        escape(&words.join("; ")),
    )
}

fn figures(bar: &Bar) -> String {
    if bar.bad == 0 { bar.good.to_string() } else { format!("{} / {} refused", bar.good + bar.bad, bar.bad) }
}

fn shorten(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(['…']).collect()
}

/// Text for the inside of elements and of quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_chart() {
        let evil = Bar { name: "\"><script>alert(1)</script>".to_owned(), good: 1, bad: 2 };
        for chart in [bars("t\"<", std::slice::from_ref(&evil)), columns("t", std::slice::from_ref(&evil))] {
            assert!(!chart.contains("<script"), "{chart}");
            assert_eq!(chart.matches("<svg").count(), chart.matches("</svg>").count());
        }
    }

    #[test]
    fn charts_of_nothing_and_of_much_stay_inside_their_box() {
        assert!(bars("none", &[]).ends_with("</svg>") && columns("none", &[]).ends_with("</svg>"));
        let many: Vec<Bar> =
            (0..400).map(|day| Bar { name: format!("d{day}"), good: u64::MAX / 1_000, bad: 1 }).collect();
        let chart = columns("many", &many);
        assert!(!chart.contains("NaN") && !chart.contains("inf"));
        assert!(chart.matches("<text").count() < 20, "names do not lie on one another");
    }
}
