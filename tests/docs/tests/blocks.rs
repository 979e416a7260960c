//! Every fenced block of the documents is what it says: policies compile, Envoy takes its configuration, the desk its
//! settings, commands run or are such as the program and the Makefile know.
//!
//! | block | how it is checked |
//! |---|---|
//! | `yaml,policy` | compiles as a whole policy |
//! | `yaml,policy-part` | compiles over the sections that it leaves out |
//! | `yaml,expectations` | a table; the page's commands run it |
//! | `yaml,desk` | the desk takes it as its configuration |
//! | `yaml,envoy` | `envoy --mode validate` takes it |
//! | `yaml,envoy=POINTER` | the same, in this place of `envoy/envoy.yaml` |
//! | `yaml,kubernetes` | each document has kind, apiVersion and name; those shipped are tested with their CRDs |
//! | `yaml,shape`, `json,shape` | can be read |
//! | `http,request` | the gate can read it |
//! | `console,run` | lines after `$` run in a folder with the page's `file=` blocks; the lines below are in what they print |
//! | `console,flags` | `graphwarden …` and `make …` are such as the program and the Makefile know; of other programs only known ones |
//! | `text` | nothing to check |

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::CommandFactory as _;
use graphwarden_docs::blocks::{Block, blocks};
use graphwarden_docs::pages;
use graphwarden_policies::policy::Policy;
use graphwarden_stand::{Envoy, Site, Tools, run, shipped_config};
use serde_json::{Map, Value, json};

