//! Examples of every command, as `--help`, the man pages and a test show them.

use clap::Command;

/// Commands by their path, each with calls of it. In the tests each call is parsed.
pub(super) const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "init",
        &[
            "graphwarden init",
            "graphwarden init gate --issuer https://idp.example.com --langgraph http://langgraph:8000",
            "graphwarden init gate --local --issuer https://idp.example.com --langgraph http://localhost:2024 --preset iso27001",
        ],
    ),
    (
        "serve",
        &[
            "graphwarden serve --issuer https://idp.example.com",
            "graphwarden serve --config desk.yaml --log-format json",
            "graphwarden serve --database postgres://desk@db/desk --listen 0.0.0.0:8400 --public-url https://desk.example.com",
        ],
    ),
    (
        "export",
        &[
            "graphwarden export --from 2026-11-01 --to 2026-12-01 --out november.zip",
            "graphwarden export --actor ana@example.com --decision deny",
            "graphwarden export --format ocsf --out events.jsonl",
        ],
    ),
    (
        "verify",
        &[
            "graphwarden verify november.zip --key log.pub",
            "graphwarden verify november.zip --key log.pub --since october.checkpoint",
        ],
    ),
    (
        "mask",
        &[
            "graphwarden mask --policy policy.yaml < answer.json",
            "graphwarden mask --policy envoy.yaml < stream.txt",
        ],
    ),
    ("detect", &["graphwarden detect --policy policy.yaml < lines.txt"]),
    ("conform", &["graphwarden conform https://approvals.example.com/v1/approvals"]),
    ("key", &["graphwarden key"]),
    (
        "token",
        &[
            "graphwarden token --policy policy.yaml --jwks keys.json < token.txt",
            "graphwarden token --policy policy.yaml --signature-only < token.txt",
        ],
    ),
    ("check", &["graphwarden check policy.yaml", "graphwarden check --strict envoy.yaml wasmplugin.yaml"]),
    (
        "lint",
        &[
            "graphwarden lint envoy.yaml",
            "graphwarden lint --fix envoy.yaml",
            "graphwarden lint wasmplugin.yaml envoyfilter.yaml",
            "graphwarden lint --format sarif envoy.yaml > lint.sarif",
        ],
    ),
    ("explain", &["graphwarden explain --policy policy.yaml request.http"]),
    ("test", &["graphwarden test expectations.yaml"]),
    (
        "completions",
        &[
            "graphwarden completions bash > /etc/bash_completion.d/graphwarden",
            "graphwarden completions zsh > ~/.zfunc/_graphwarden",
            "graphwarden completions fish > ~/.config/fish/completions/graphwarden.fish",
        ],
    ),
    ("man", &["graphwarden man --out /usr/local/share/man/man1"]),
    (
        "approvals login",
        &["graphwarden approvals --desk https://desk.example.com login --issuer https://idp.example.com"],
    ),
    ("approvals logout", &["graphwarden approvals logout"]),
    (
        "approvals list",
        &["graphwarden approvals list", "graphwarden approvals --desk https://desk.example.com list"],
    ),
    ("approvals show", &["graphwarden approvals show 0193f2c4"]),
    ("approvals approve", &["graphwarden approvals approve 0193f2c4 --comment 'agreed with the customer'"]),
    ("approvals deny", &["graphwarden approvals deny 0193f2c4 --comment 'not on a Friday'"]),
    ("approvals watch", &["graphwarden approvals watch"]),
    ("approvals notifications", &["graphwarden approvals notifications"]),
    ("holds place", &["graphwarden holds place --reason 'case 4711' --actor ana@example.com"]),
    ("holds release", &["graphwarden holds release 1"]),
    ("holds list", &["graphwarden holds list"]),
];

/// Adds to each command of a tree the examples that there are of it, before what its help ends with.
pub(super) fn with_examples(command: Command) -> Command {
    add(command, "")
}

fn add(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let command = names.iter().fold(command, |command, name| {
        let inner = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |found| add(found, &inner))
    });
    let Some((_, calls)) = EXAMPLES.iter().find(|(known, _)| *known == path) else { return command };
    let mut text = String::from("Examples:");
    for call in *calls {
        text.push_str("\n  ");
        text.push_str(call);
    }
    if let Some(rest) = command.get_after_help() {
        text.push_str(&format!("\n\n{rest}"));
    }
    command.after_help(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// The words of a call as a shell passes them on, without redirections.
    fn words(call: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for character in call.chars() {
            match character {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                _ => words.last_mut().unwrap().push(character),
            }
        }
        words.into_iter().take_while(|word| word != "<" && word != ">").collect()
    }

    fn leaves(command: &Command, path: &str, found: &mut Vec<String>) {
        let mut inner = command.get_subcommands().filter(|inner| inner.get_name() != "help").peekable();
        if inner.peek().is_none() {
            found.push(path.to_owned());
        }
        for inner in inner {
            leaves(inner, format!("{path} {}", inner.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_has_examples_and_every_example_is_a_command() {
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        for path in &all {
            assert!(EXAMPLES.iter().any(|(known, _)| known == path), "no example of {path}");
        }
        for (path, calls) in EXAMPLES {
            assert!(all.iter().any(|known| known == path), "{path} is no command");
            for call in *calls {
                let words = words(call);
                let without_options: Vec<&str> = path.split(' ').collect();
                assert!(without_options.iter().all(|word| words.iter().any(|other| other == word)), "{call}");
                if let Err(error) = Cli::command().try_get_matches_from(&words) {
                    panic!("{call}: {error}");
                }
            }
        }
    }
}
