//! Rows of CSV by RFC 4180, safe to open in a spreadsheet.

use std::io::Write;

use csv::{Terminator, Writer, WriterBuilder};

/// A writer whose rows end in CR LF.
pub(super) fn writer<W: Write>(out: W) -> Writer<W> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out)
}

/// Writes a row. A cell that a spreadsheet would take for a formula gets an apostrophe in front.
pub(super) fn row<W: Write>(out: &mut Writer<W>, cells: &[&str]) -> anyhow::Result<()> {
    for cell in cells {
        if is_formula(cell) {
            out.write_field(format!("'{cell}"))?;
        } else {
            out.write_field(cell)?;
        }
    }
    out.write_record(None::<&[u8]>)?;
    Ok(())
}

/// Whether a spreadsheet could take it for a formula: some look past blanks, some take full-width signs too.
fn is_formula(text: &str) -> bool {
    text.starts_with(['\t', '\r', '\n'])
        || text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '|'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[&str]) -> String {
        let mut bytes = Vec::new();
        let mut out = writer(&mut bytes);
        row(&mut out, cells).unwrap();
        out.flush().unwrap();
        drop(out);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn cells_are_quoted_by_rfc_4180() {
        assert_eq!(
            written(&["a,b", "say \"hi\"", "two\nlines", "plain", ""]),
            "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",plain,\r\n"
        );
    }

    #[test]
    fn cells_are_never_formulas() {
        for text in ["=1+1", "@SUM(A1)", "-2", "+3", " =1", "\t=1", "＝1", "|calc"] {
            let cell = written(&[text]);
            assert!(cell.trim_start_matches('"').starts_with('\''), "{cell}");
        }
        assert_eq!(written(&["1-2", "a=b", "x@y"]), "1-2,a=b,x@y\r\n");
    }
}