/// What stands in for the sections that an excerpt leaves out.
const BASE: &str = r#"
identity:
  issuers:
    - { issuer: https://idp.example.com, audiences: [langgraph], algorithms: [RS256], keys: { cluster: idp, discover: true } }
access: { rules: [{ name: everybody reads, operations: ["class:read"], then: allow }] }
approvals: { cluster: desk, token: { env: GRAPHWARDEN_TOKEN } }
evidence: { cluster: desk, token: { env: GRAPHWARDEN_TOKEN } }
digest_key: { env: GRAPHWARDEN_DIGEST_KEY }
"#;
/// Programs of others that documents may name.
const OTHERS: [&str; 19] = [
    "skopeo",
    "podman",
    "curl",
    "envoy",
    "kubectl",
    "helm",
    "git",
    "cd",
    "cp",
    "export",
    "openssl",
    "sqlite3",
    "pg_dump",
    "psql",
    "sha256sum",
    "crane",
    "systemctl",
    "cargo",
    "istioctl",
];

fn all() -> Vec<(String, Vec<Block>)> {
    let pages = pages::all().unwrap();
    pages.iter().map(|(path, text)| (pages::name(path), blocks(text))).collect()
}

/// Runs a check over every block that it is for, and names all that fail.
fn each(wanted: impl Fn(&Block) -> bool, check: impl Fn(&Block) -> Result<()>) -> usize {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (page, blocks) in all() {
        for block in blocks.iter().filter(|block| wanted(block)) {
            count += 1;
            if let Err(error) = check(block) {
                wrong.push(format!("{page}:{}: {error:#}", block.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    count
}

#[test]
fn every_block_says_how_it_is_checked() {
    each(
        |_| true,
        |block| {
            let known: &[&str] = match block.language.as_str() {
                "yaml" => &["policy", "policy-part", "expectations", "desk", "envoy", "kubernetes", "shape"],
                "json" => &["shape"],
                "http" => &["request"],
                "console" => &["run", "flags"],
                "text" => return Ok(()),
                "" => bail!("a block without a language"),
                other => bail!("nothing checks `{other}`"),
            };
            let checks = known.iter().any(|tag| block.is(tag) || block.value(tag).is_some());
            ensure!(checks, "say how it is checked: one of {}", known.join(", "));
            Ok(())
        },
    );
}

fn environment(name: &str) -> Option<String> {
    Some(match name {
        "GRAPHWARDEN_LOG_KEY" => graphwarden::log::LogKey::new_private(),
        name if name.ends_with("_URL") => "https://hooks.example.com/services/T0/B0/x".to_owned(),
        name if name.ends_with("_SECRET") => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        name => format!("synthetic secret of the documents' tests: {name}"),
    })
}

fn yaml(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).context("no YAML")
}

fn compiles(document: &Value) -> Result<()> {
    Policy::parse(document.to_string().as_bytes(), &environment)
        .map(|_| ())
        .map_err(|problems| anyhow::anyhow!("{problems}"))
}

#[test]
fn policies_compile() {
    let whole = each(|block| block.is("policy"), |block| compiles(&yaml(&block.text)?));
    let parts = each(
        |block| block.is("policy-part"),
        |block| {
            let mut document: Map<String, Value> = serde_saphyr::from_str(BASE)?;
            let part: Map<String, Value> = serde_saphyr::from_str(&block.text)?;
            document.extend(part);
            compiles(&Value::Object(document))
        },
    );
    assert!(whole > 1 && parts > 5, "{whole} policies, {parts} excerpts");
}

#[test]
fn the_desk_takes_its_settings() {
    let count = each(
        |block| block.is("desk"),
        |block| {
            let file = tempfile::NamedTempFile::new()?;
            std::fs::write(file.path(), &block.text)?;
            let raw = graphwarden::settings::Raw::read(file.path())?;
            graphwarden::settings::Settings::resolve(raw, &environment).map(|_| ())
        },
    );
    assert!(count > 2, "{count} blocks");
}

#[test]
fn what_has_a_shape_can_be_read() {
    each(
        |block| block.language == "yaml",
        |block| {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&block.text)?;
            for document in documents.iter().filter(|_| block.is("kubernetes")) {
                let said = |pointer: &str| document.pointer(pointer).is_some_and(Value::is_string);
                ensure!(
                    said("/kind") && said("/apiVersion") && said("/metadata/name"),
                    "no object of Kubernetes"
                );
            }
            Ok(())
        },
    );
    each(
        |block| block.language == "json",
        |block| serde_json::from_str::<Value>(&block.text).map(|_| ()).map_err(Into::into),
    );
    each(
        |block| block.is("request"),
        |block| graphwarden_trial::Raw::parse(block.text.as_bytes()).map(|_| ()),
    );
}

#[test]
fn envoy_takes_its_configuration() {
    run("docs-envoy", async |site: &Site| {
        let mut count = 0;
        for (page, blocks) in all() {
            for block in &blocks {
                let place = block.value("envoy").map(str::to_owned);
                if place.is_none() && !block.is("envoy") {
                    continue;
                }
                let text = yaml(&block.text)?;
                let mut config = match &place {
                    None => text,
                    Some(place) => {
                        let mut config = shipped_config()?;
                        let there = config.pointer_mut(place);
                        *there.with_context(|| format!("{page}: no {place} in envoy.yaml"))? = text;
                        config
                    }
                };
                let modules = with_module(&mut config, &json!(site.tools().module()?));
                ensure!(modules > 0, "{page}:{}: no module of ours", block.line);
                let said = Envoy::validate_config(site, &config).await;
                said.with_context(|| format!("{page}:{}", block.line))?;
                count += 1;
            }
        }
        ensure!(count > 0, "no block was tried");
        Ok(())
    });
}

/// Puts the module's path on this machine where the documents write another; says how often.
fn with_module(at: &mut Value, module: &Value) -> usize {
    match at {
        Value::Object(members) => {
            let mut count = 0;
            for (name, member) in members {
                if name == "filename"
                    && member.as_str().is_some_and(|path| path.ends_with("graphwarden.wasm"))
                {
                    *member = module.clone();
                    count += 1;
                } else {
                    count += with_module(member, module);
                }
            }
            count
        }
        Value::Array(items) => items.iter_mut().map(|item| with_module(item, module)).sum(),
        _ => 0,
    }
}

/// The commands of a block, each with the lines that it should print. A backslash at the end joins lines.
fn commands(block: &Block) -> Result<Vec<(String, Vec<String>)>> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut joined = false;
    for line in block.text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command.to_owned(), Vec::new())),
            (None, Some((command, _))) if joined => {
                command.push('\n');
                command.push_str(line);
            }
            (None, Some((_, output))) => output.push(line.to_owned()),
            (None, None) => bail!("a console begins with `$ COMMAND`"),
        }
        joined = line.ends_with('\\');
    }
    Ok(found)
}

