//! `graphwarden lint`: says what would bite in Envoy and Istio YAML, and mends what is safe to mend.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::lint::{Finding, RULES, Severity, Source, fix, json, lint, sarif, text};
use graphwarden_trial::yaml::LARGEST;

/// What can be told to `lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 no error, 1 errors (with --strict, warnings too), 2 a file cannot be read.
docs/lint.md lists every rule with its cause and cure.")]
pub struct Args {
    /// Envoy or Istio YAML; judged together. `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Mend what is safe to mend, in place
    #[arg(long)]
    fix: bool,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Leave a rule out; can be given several times
    #[arg(long, value_name = "RULE", value_parser = known)]
    allow: Vec<String>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: with the lines that are meant
    Text,
    /// For programs
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
}

fn known(id: &str) -> Result<String, String> {
    if RULES.iter().any(|rule| rule.id == id) {
        return Ok(id.to_owned());
    }
    let names: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    Err(format!("no such rule; there are {}", names.join(", ")))
}

/// Prints findings to standard output, and a sum to stderr.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match attempt(&args) {
        Ok(code) => Ok(code),
        Err(error) => {
            anstream::eprintln!("graphwarden: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

fn attempt(args: &Args) -> anyhow::Result<ExitCode> {
    let mut sources = args.files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let named = |unreadable: crate::lint::Unreadable| {
        let name = sources.get(unreadable.file).map(|source| source.name.clone()).unwrap_or_default();
        anyhow::Error::new(unreadable.error).context(name)
    };
    let mut mended = 0;
    let findings = if args.fix {
        ensure!(
            args.files.iter().all(|path| path.as_os_str() != "-"),
            "standard input cannot be mended in place"
        );
        let fixed = fix(&sources).map_err(named)?;
        for ((path, old), new) in args.files.iter().zip(&sources).zip(&fixed.sources) {
            if old.text != new.text {
                replace(path, &new.text).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        sources = fixed.sources;
        mended = fixed.mended;
        fixed.left
    } else {
        lint(&sources).map_err(named)?
    };
    let findings: Vec<Finding> =
        findings.into_iter().filter(|finding| args.allow.iter().all(|id| id != finding.rule.id)).collect();
    match args.format {
        Format::Text => {
            let mut out = anstream::stdout().lock();
            for finding in &findings {
                writeln!(out, "{}", text(finding, &sources, true))?;
            }
        }
        Format::Json => println!("{:#}", json(&findings, &sources)),
        Format::Sarif => println!("{:#}", sarif(&findings, &sources)),
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    if args.format == Format::Text {
        sum(&findings, (errors, warnings, mended), args.fix);
    }
    let failed = errors > 0 || (args.strict && warnings > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn sum(findings: &[Finding], (errors, warnings, mended): (usize, usize, usize), fix: bool) {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let mut words = vec![match (errors, warnings) {
        (0, 0) => "nothing to mend".to_owned(),
        (0, _) => count(warnings, "warning"),
        (_, 0) => count(errors, "error"),
        _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }];
    if mended > 0 {
        words.push(format!("{mended} mended"));
    }
    let safe = findings.iter().filter(|finding| !finding.edits.is_empty()).count();
    if safe > 0 && !fix {
        words.push(format!("--fix mends {safe}"));
    }
    anstream::eprintln!("{}", words.join("; "));
}

fn read(path: &Path) -> anyhow::Result<Source> {
    let name = path.display().to_string();
    let mut text = String::new();
    // One byte more than is taken, so that what is too large is seen to be.
    let most = LARGEST as u64 + 1;
    let context = || format!("cannot read {name}");
    if path.as_os_str() == "-" {
        std::io::stdin().take(most).read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(Source { name: "<stdin>".to_owned(), text });
    }
    std::fs::File::open(path)
        .with_context(context)?
        .take(most)
        .read_to_string(&mut text)
        .with_context(context)?;
    Ok(Source { name, text })
}

/// Writes a file anew in one step, with the permissions that it had.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let folder = path.parent().context("no folder")?;
    let mut next = tempfile::NamedTempFile::new_in(folder)?;
    next.write_all(text.as_bytes())?;
    next.as_file().set_permissions(std::fs::metadata(&path)?.permissions())?;
    next.as_file().sync_all()?;
    next.persist(&path)?;
    Ok(())
}
