//! `graphwarden init`: what it writes holds, it asks only people, and it takes nothing away.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use graphwarden::init::PRESETS;
use graphwarden_stand::Issuer;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const PROGRAM: &str = env!("CARGO_BIN_EXE_graphwarden");

fn graphwarden(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .current_dir(folder)
        .env_remove("LANGGRAPH_API_KEY")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const FLAGS: &[&str] =
    &["--offline", "--issuer", "https://idp.example.com", "--langgraph", "http://localhost:2024"];

#[test]
fn every_preset_makes_files_that_check_and_lint_find_nothing_in() {
    let folder = tempfile::tempdir().unwrap();
    for preset in PRESETS {
        for local in [&["--local"][..], &[]] {
            let name = format!("{}{}", preset.name, local.len());
            let mut arguments = vec!["init", &name, "--preset", preset.name];
            arguments.extend(FLAGS);
            arguments.extend(local);
            let output = graphwarden(folder.path(), &arguments);
            assert!(output.status.success(), "{}", said(&output));
            let (envoy, filter) = (format!("{name}/envoy.yaml"), format!("{name}/gate/filter.yaml"));
            let check = graphwarden(folder.path(), &["check", "--strict", &filter]);
            assert!(check.status.success(), "{name}: {}", said(&check));
            let lint = graphwarden(folder.path(), &["lint", "--strict", &envoy, &filter]);
            assert!(lint.status.success(), "{name}: {}", said(&lint));
            assert_eq!(folder.path().join(&name).join("compose.yaml").exists(), local.is_empty());
            let secrets = folder.path().join(&name).join(".env");
            assert_eq!(std::fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[test]
fn nothing_that_is_there_is_written_over_and_secrets_never_are() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&["init", "gate"], FLAGS].concat();
    assert!(graphwarden(folder.path(), &arguments).status.success());
    let secrets = std::fs::read_to_string(folder.path().join("gate/.env")).unwrap();
    assert_eq!(secrets.lines().filter(|line| line.starts_with("GRAPHWARDEN_")).count(), 2);
    std::fs::write(folder.path().join("gate/envoy.yaml"), "mine").unwrap();

    let again = graphwarden(folder.path(), &arguments);
    assert!(!again.status.success());
    assert!(said(&again).contains("--force"), "{}", said(&again));
    assert_eq!(std::fs::read_to_string(folder.path().join("gate/envoy.yaml")).unwrap(), "mine");

    let forced = graphwarden(folder.path(), &[&arguments[..], &["--force"]].concat());
    assert!(forced.status.success(), "{}", said(&forced));
    assert_ne!(std::fs::read_to_string(folder.path().join("gate/envoy.yaml")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(folder.path().join("gate/.env")).unwrap(), secrets);
    assert!(!said(&forced).contains(secrets.lines().nth(1).unwrap()), "secrets are not shown");
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let output = graphwarden(folder.path(), &["init"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--issuer URL and --langgraph URL"), "{}", said(&output));
    for (flag, value) in
        [("--issuer", "idp"), ("--langgraph", "ftp://x"), ("--preset", "none"), ("--listen", "x")]
    {
        let output = graphwarden(folder.path(), &["init", flag, value, "--langgraph", "http://a"]);
        assert!(!output.status.success(), "{flag}");
    }
    assert!(!folder.path().join("graphwarden").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_can_be_asked_is_asked_and_errors_say_what_to_do() {
    let issuer = Issuer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let init = |name: &str, issuer: &str| {
        graphwarden(
            folder.path(),
            &["init", name, "--issuer", issuer, "--langgraph", "http://localhost:2024"],
        )
    };
    let found = init("a", issuer.url());
    assert!(found.status.success(), "{}", said(&found));
    assert!(said(&found).contains("found, signs with"), "{}", said(&found));

    let other = init("b", &format!("{}/", issuer.url().trim_end_matches('/')));
    assert!(!other.status.success());
    assert!(said(&other).contains("calls itself"), "{}", said(&other));

    let nothing = init("c", &format!("{}/nothing", issuer.url()));
    assert!(!nothing.status.success());
    assert!(
        said(&nothing).contains("discovery document") && said(&nothing).contains("Keycloak"),
        "{}",
        said(&nothing)
    );

    let away = init("d", "http://127.0.0.1:9");
    assert!(away.status.success(), "{}", said(&away));
    assert!(said(&away).contains("cannot be reached from here"), "{}", said(&away));
}

/// A terminal with the program in it.
struct Terminal {
    writer: Box<dyn std::io::Write + Send>,
    shown: Arc<Mutex<String>>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    fn open(folder: &Path, arguments: &[&str]) -> Self {
        let pair =
            native_pty_system().openpty(PtySize { rows: 40, cols: 200, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(arguments);
        command.cwd(folder);
        command.env_remove("LANGGRAPH_API_KEY");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let screen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                screen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { writer: pair.master.take_writer().unwrap(), shown, child, _master: pair.master }
    }

    /// Waits for a text and answers it.
    fn answer(&mut self, question: &str, answer: &str) {
        self.wait(question);
        self.shown.lock().unwrap().clear();
        writeln!(self.writer, "{answer}").unwrap();
    }

    fn wait(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.shown.lock().unwrap().contains(text) {
            assert!(Instant::now() < until, "{text:?} is not in {:?}", self.shown.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn on_a_terminal_what_is_missing_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(folder.path(), &["init", "gate", "--offline"]);
    terminal.answer("Which OIDC issuer", "idp");
    terminal.answer("write it as in", "https://idp.example.com/realms/acme");
    terminal.answer("Where does LangGraph answer? [http://localhost:2024]", "");
    terminal.wait("read-only");
    terminal.answer("Number or name", "9");
    terminal.answer("there is no such policy", "2");
    terminal.wait("Next:");
    assert!(terminal.child.wait().unwrap().success());
    let filter = std::fs::read_to_string(folder.path().join("gate/gate/filter.yaml")).unwrap();
    assert!(
        filter.contains("issuer: https://idp.example.com/realms/acme")
            && filter.contains("gateway: read-only")
    );
}