#[test]
fn commands_run_and_print_what_is_shown() {
    let program = Tools::find().program().unwrap();
    let folder_of_program = program.parent().unwrap();
    let path = format!("{}:{}", folder_of_program.display(), std::env::var("PATH").unwrap_or_default());
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (page, blocks) in all() {
        let folder = tempfile::tempdir().unwrap();
        for block in &blocks {
            if let Some(name) = block.value("file") {
                std::fs::write(folder.path().join(name), &block.text).unwrap();
            }
            if !block.is("run") {
                continue;
            }
            for (command, shown) in
                commands(block).unwrap_or_else(|error| panic!("{page}:{}: {error}", block.line))
            {
                count += 1;
                if let Err(error) = runs(&command, &shown, folder.path(), &path) {
                    wrong.push(format!("{page}:{}: `{command}`: {error:#}", block.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 5, "{count} commands");
}

/// Runs a command. What is shown has to be in what it prints, line by line in order; `…` stands for anything.
fn runs(command: &str, shown: &[String], folder: &Path, path: &str) -> Result<()> {
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .env("GRAPHWARDEN_TOKEN", "a token of at least sixteen characters")
        .output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    ensure!(ran.status.success(), "{}\n{said}", ran.status);
    let mut lines = said.lines();
    for wanted in shown.iter().filter(|line| line.trim() != "…") {
        let parts: Vec<&str> = wanted.trim_end().split('…').collect();
        let fits = |line: &str| {
            let mut rest = line;
            parts.iter().all(|part| match rest.find(part) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            })
        };
        ensure!(lines.any(fits), "does not print `{wanted}`:\n{said}");
    }
    Ok(())
}

#[test]
fn commands_are_such_as_the_program_and_the_makefile_know() {
    let makefile = std::fs::read_to_string(pages::root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', '.', ' ']))
        .filter_map(|line| {
            line.split_once(':').filter(|(_, rest)| !rest.starts_with('=')).map(|(name, _)| name.trim())
        })
        .collect();
    let count = each(
        |block| block.is("flags"),
        |block| {
            for (command, _) in commands(block)? {
                knows(&command, &targets).with_context(|| format!("`{command}`"))?;
            }
            Ok(())
        },
    );
    assert!(count > 3, "{count} blocks");
}

fn knows(command: &str, targets: &BTreeSet<&str>) -> Result<()> {
    let command = command.replace("\\\n", " ");
    // Variables before a command, what follows a pipe or a redirection, and comments are the shell's.
    let command = command.split(" # ").next().unwrap_or_default();
    for part in command.split(['|', ';', '&']).filter(|part| !part.trim().is_empty()) {
        let words: Vec<String> = words(part.split(['>', '<']).next().unwrap_or_default());
        let assigns = |word: &String| {
            word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|sign| sign.is_ascii_uppercase() || sign == '_')
            })
        };
        let words: Vec<String> = words.into_iter().skip_while(assigns).collect();
        let Some(first) = words.first() else { continue };
        // What is named of this repository is there.
        for word in words.iter().filter(|word| word.contains('/') && !word.contains(['*', ':', '$'])) {
            let top = word.split('/').next().unwrap_or_default();
            let ours = ["envoy", "charts", "docs", "policies", "scripts", "demo"].contains(&top);
            ensure!(!ours || pages::root().join(word).exists(), "there is no {word}");
        }
        match first.as_str() {
            "graphwarden" => {
                let parsed = graphwarden::cli::Cli::command().try_get_matches_from(&words);
                if let Err(error) = parsed
                    && error.use_stderr()
                {
                    bail!("{error}");
                }
            }
            "make" => {
                for target in words.iter().skip(1).filter(|word| !word.contains('=')) {
                    ensure!(targets.contains(target.as_str()), "the Makefile has no target `{target}`");
                }
            }
            other if OTHERS.contains(&other) => {}
            other if pages::root().join(other).is_file() => {}
            other => bail!("nothing knows `{other}`"),
        }
    }
    Ok(())
}

/// Words as a shell takes them, quotes removed.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for sign in text.chars() {
        match (sign, quote) {
            ('\'' | '"', None) => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            (sign, Some(open)) if sign == open => quote = None,
            (sign, None) if sign.is_whitespace() => words.extend(word.take()),
            (sign, _) => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    words
}
