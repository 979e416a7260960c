//! `graphwarden token`, as a shell would call it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use jwt_simple::prelude::{
    Claims, Duration, Ed25519KeyPair, EdDSAKeyPairLike as _, JWTClaims, NoCustomClaims, UnixTimeStamp,
};
use serde_json::{Value, json};

const NOW: u64 = 1_795_348_800;

/// The example of RFC 7515 appendix A.3: signed by "joe", no audience, ended in 2011.
const RFC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-K\
g6NU1Q";

struct Bench {
    folder: tempfile::TempDir,
    key: Ed25519KeyPair,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            key: Ed25519KeyPair::generate().with_key_id("k"),
        };
        bench.write(
            "policy.yaml",
            "\
identity:
  issuers:
    - issuer: https://idp.example.com
      audiences: [langgraph]
      algorithms: [EdDSA]
      keys: { cluster: idp, path: /jwks.json }
      introspection: { cluster: idp, path: /i, client_id: c, client_secret: { env: UNSET } }
    - issuer: joe
      audiences: [langgraph]
      algorithms: [ES256]
      keys:
        inline:
          keys:
            - kty: EC
              crv: P-256
              x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU
              y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0
  upstream: { headers: { x-api-key: { env: UNSET } } }
access: { default: deny }
",
        );
        let jwk: Value =
            serde_json::from_str(&bench.key.public_key().with_key_id("k").to_jwk()).expect("JSON");
        bench.write("jwks.json", &json!({"keys": [jwk]}).to_string());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file can be written");
    }

    fn token(&self) -> String {
        let mut claims: JWTClaims<NoCustomClaims> = Claims::create(Duration::from_secs(0))
            .with_issuer("https://idp.example.com")
            .with_subject("7f3c")
            .with_audience("langgraph");
        claims.issued_at = Some(UnixTimeStamp::from_secs(NOW));
        claims.invalid_before = None;
        claims.expires_at = Some(UnixTimeStamp::from_secs(NOW + 300));
        self.key.sign(claims).expect("signing works")
    }

    fn run(&self, arguments: &[&str], token: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_graphwarden"))
            .arg("token")
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // It may end without reading, which is a broken pipe here.
        let _ = child.stdin.take().expect("a pipe").write_all(token.as_bytes());
        child.wait_with_output().expect("the program ends")
    }
}

fn printed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn at(second: u64) -> String {
    second.to_string()
}

#[test]
fn prints_the_identity_of_a_good_token() {
    let bench = Bench::new();
    let arguments = ["--policy", "policy.yaml", "--jwks", "jwks.json", "--at", &at(NOW)];
    let token = bench.token();
    let output = bench.run(&arguments, &format!("{token}\n"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let identity = printed(&output);
    // The policy may be where it is used, in Envoy's configuration.
    let policy = std::fs::read_to_string(bench.path("policy.yaml")).unwrap();
    let inside = policy.replace('\n', "\n    ");
    bench.write(
        "envoy.yaml",
        &format!("configuration:\n  \"@type\": type.googleapis.com/google.protobuf.Struct\n  value:\n    {inside}\n"),
    );
    let arguments = ["--policy", "envoy.yaml", "--jwks", "jwks.json", "--at", &at(NOW)];
    assert_eq!(printed(&bench.run(&arguments, &token)), identity);
    assert_eq!((&identity["subject"], &identity["token"]["alg"]), (&json!("7f3c"), &json!("EdDSA")));
}

#[test]
fn prints_the_reason_of_a_refused_token_and_exits_with_1() {
    let bench = Bench::new();
    let known = ["--policy", "policy.yaml", "--jwks", "jwks.json", "--at"];
    for (arguments, token, reason) in [
        ([&known[..], &[&at(NOW + 330)]].concat(), bench.token(), "token_expired"),
        ([&known[..], &[&at(NOW)]].concat(), "a.b.c".to_owned(), "token_malformed"),
        ([&known[..], &[&at(NOW)]].concat(), String::new(), "token_ambiguous"),
        ([&known[..], &[&at(NOW)]].concat(), "x".repeat(100_000), "token_malformed"),
        (["--policy", "policy.yaml"].to_vec(), bench.token(), "keys_unavailable"),
        (["--policy", "policy.yaml", "--at", "1300819000"].to_vec(), RFC_TOKEN.to_owned(), "token_audience"),
        (["--policy", "policy.yaml"].to_vec(), RFC_TOKEN.to_owned(), "token_expired"),
    ] {
        let output = bench.run(&arguments, &token);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(printed(&output)["reason"], reason, "{output:?}");
    }
}

#[test]
fn prints_the_payload_where_only_the_signature_counts() {
    let bench = Bench::new();
    let output = bench.run(&["--policy", "policy.yaml", "--signature-only"], RFC_TOKEN);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        output.stdout,
        b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}\n"
    );
    let broken = RFC_TOKEN.replace("DtEh", "DtEi");
    let output = bench.run(&["--policy", "policy.yaml", "--signature-only"], &broken);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(printed(&output)["reason"], "token_signature");
}

#[test]
fn exits_with_2_where_there_is_nothing_to_judge_by() {
    let bench = Bench::new();
    bench.write("broken.yaml", "identity: [");
    bench.write("empty.yaml", "access: {}");
    bench.write("unsound.yaml", "identity: { issuers: [{ issuer: a, audiences: [], algorithms: [HS256] }] }");
    bench.write(
        "trusting.yaml",
        "identity: { from: jwt_authn, jwt_authn: { key: p }, issuers: [{ issuer: a, audiences: [b] }] }",
    );
    bench.write("empty.json", "{}");
    for (arguments, says) in [
        (&["--policy", "absent.yaml"][..], "absent.yaml"),
        (&["--policy", "broken.yaml"], "broken.yaml: unclosed bracket"),
        (&["--policy", "empty.yaml"], "no section `identity`"),
        (&["--policy", "unsound.yaml"], "identity.issuers[0].algorithms[0]"),
        (&["--policy", "trusting.yaml"], "jwt_authn"),
        (&["--policy", "policy.yaml", "--jwks", "empty.json"], "not a JWK Set"),
        (&["--policy", "policy.yaml", "--jwks", "absent.json"], "absent.json"),
        (&[], "--policy"),
    ] {
        let output = bench.run(arguments, "a.b.c");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says) && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}
