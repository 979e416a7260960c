//! Invocations as OCSF events, for whatever collects those: class API Activity (6003) of version 1.9.0 with the
//! profiles `security_control` and `record_integrity`.
//!
//! `raw_data` is the exact line and `raw_data_hash` its SHA-256. The attestation carries the hash by which the next line
//! names it, the chain that the gateway sealed it into and the place in it, so that a collector can check chains by itself.

use graphwarden_policies::evidence::{hex, link_hash};
use serde_json::{Map, Value, json};

use super::entry::{Entry, Operation};
use crate::clock::parse_micros;

/// OCSF's number and name for an algorithm of a fingerprint.
type Algorithm = (u32, &'static str);
const SHA_256: Algorithm = (3, "SHA-256");
/// 99: one that OCSF has no number for.
const BLAKE2B: Algorithm = (99, "BLAKE2b-256");

/// The version of OCSF.
pub const OCSF_VERSION: &str = "1.9.0";

/// The event of an outcome; `None` for every other kind of record. `log` is the name of the log's key.
pub fn event(position: u64, line: &[u8], log: &str) -> anyhow::Result<Option<Value>> {
    use sha2::{Digest, Sha256};
    let entry = Entry::read(line)?;
    if entry.kind != "outcome" {
        return Ok(None);
    }
    let hash = hex(&Sha256::digest(line));
    let fingerprint = |(id, algorithm): Algorithm, value: &str| {
        json!({
            "algorithm_id": id, "algorithm": algorithm, "encoding_id": 1, "encoding": "Hex",
            "serialization_id": 1, "serialization": "Flat", "value": value,
        })
    };
    let mut attestation = json!({
        "uid": format!("{}:{}", entry.chain, entry.seq),
        "chain_uid": entry.chain,
        "authority_uid": log,
        "fingerprint": fingerprint(BLAKE2B, &hex(&link_hash(line))),
    });
    if let Some(before) = entry.seq.checked_sub(1) {
        attestation["prev_event"] = json!({ "uid": format!("{}:{before}", entry.chain), "fingerprint": fingerprint(BLAKE2B, &entry.prev) });
    }
    let activity = activity(entry.operations.first());
    let status = entry.response.as_ref().map_or(0, |response| response.status);
    let failed = !(1..400).contains(&status);
    let end = parse_micros(&entry.at).unwrap_or_default().max(0) / 1_000;
    let micros = entry.response.as_ref().map_or(0, |response| response.duration_us);
    let duration = i64::try_from(micros / 1_000).unwrap_or(i64::MAX);
    // A clock that was set back in the meantime must not put the beginning before the epoch.
    let begin = end.saturating_sub(duration).max(0);
    let decision = entry.decision.as_ref();
    let denied = decision.is_some_and(|decision| decision.effect == "deny");
    let observed = decision.is_some_and(|decision| decision.observed);
    let mut event = json!({
        "activity_id": activity.0,
        "activity_name": activity.1,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": 6003,
        "class_name": "API Activity",
        "type_uid": 600_300 + activity.0,
        "type_name": format!("API Activity: {}", activity.1),
        "time": begin,
        "start_time": begin,
        "end_time": end,
        "duration": duration,
        "severity_id": if denied { 2 } else { 1 },
        "severity": if denied { "Low" } else { "Informational" },
        "status_id": if failed { 2 } else { 1 },
        "status": if failed { "Failure" } else { "Success" },
        "action_id": if observed { 3 } else if denied { 2 } else { 1 },
        "action": if observed { "Observed" } else if denied { "Denied" } else { "Allowed" },
        "disposition_id": if denied && !observed { 2 } else { 1 },
        "disposition": if denied && !observed { "Blocked" } else { "Allowed" },
        "metadata": {
            "version": OCSF_VERSION,
            "product": { "name": "Graphwarden", "vendor_name": "Graphwarden", "version": env!("CARGO_PKG_VERSION") },
            "profiles": ["security_control", "record_integrity"],
            "uid": format!("{}:{}", entry.chain, entry.seq),
            "correlation_uid": entry.exchange,
            "log_name": log,
            "log_version": "1",
            "sequence": position,
            "original_time": entry.at,
        },
        "actor": actor(&entry),
        "api": api(&entry, status),
        "src_endpoint": source(&entry),
        "dst_endpoint": { "name": entry.gateway, "svc_name": "langgraph" },
        "raw_data": std::str::from_utf8(line)?,
        "raw_data_size": line.len(),
        "raw_data_hash": fingerprint(SHA_256, &hash),
        "attestation_list": [attestation],
    });
    if status != 0 {
        event["status_code"] = json!(status.to_string());
        event["http_response"] = json!({ "code": status });
        if let Some(response) = &entry.response {
            event["http_response"]["body_length"] = json!(response.bytes);
        }
    }
    if let Some(reason) = decision.map(|decision| &decision.reason).filter(|reason| !reason.is_empty()) {
        event["status_detail"] = json!(reason);
    }
    if let Some(request) = &entry.request {
        event["http_request"] = json!({
            "http_method": request.method,
            "url": { "path": request.path },
            "uid": if entry.request_id.is_empty() { &entry.exchange } else { &entry.request_id },
        });
        if let Some(agent) =
            entry.source.as_ref().map(|source| &source.user_agent).filter(|agent| !agent.is_empty())
        {
            event["http_request"]["user_agent"] = json!(agent);
        }
    }
    if !entry.policy.is_empty() {
        let rule = decision.map_or("", |decision| &decision.rule);
        let name = if rule.is_empty() { "default" } else { rule };
        event["policy"] = json!({ "uid": entry.policy, "name": name, "is_applied": !observed });
    }
    let resources: Vec<Value> = entry.operations.iter().flat_map(resources).collect();
    if !resources.is_empty() {
        event["resources"] = Value::Array(resources);
    }
    event["unmapped"] = unmapped(&entry);
    Ok(Some(event))
}

/// What kind of change an operation is, by the word that its name begins with.
fn activity(operation: Option<&Operation<'_>>) -> (u32, &'static str) {
    let Some(operation) = operation else { return (0, "Unknown") };
    let verb = operation.operation.rsplit('.').next().unwrap_or_default();
    match verb.split('_').next().unwrap_or_default() {
        "create" | "copy" | "put" | "add" => (1, "Create"),
        "read" | "search" | "count" | "list" | "get" | "join" | "stream" | "wait" | "health" => (2, "Read"),
        "update" | "patch" | "set" | "cancel" | "resume" => (3, "Update"),
        "delete" | "remove" | "prune" => (4, "Delete"),
        _ if operation.class == "read" => (2, "Read"),
        _ => (99, "Other"),
    }
}

fn actor(entry: &Entry<'_>) -> Value {
    let Some(actor) = &entry.actor else { return json!({ "app_name": "unauthenticated caller" }) };
    let machine = actor.kind == "machine";
    let mut user = Map::new();
    user.insert("uid".to_owned(), json!(actor.subject));
    user.insert("type_id".to_owned(), json!(if machine { 4 } else { 1 }));
    user.insert("type".to_owned(), json!(if machine { "Service" } else { "User" }));
    user.insert("domain".to_owned(), json!(actor.issuer));
    for (member, text) in [("name", &actor.email), ("full_name", &actor.name)] {
        if !text.is_empty() {
            user.insert(member.to_owned(), json!(text));
        }
    }
    // OCSF wants a plain address; what is none stays in `name`.
    if is_plain_address(&actor.email) {
        user.insert("email_addr".to_owned(), json!(actor.email));
    }
    if !actor.roles.is_empty() {
        let groups: Vec<Value> =
            actor.roles.iter().map(|role| json!({ "name": role, "type": "role" })).collect();
        user.insert("groups".to_owned(), Value::Array(groups));
    }
    let mut out = json!({ "user": user });
    if let Some(token) = &entry.token {
        // The token's hash: it names the credential and is none.
        out["session"] = json!({ "uid": token.sha256, "issuer": actor.issuer, "is_remote": true });
        for (member, seconds) in [("created_time", token.iat), ("expiration_time", token.exp)] {
            if let Some(seconds) = seconds {
                out["session"][member] = json!(seconds.saturating_mul(1_000));
            }
        }
        if !token.jti.is_empty() {
            out["session"]["uid_alt"] = json!(token.jti);
        }
    }
    out
}

fn is_plain_address(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let dotted = host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && !rest.is_empty());
    !local.is_empty() && local.bytes().all(plain) && host.bytes().all(of_host) && dotted
}

