//! `graphwarden check`: says what is wrong with policies, and where.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use graphwarden_policies::policy::Problems;
use graphwarden_trial::Found;

/// What can be told to `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Policies: files of their own, or Envoy or Istio YAML that holds some
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

/// Prints `file:line:column: problem` for each problem. Exit code 1 if any policy is wrong or a file holds none.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut sound = true;
    for path in &args.files {
        let policies = match graphwarden_trial::read(path) {
            Ok(policies) => policies,
            Err(error) => {
                eprintln!("error: {error:#}");
                sound = false;
                continue;
            }
        };
        if policies.is_empty() {
            eprintln!("{}: error: no policy in this file", path.display());
            sound = false;
        }
        for found in &policies {
            match found.compile() {
                Err(problems) => {
                    report(path, found, &problems);
                    sound = false;
                }
                Ok(policy) => {
                    let shadows = policy.rules.shadows();
                    for shadow in &shadows {
                        let (line, column) = found.place_of(&format!("access.rules[{}].name", shadow.place));
                        eprintln!(
                            "{}:{line}:{column}: warning: rule `{}` decides, whatever the request, about some of what \
                             rule `{}` is about",
                            path.display(),
                            shadow.earlier,
                            shadow.later
                        );
                    }
                    sound &= !args.strict || shadows.is_empty();
                    println!("{}: sound, digest {}", path.display(), policy.digest());
                }
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints problems, each with its place.
pub(super) fn report(path: &Path, found: &Found, problems: &Problems) {
    for problem in problems.iter() {
        let (line, column) = found.place(problem);
        eprintln!("{}:{line}:{column}: error: {problem}", path.display());
    }
}
