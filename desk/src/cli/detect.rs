//! `graphwarden detect`: what the policy's detectors find in lines of text, for evaluations.
//!
//! ```text
//! {"id": 7, "text": "mail zoe@example.com"}
//! {"id":7,"findings":[{"detector":"email","start":5,"end":20}]}
//! ```
//!
//! Offsets are bytes of the UTF-8 text.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use graphwarden_policies::masking::{Masking, find};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What can be told to `detect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy: a file of its own, or Envoy or Istio YAML that holds one
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    id: Box<RawValue>,
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a RawValue,
    findings: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    detector: &'a str,
    start: usize,
    end: usize,
}

/// Answers each line of standard input with one line.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let masking = super::masking::of_policy(&args.policy)?;
    let output = std::io::BufWriter::new(std::io::stdout().lock());
    detect(&masking, std::io::stdin().lock(), output)?;
    Ok(ExitCode::SUCCESS)
}

fn detect(masking: &Masking, input: impl BufRead, mut output: impl Write) -> anyhow::Result<()> {
    for (index, line) in input.lines().enumerate() {
        let line = line.context("cannot read the input")?;
        if line.trim().is_empty() {
            continue;
        }
        // The cause would quote the line.
        let Ok(Line { id, text }) = serde_json::from_str(&line) else {
            anyhow::bail!("line {} is not of the form {{\"id\": …, \"text\": \"…\"}}", index + 1);
        };
        let findings = find(masking.detectors(), text.as_bytes())
            .into_iter()
            .map(|found| Found { detector: found.detector, start: found.start, end: found.end })
            .collect();
        serde_json::to_writer(&mut output, &Answer { id: &id, findings })
            .context("cannot write the output")?;
        output.write_all(b"\n").context("cannot write the output")?;
    }
    output.flush().context("cannot write the output")
}

#[cfg(test)]
mod tests {
    use graphwarden_policies::masking::Config;
    use graphwarden_policies::policy::{At, Problems};

    use super::*;

    fn answered(input: &str) -> anyhow::Result<String> {
        let masking = Masking::compile(&Config::default(), &At::root(), &|_| None, &mut Problems::new())
            .expect("defaults");
        let mut output = Vec::new();
        detect(&masking, input.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output)?)
    }

    #[test]
    fn answers_each_line_with_byte_offsets_and_its_id_as_written() {
        assert_eq!(
            answered(
                "{\"id\": 1.0, \"text\": \"Zo\u{eb} zoe@example.com\"}\n\n{\"text\":\"none\",\"id\":\"b\"}\n"
            )
            .expect("answers"),
            "{\"id\":1.0,\"findings\":[{\"detector\":\"email\",\"start\":5,\"end\":20}]}\n{\"id\":\"b\",\"findings\":[]}\n"
        );
    }

    #[test]
    fn a_line_of_another_form_is_named_and_not_quoted() {
        let error =
            answered("{\"id\":1,\"text\":\"x\"}\n{\"text\":\"zoe@example.com\"}\n").expect_err("no id");
        let shown = format!("{error:#}");
        assert!(shown.contains("line 2") && !shown.contains("zoe"), "{shown}");
    }
}
