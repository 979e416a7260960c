//! Files that are no configuration, or mean harm: the command ends soon, with a clear error and exit code 2.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::shipped::root;

fn lint(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_graphwarden"))
        .arg("lint")
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has read enough closes its end.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn hostile_files_end_soon_with_exit_code_2() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    let began = Instant::now();
    for (name, input) in [
        ("aliases", bomb.into_bytes()),
        ("nesting", b"[".repeat(200_000)),
        ("levels", b"- ".repeat(200_000)),
        ("size", b"# x\n".repeat(2_600_000)),
        ("no YAML", b"a: [".to_vec()),
        ("no text", vec![0xff, 0xfe, 0x00, 0xd8]),
    ] {
        let output = lint(&["-"], &input);
        let words = said(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {words}");
        assert!(words.starts_with("graphwarden: ") && words.len() < 600, "{name}: {words}");
        assert!(output.stdout.is_empty(), "{name}");
    }
    // Generous: a build without optimisation, beside other tests.
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[test]
fn exit_codes_and_forms_are_what_programs_expect() {
    let good = lint(&["envoy/envoy.yaml"], b"");
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert!(said(&good).contains("nothing to mend") && good.stdout.is_empty());

    let missing = lint(&["envoy/absent.yaml"], b"");
    assert_eq!(missing.status.code(), Some(2));

    let wrong =
        std::fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap().replace("FAIL_RELOAD", "FAIL_OPEN");
    let text = lint(&["-"], wrong.as_bytes());
    assert_eq!(text.status.code(), Some(1), "{}", said(&text));
    let words = String::from_utf8(text.stdout.clone()).unwrap();
    for part in ["error[fails-open]", "<stdin>:", "failure_policy: FAIL_OPEN", "help: "] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!words.contains('\u{1b}'), "colours in a pipe: {words}");
    assert!(said(&text).contains("--fix mends 1"));

    let json = lint(&["--format", "json", "-"], wrong.as_bytes());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["findings"][0]["rule"], "fails-open");
    assert_eq!(json["findings"][0]["fixable"], true);

    let allowed = lint(&["--allow", "fails-open", "-"], wrong.as_bytes());
    assert_eq!(allowed.status.code(), Some(0));
    let unknown = lint(&["--allow", "nonsense", "-"], b"");
    assert_eq!(unknown.status.code(), Some(2));

    let open = wrong.replace("FAIL_OPEN", "FAIL_CLOSED");
    assert_eq!(lint(&["-"], open.as_bytes()).status.code(), Some(0));
    assert_eq!(lint(&["--strict", "-"], open.as_bytes()).status.code(), Some(1));
}

#[test]
fn files_are_mended_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy.yaml");
    let shipped = std::fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap();
    std::fs::write(&path, shipped.replace("FAIL_RELOAD", "FAIL_OPEN")).unwrap();
    let output = lint(&["--fix", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("1 mended"), "{}", said(&output));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), shipped);
    assert_eq!(lint(&["--fix", "-"], b"a: b").status.code(), Some(2));
}
