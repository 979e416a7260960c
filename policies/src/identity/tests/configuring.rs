//! Problems with the section: all of them in one run, each with its path, none with a secret in it.

use serde_json::{Value, json};

use super::forge::{KEYS, b64, compile, ec_jwk, policy};
use crate::identity::Config;

/// The problems of the sound policy after a change, as `path: what`.
fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut policy = policy();
    change(&mut policy);
    match compile(policy) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            problems.iter().map(|problem| format!("{}: {}", problem.path, problem.what)).collect()
        }
    }
}

/// Sets what a JSON pointer points to; `null` takes it away.
fn problem_at(pointer: &str, value: Value) -> Vec<String> {
    problems(|policy| {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = policy.pointer_mut(parent).expect("a place").as_object_mut().expect("an object");
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value);
        }
    })
}

#[test]
fn the_sound_policy_has_no_problem() {
    assert_eq!(problems(|_| {}), Vec::<String>::new());
}

#[test]
fn each_problem_is_named_with_its_path() {
    let first = "identity.issuers[0]";
    for (pointer, value, path) in [
        ("/issuers/1/issuer", json!(""), "identity.issuers[1].issuer".into()),
        ("/issuers/1/issuer", json!("https://idp.example.com"), "identity.issuers[1].issuer".into()),
        ("/issuers/0/audiences", json!([]), format!("{first}.audiences")),
        ("/issuers/0/audiences", json!([""]), format!("{first}.audiences")),
        ("/issuers/0/algorithms", json!([]), format!("{first}.algorithms")),
        ("/issuers/0/algorithms", json!(["RS256", "HS256"]), format!("{first}.algorithms[1]")),
        ("/issuers/0/algorithms", json!(["none"]), format!("{first}.algorithms[0]")),
        ("/issuers/0/algorithms", json!(["RS256", "RS256"]), format!("{first}.algorithms[1]")),
        ("/issuers/0/keys", Value::Null, format!("{first}.keys")),
        ("/issuers/0/keys", json!({}), format!("{first}.keys")),
        ("/issuers/0/keys", json!({"cluster": "a", "path": "/a", "discover": true}), format!("{first}.keys")),
        ("/issuers/0/keys", json!({"path": "/a"}), format!("{first}.keys.cluster")),
        ("/issuers/0/keys", json!({"cluster": "", "path": "/a"}), format!("{first}.keys.cluster")),
        ("/issuers/0/keys", json!({"cluster": "a", "path": "a"}), format!("{first}.keys.path")),
        ("/issuers/0/keys", json!({"cluster": "a", "path": "/a\r\nx: y"}), format!("{first}.keys.path")),
        (
            "/issuers/0/keys",
            json!({"cluster": "a", "path": "/a", "authority": "a b"}),
            format!("{first}.keys.authority"),
        ),
        (
            "/issuers/0/keys",
            json!({"cluster": "a", "path": "/a", "refresh": "1s"}),
            format!("{first}.keys.refresh"),
        ),
        (
            "/issuers/0/keys",
            json!({"cluster": "a", "path": "/a", "timeout": "0s"}),
            format!("{first}.keys.timeout"),
        ),
        (
            "/issuers/0/keys",
            json!({"cluster": "a", "path": "/a", "jwks_cluster": "b"}),
            format!("{first}.keys.jwks_cluster"),
        ),
        ("/issuers/0/keys", json!({"inline": {"keys": []}}), format!("{first}.keys.inline")),
        ("/issuers/0/keys", json!({"inline": {}}), format!("{first}.keys.inline")),
        ("/issuers/0/claims/roles", json!("a..b"), format!("{first}.claims.roles")),
        ("/issuers/0/claims/groups", json!("/a~b"), format!("{first}.claims.groups")),
        ("/leeway", json!("301s"), "identity.leeway".into()),
        ("/jwt_authn", json!({"key": "p"}), "identity.jwt_authn".into()),
        ("/sources", json!({"authorization": false}), "identity.sources".into()),
        ("/sources", json!({"cookie": "a b"}), "identity.sources.cookie".into()),
        (
            "/upstream",
            json!({"headers": {"x-api-key": {"env": "UNSET"}}}),
            "identity.upstream.headers.x-api-key".into(),
        ),
        (
            "/upstream",
            json!({"headers": {"x-k": {"env": "NEWLINE"}}}),
            "identity.upstream.headers.x-k".into(),
        ),
        (
            "/upstream",
            json!({"headers": {"X-Key": {"env": "HS_KEY"}}}),
            "identity.upstream.headers.X-Key".into(),
        ),
        (
            "/upstream",
            json!({"headers": {"content-length": {"env": "HS_KEY"}}}),
            "identity.upstream.headers.content-length".into(),
        ),
        (
            "/upstream",
            json!({"headers": {"x-graphwarden-subject": {"env": "HS_KEY"}}}),
            "identity.upstream.headers.x-graphwarden-subject".into(),
        ),
        ("/upstream", json!({"identity": "assertion"}), "identity.upstream.assertion".into()),
        (
            "/upstream",
            json!({"identity": "headers", "assertion": {"algorithm": "EdDSA", "key": {"env": "ED_KEY"}}}),
            "identity.upstream.assertion".into(),
        ),
    ] {
        let found = problem_at(pointer, value.clone());
        let [only] = &found[..] else { panic!("{pointer} {value}: {found:?}") };
        assert!(only.starts_with(&format!("{path}: ")), "{pointer} {value}: {only}, not at {path}");
    }
}