fn api(entry: &Entry<'_>, status: u16) -> Value {
    let operation = entry.operations(|operation| &operation.operation);
    let mut api = json!({
        "operation": if operation.is_empty() { "unknown" } else { &operation },
        "service": { "name": "langgraph" },
        "request": { "uid": if entry.request_id.is_empty() { &entry.exchange } else { &entry.request_id } },
    });
    if status != 0 {
        api["response"] = json!({ "code": status });
        if let Some(reason) =
            entry.decision.as_ref().map(|decision| &decision.reason).filter(|reason| !reason.is_empty())
        {
            api["response"]["error"] = json!(reason);
        }
    }
    api
}

fn source(entry: &Entry<'_>) -> Value {
    let address = entry.source.as_ref().map_or("", |source| source.address.as_ref());
    if let Ok(socket) = address.parse::<std::net::SocketAddr>() {
        return json!({ "name": socket.ip().to_string(), "ip": socket.ip().to_string(), "port": socket.port() });
    }
    match address.parse::<std::net::IpAddr>() {
        Ok(ip) => json!({ "name": ip.to_string(), "ip": ip.to_string() }),
        Err(_) => json!({ "name": if address.is_empty() { "unknown" } else { address } }),
    }
}

fn resources(operation: &Operation<'_>) -> Vec<Value> {
    [
        ("graph", &operation.graph),
        ("assistant", &operation.assistant),
        ("thread", &operation.thread),
        ("run", &operation.run),
    ]
    .into_iter()
    .filter(|(_, uid)| !uid.is_empty())
    .map(|(kind, uid)| json!({ "type": kind, "uid": uid, "name": uid, "role_id": 1, "role": "Target" }))
    .collect()
}

