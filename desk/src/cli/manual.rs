//! `graphwarden completions` and `graphwarden man`: what a shell and `man` know about the program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use super::examples::with_examples;

/// What can be told to `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// What can be told to `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder that gets a page for each command; it is made where it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints the script that a shell reads.
pub(super) fn completions(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "graphwarden", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `graphwarden.1`, `graphwarden-serve.1` and so on.
pub(super) fn man(args: ManArgs) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let mut command = with_examples(Cli::command()).disable_help_subcommand(true);
    command.build();
    let count = pages(&command, &args.out)?;
    eprintln!("{count} pages in {}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// The pages of a command and of all inside. Building it has given each its whole name.
fn pages(command: &clap::Command, folder: &Path) -> anyhow::Result<usize> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let mut count = 1;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        count += pages(inner, folder)?;
    }
    Ok(count)
}
