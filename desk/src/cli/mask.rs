//! `graphwarden mask`: standard input to standard output, masked as the gateway would mask a response.
//!
//! Constant memory for a body of any size. A body that fails closed ends with exit code 1 after what may leave.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use graphwarden_policies::masking::{Masking, Media};

/// What can be told to `mask`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy: a file of its own, or Envoy or Istio YAML that holds one
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// What the input is
    #[arg(long = "type", value_enum, default_value = "json")]
    media: Type,
    /// How many bytes are read at once
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=16 << 20))]
    chunk: u32,
}

/// A kind of body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    /// One JSON text
    Json,
    /// Server-sent events
    Sse,
    /// One JSON text a line
    Ndjson,
    /// Text without structure
    Text,
}

impl Type {
    fn media(self) -> Media {
        match self {
            Self::Json => Media::Json,
            Self::Sse => Media::Sse,
            Self::Ndjson => Media::Ndjson,
            Self::Text => Media::Text,
        }
    }
}

/// Masks standard input.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let masking = super::masking::of_policy(&args.policy)?;
    mask(
        &masking,
        args.media.media(),
        args.chunk as usize,
        std::io::stdin().lock(),
        std::io::stdout().lock(),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn mask(
    masking: &Masking,
    media: Media,
    chunk: usize,
    mut input: impl Read,
    mut output: impl Write,
) -> anyhow::Result<()> {
    let mut masker = masking.plan(None).open(media);
    let mut buffer = vec![0; chunk];
    let mut masked = Vec::new();
    loop {
        let count = match input.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("cannot read the input"),
        };
        let result =
            if count == 0 { masker.finish(&mut masked) } else { masker.push(&buffer[..count], &mut masked) };
        output.write_all(&masked).context("cannot write the output")?;
        masked.clear();
        result?;
        if count == 0 {
            return output.flush().context("cannot write the output");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(section: &str, media: Media, chunk: usize, input: &str) -> (String, bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.yaml");
        std::fs::write(&path, section).expect("a file");
        let masking = super::super::masking::of_policy(&path).expect("a policy");
        let mut output = Vec::new();
        let done = mask(&masking, media, chunk, input.as_bytes(), &mut output).is_ok();
        (String::from_utf8(output).expect("UTF-8"), done)
    }

    #[test]
    fn masks_alike_in_chunks_of_any_size() {
        for chunk in [1, 7, 65_536] {
            let input = r#"{"mail": "zoe@example.com", "pin": 1234}"#;
            let output = masked("masking: { keys: [pin] }", Media::Json, chunk, input);
            assert_eq!(output, (r#"{"mail": "[EMAIL]", "pin": "[MASKED]"}"#.to_owned(), true));
        }
    }

    #[test]
    fn what_fails_closed_ends_there() {
        let sound = r#"{"a": 1, "#;
        for chunk in 1..30 {
            let input = format!("{sound}zoe@example.com");
            let (output, done) = masked("masking: { malformed: block }", Media::Json, chunk, &input);
            // A cut drops the chunk that it falls in, so that how much of the sound part left depends on it.
            assert!(sound.starts_with(&output) && !done, "in chunks of {chunk}: {output}");
        }
    }

    #[test]
    fn a_policy_with_a_wrong_section_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.yaml");
        std::fs::write(&path, "masking: { detectors: [emial] }").expect("a file");
        let error = super::super::masking::of_policy(&path).expect_err("a misspelt detector");
        assert!(format!("{error:#}").contains("masking.detectors[0]"), "{error:#}");
    }
}
