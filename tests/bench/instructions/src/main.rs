//! How many instructions each kernel of the policies executes, beside what it did when somebody last looked:
//! `make instructions`.
//!
//! Times depend on the machine and on what else it does; instructions hardly do, so they tell when a change made a
//! kernel dearer. valgrind counts them (cachegrind, which needs no rights and no counters of the processor), in a run of
//! this program by itself with a kernel's name and how often to run it: the difference between two such runs is the
//! kernel's, without the start of the process and the making of its input.
//!
//! The counts are of the host's build, for x86-64. The module that Envoy loads is compiled from the same sources; what
//! it costs there is measured by `make bench`.

mod kernels;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};

use kernels::Kernel;
use table::{Table, Verdict};

/// Counts, prints, and compares with the committed table.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    run: Option<Run>,
    /// The committed table
    #[arg(long, default_value = "tests/bench/instructions.tsv")]
    table: PathBuf,
    /// Writes the table anew in place of comparing with it
    #[arg(long)]
    update: bool,
    /// Where valgrind may leave its files
    #[arg(long, default_value = "target/instructions")]
    folder: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Run {
    /// Runs one kernel; started under valgrind by this program itself
    Kernel {
        name: String,
        /// How often
        times: u32,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Run::Kernel { name, times }) = &arguments.run {
        return Kernel::named(name)?.run(*times);
    }
    if !is_countable()? {
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("cannot create {}", arguments.folder.display()))?;
    let mut counted = Table::default();
    for kernel in Kernel::ALL {
        counted.insert(kernel.name, cost(kernel, &arguments.folder)?);
    }
    if arguments.update {
        counted.write(&arguments.table)?;
        print!("{}", counted.shown());
        println!("written to {}", arguments.table.display());
        return Ok(());
    }
    let known = Table::read(&arguments.table)?;
    let verdicts = counted.beside(&known);
    for verdict in &verdicts {
        println!("{verdict}");
    }
    let dearer = verdicts.iter().filter(|verdict| verdict.is_dearer()).map(Verdict::name).collect::<Vec<_>>();
    ensure!(
        dearer.is_empty(),
        "dearer than the committed table says: {}; if that has its reason, `make instructions UPDATE=1`",
        dearer.join(", ")
    );
    if verdicts.iter().any(Verdict::is_cheaper) {
        println!("cheaper than the committed table says; `make instructions UPDATE=1` keeps that");
    }
    Ok(())
}

/// Whether counts of this machine can be compared; a line that says why not. With CI set, valgrind has to be there.
fn is_countable() -> Result<bool> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("left out: the committed counts are of x86-64 and Linux");
        return Ok(false);
    }
    let there =
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        ensure!(
            std::env::var_os("CI").is_none(),
            "valgrind is not installed (apt-get install valgrind), and with CI set nothing is left out"
        );
        println!("left out: valgrind is not installed (apt-get install valgrind)");
    }
    Ok(there)
}

/// What one execution of the kernel takes.
fn cost(kernel: &Kernel, folder: &Path) -> Result<u64> {
    let few = count(kernel, kernel.times, folder)?;
    let many = count(kernel, kernel.times * 3, folder)?;
    let difference = many.checked_sub(few).with_context(|| format!("{}: less for more", kernel.name))?;
    Ok(difference / u64::from(kernel.times * 2))
}

/// Instructions of a whole process that runs the kernel so often.
fn count(kernel: &Kernel, times: u32, folder: &Path) -> Result<u64> {
    let file = folder.join(format!("{}.{times}.out", kernel.name.replace(' ', "-")));
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=cachegrind", "--cache-sim=no", "--quiet", "--trace-children=no"])
        .arg(format!("--cachegrind-out-file={}", file.display()))
        .arg(std::env::current_exe().context("own path")?)
        .args(["kernel", kernel.name, &times.to_string()])
        // What a library reads from here would be counted with it.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().context("valgrind does not start")?;
    if !output.status.success() {
        bail!("{}: {}\n{}", kernel.name, output.status, String::from_utf8_lossy(&output.stderr));
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let total =
        text.lines().find_map(|line| line.strip_prefix("summary:")).context("valgrind left no total")?;
    total.trim().parse().with_context(|| format!("not a total: {total}"))
}