/// What OCSF has no place for.
fn unmapped(entry: &Entry<'_>) -> Value {
    let mut out = Map::new();
    if let Some(approval) = &entry.approval {
        out.insert("approval".to_owned(), json!(approval.id));
    }
    if let Some(request) = entry.request.as_ref().filter(|request| !request.digest.is_empty()) {
        out.insert("request_digest".to_owned(), json!(request.digest));
    }
    if let Some(response) = &entry.response {
        out.insert("end".to_owned(), json!(response.end));
        if !response.masked.is_empty() {
            out.insert("masked".to_owned(), json!(response.masked));
        }
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_told_from_others() {
        for good in ["ana@example.com", "a.b+c@mail.example.co.uk"] {
            assert!(is_plain_address(good), "{good}");
        }
        for other in [
            "",
            "ana",
            "ana@host",
            "ana b@example.com",
            "ana@exämple.com",
            "@example.com",
            "a@.com",
            "a@b@c.d",
        ] {
            assert!(!is_plain_address(other), "{other}");
        }
    }

    #[test]
    fn activities_follow_the_operations_verb() {
        for (name, class, expected) in [
            ("threads.create_run", "execute", 1),
            ("threads.read", "read", 2),
            ("threads.update_state", "write", 3),
            ("store.delete", "write", 4),
            ("assistants.spin", "read", 2),
            ("a2a.message", "execute", 99),
        ] {
            let json = format!(r#"{{"operation":"{name}","class":"{class}"}}"#);
            let operation: Operation<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!(activity(Some(&operation)).0, expected, "{name}");
        }
        assert_eq!(activity(None).0, 0);
    }
}
