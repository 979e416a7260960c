//! The program on a terminal and in a pipe: completions, man pages, examples, bars, colours.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const PROGRAM: &str = env!("CARGO_BIN_EXE_graphwarden");

fn graphwarden(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// What a terminal shows of a call.
fn shown(folder: &Path, arguments: &[&str], no_color: bool) -> String {
    let pair = native_pty_system().openpty(PtySize { rows: 40, cols: 120, ..PtySize::default() }).unwrap();
    let mut command = CommandBuilder::new(PROGRAM);
    command.args(arguments);
    command.cwd(folder);
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let reading = std::thread::spawn(move || {
        // The end of a pseudo-terminal is an error on some systems; what came before is what counts.
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    child.wait().unwrap();
    drop(pair.master);
    reading.join().unwrap()
}

#[test]
fn completions_are_scripts_that_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = graphwarden(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for name in ["serve", "lint", "approvals", "issuer"] {
            assert!(script.contains(name), "{shell} does not know {name}");
        }
    }
    let script = graphwarden(&["completions", "bash"]).stdout;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graphwarden.bash");
    std::fs::write(&path, script).unwrap();
    // What bash itself makes of it: `graphwarden li` is completed to `lint`.
    let words = "source \"$1\"; COMP_WORDS=(graphwarden li); COMP_CWORD=1; _graphwarden graphwarden li graphwarden; echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", words, "bash"]).arg(&path).output().unwrap();
    let reply = String::from_utf8_lossy(&output.stdout);
    assert_eq!(reply.trim(), "lint", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(graphwarden(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn man_pages_are_written_for_every_command_with_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    assert!(graphwarden(&["man", "--out", out.to_str().unwrap()]).status.success());
    for name in ["graphwarden", "graphwarden-lint", "graphwarden-approvals", "graphwarden-approvals-approve"]
    {
        let page = std::fs::read_to_string(out.join(format!("{name}.1"))).expect(name);
        assert!(page.contains(".TH ") && page.contains(".SH SYNOPSIS"), "{name}");
        assert!(name == "graphwarden" || name.ends_with("approvals") || page.contains("Examples:"), "{name}");
        let synopsis = name.replace('-', "\\-");
        assert!(page.contains(name) || page.contains(&synopsis), "{name}: {page}");
    }
}

#[test]
fn help_ends_with_examples() {
    for command in [&["lint"][..], &["serve"], &["holds", "place"]] {
        let output = graphwarden(&[command, &["--help"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Examples:\n  graphwarden "), "{text}");
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.yaml"), "static_resources: {}\n").unwrap();
    let arguments = ["lint", "x.yaml"];
    assert!(shown(folder.path(), &arguments, false).contains("\u{1b}[1m"));
    let plain = shown(folder.path(), &arguments, true);
    assert!(plain.contains("no-gate") && !plain.contains('\u{1b}'), "{plain:?}");
    let piped = Command::new(PROGRAM).args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(!piped.stdout.contains(&0x1b) && !piped.stderr.contains(&0x1b));
}

#[test]
fn bars_are_for_terminals() {
    let folder = tempfile::tempdir().unwrap();
    // The desk makes its database, with lines of its own in the ledger, before it finds that it cannot listen.
    let started = Command::new(PROGRAM)
        .args(["serve", "--database", "desk.db", "--listen", "192.0.2.1:1"])
        .env("GRAPHWARDEN_TOKEN", "a-token-of-sixteen-or-more")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(folder.path().join("desk.db").exists(), "{}", String::from_utf8_lossy(&started.stderr));
    let arguments = ["export", "--database", "desk.db", "--out", "all.zip"];
    let terminal = shown(folder.path(), &arguments, false);
    assert!(terminal.contains("writing the package") && terminal.contains("log key: "), "{terminal:?}");
    let piped = Command::new(PROGRAM).args(arguments).current_dir(folder.path()).output().unwrap();
    let words = String::from_utf8(piped.stderr).unwrap();
    assert!(
        piped.status.success() && !words.contains("writing the package") && !words.contains('\u{1b}'),
        "{words}"
    );

    let key = words.lines().find_map(|line| line.strip_prefix("log key: ")).unwrap();
    let arguments = ["verify", "all.zip", "--key", key];
    let terminal = shown(folder.path(), &arguments, false);
    assert!(terminal.contains("reading") && terminal.contains("Proven"), "{terminal:?}");
    let piped = Command::new(PROGRAM).args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{}", String::from_utf8_lossy(&piped.stderr));
}