#[test]
fn assertion_keys_fit_their_algorithm() {
    let at = "identity.upstream.assertion";
    for (assertion, path) in [
        (json!({"algorithm": "HS256", "key": {"env": "SHORT"}}), "key"),
        (json!({"algorithm": "HS256", "key": {"env": "UNSET"}}), "key"),
        (json!({"algorithm": "EdDSA", "key": {"env": "SHORT"}}), "key"),
        (json!({"algorithm": "RS256", "key": {"env": "HS_KEY"}}), "algorithm"),
        (json!({"algorithm": "none", "key": {"env": "HS_KEY"}}), "algorithm"),
        (json!({"algorithm": "HS256", "key": {"env": "HS_KEY"}, "header": "X-Caller"}), "header"),
        (json!({"algorithm": "HS256", "key": {"env": "HS_KEY"}, "header": "host"}), "header"),
    ] {
        let found = problem_at("/upstream", json!({"identity": "assertion", "assertion": assertion}));
        assert!(
            found.iter().any(|problem| problem.starts_with(&format!("{at}.{path}: "))),
            "{assertion}: {found:?}"
        );
    }
}

#[test]
fn inline_keys_are_checked_one_by_one_because_somebody_wrote_them() {
    let mut private = ec_jwk(&KEYS.p256, "P-256", "private");
    private["d"] = b64([7_u8; 32]).into();
    let sound = ec_jwk(&KEYS.p256, "P-256", "sound");
    let keys = json!({"inline": {"keys": [sound, private, {"kty": "oct", "k": "c2VjcmV0"}, 7]}});
    let found = problem_at("/issuers/0/keys", keys);
    assert_eq!(found.len(), 3, "{found:?}");
    for (problem, index) in found.iter().zip([1, 2, 3]) {
        assert!(
            problem.starts_with(&format!("identity.issuers[0].keys.inline.keys[{index}]: ")),
            "{problem}"
        );
        assert!(!problem.contains("c2VjcmV0"));
    }
}

#[test]
fn introspection_needs_a_place_and_a_secret() {
    let introspection = |change: Value| {
        let mut whole =
            json!({"cluster": "idp", "path": "/i", "client_id": "c", "client_secret": {"env": "HS_KEY"}});
        whole.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        problem_at("/issuers/0/introspection", whole)
    };
    assert_eq!(introspection(json!({})), Vec::<String>::new());
    for (change, path) in [
        (json!({"cluster": ""}), "cluster"),
        (json!({"path": "i"}), "path"),
        (json!({"authority": "a b"}), "authority"),
        (json!({"client_secret": {"env": "UNSET"}}), "client_secret"),
        (json!({"cache": "601s"}), "cache"),
        (json!({"timeout": "61s"}), "timeout"),
    ] {
        let found = introspection(change.clone());
        let path = format!("identity.issuers[0].introspection.{path}: ");
        assert!(found.len() == 1 && found[0].starts_with(&path), "{change}: {found:?}");
    }
}

#[test]
fn jwt_authn_needs_its_place_and_no_keys() {
    let issuer = json!({"issuer": "https://idp.example.com", "audiences": ["a"]});
    let trusting = |change: fn(&mut Value)| {
        problems(|policy| {
            *policy = json!({"from": "jwt_authn", "jwt_authn": {"key": "p"}, "issuers": [issuer.clone()]});
            change(policy);
        })
    };
    assert_eq!(trusting(|_| {}), Vec::<String>::new());
    for (change, path) in [
        ((|policy| policy["jwt_authn"] = json!({"key": ""})) as fn(&mut Value), "identity.jwt_authn.key"),
        (
            |policy| {
                policy.as_object_mut().expect("an object").remove("jwt_authn");
            },
            "identity.jwt_authn",
        ),
        (
            |policy| policy["issuers"][0]["keys"] = json!({"cluster": "a", "path": "/"}),
            "identity.issuers[0].keys",
        ),
        (
            |policy| {
                policy["issuers"][0]["introspection"] = json!({"cluster": "a", "path": "/", "client_id": "c", "client_secret": {"env": "HS_KEY"}});
            },
            "identity.issuers[0].introspection",
        ),
    ] {
        let found = trusting(change);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{path}: ")), "{found:?}");
    }
}

#[test]
fn all_problems_appear_in_one_run() {
    let found = problems(|policy| {
        policy["leeway"] = json!("1h");
        policy["issuers"][0]["audiences"] = json!([]);
        policy["issuers"][0]["algorithms"] = json!(["HS256"]);
        policy["issuers"][1]["keys"] = json!({"cluster": "a"});
        policy["upstream"] = json!({"headers": {"x-k": {"env": "UNSET"}}});
    });
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(problems(|policy| policy["issuers"] = json!([])).len(), 1);
}

#[test]
fn unknown_members_are_errors() {
    for (pointer, name) in
        [("", "isuers"), ("/issuers/0", "jwks"), ("/issuers/0/keys", "url"), ("/deny", "iss")]
    {
        let mut policy = policy();
        policy.pointer_mut(pointer).expect("a place")[name] = json!([]);
        let error = serde_json::from_value::<Config>(policy).expect_err("an unknown member").to_string();
        assert!(error.contains(name), "{error}");
    }
}
