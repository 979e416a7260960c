//! What an export says: who is chosen, the tables, the report, OCSF events, and the pages that make and check one.

use std::io::Cursor;

use axum::body::Body;
use axum::http::{Request as Http, StatusCode};
use graphwarden::log::PublicKey;
use graphwarden::package::{Directory, Request, ocsf_event, verify};
use graphwarden::store::Selection;
use graphwarden_policies::evidence::{
    ActorRecord, Approval, Chain, DecisionRecord, EffectRecord, End, Kind, OperationRecord, Record,
    RequestRecord, ResponseRecord, SourceRecord, TokenRecord,
};
use graphwarden_policies::identity::Actor;
use graphwarden_policies::operation::Class;
use graphwarden_stand::{Issuer, Person};
use serde_json::{Value, json};

use crate::package::{export, public, rebuilt, signed_anew, unpack};
use crate::pages::Browser;
use crate::room::{NOON, Room};

/// Everything that a record can say.
pub(crate) fn full(
    kind: Kind,
    exchange: &str,
    subject: &str,
    operation: &str,
    effect: EffectRecord,
    at: u64,
) -> Record {
    let mut record = Record::new(kind, exchange, "gate", at);
    record.policy = Some("ab".repeat(32));
    record.request_id = Some(format!("r-{exchange}"));
    record.actor = Some(ActorRecord {
        issuer: "https://idp.example".into(),
        subject: subject.into(),
        name: Some(format!("=cmd|' /C calc'!A0 {subject}")),
        email: Some(format!("{subject}@example.com")),
        roles: vec!["analyst".into(), "<b>admin".into()],
        kind: Actor::Person,
    });
    record.token = Some(TokenRecord {
        jti: Some("jti-1".into()),
        iat: Some(1_763_812_000),
        exp: 1_763_815_600,
        alg: "ES256".into(),
        kid: Some("k1".into()),
        sha256: "cd".repeat(32),
    });
    record.source =
        Some(SourceRecord { address: Some("192.0.2.7:4711".into()), user_agent: Some("sdk/1".into()) });
    record.request = Some(RequestRecord {
        method: "POST".into(),
        path: "/threads/t-1/runs/wait".into(),
        digest: Some("ef".repeat(32)),
        bytes: Some(20),
        body: Some("{\"input\":\"[EMAIL]\"}".into()),
        body_truncated: false,
    });
    let class = if operation == "threads.read" { Class::Read } else { Class::Execute };
    record.operations = vec![OperationRecord {
        operation: operation.into(),
        class,
        graph: Some("billing".into()),
        assistant: None,
        thread: Some(format!("t-{subject}")),
        run: Some("run-1".into()),
        cron: None,
        namespace: Vec::new(),
        tool: None,
    }];
    let reason = (effect == EffectRecord::Deny).then(|| "access_denied".to_owned());
    record.decision = Some(DecisionRecord { effect, rule: Some("a rule".into()), reason, observed: false });
    if kind == Kind::Outcome {
        record.approval = Some(Approval {
            id: Some("a1".into()),
            kind: None,
            status: "approved".into(),
            decisions: vec![],
            held_ms: Some(12),
        });
        record.response = Some(ResponseRecord {
            status: if effect == EffectRecord::Deny { 403 } else { 200 },
            masked: [("email".to_owned(), 3)].into(),
            bytes: 99,
            body: Some("{\"mail\":\"[EMAIL]\"}".into()),
            segments: None,
            body_truncated: false,
            body_sha256: None,
            duration_us: 1_500_000,
            end: End::Complete,
        });
    }
    record
}

/// Ana ran billing twice and was refused once; Eve was refused; Bo's run never ended.
pub(crate) async fn filled(room: &Room) -> Vec<Vec<u8>> {
    let lines = busy(room.clock.now());
    assert_eq!(room.hand_in(lines.join(&b'\n')).await.status, StatusCode::OK);
    lines
}

/// The same as lines, an hour before `now`.
pub(crate) fn busy(now: i64) -> Vec<Vec<u8>> {
    let at = u64::try_from(now).unwrap() * 1_000 - 3_600_000_000;
    let mut chain = Chain::new("busy".into());
    use EffectRecord::{Allow, Deny};
    let mut lines = vec![chain.seal(&Record::new(Kind::Start, "busy", "gate", at)).unwrap().bytes];
    for (index, (exchange, subject, operation, effect, ends)) in [
        ("e1", "ana", "threads.create_run", Allow, true),
        ("e2", "ana", "threads.read", Allow, true),
        ("e3", "ana", "threads.create_run", Deny, true),
        ("e4", "eve", "threads.read", Deny, true),
        ("e5", "bo", "threads.create_run", Allow, false),
    ]
    .into_iter()
    .enumerate()
    {
        let at = at + index as u64 * 1_000_000;
        lines.push(
            chain.seal(&full(Kind::Admission, exchange, subject, operation, effect, at)).unwrap().bytes,
        );
        if ends {
            lines.push(
                chain.seal(&full(Kind::Outcome, exchange, subject, operation, effect, at + 5)).unwrap().bytes,
            );
        }
    }
    lines
}

fn check(room: &Room, zip: &[u8]) -> anyhow::Result<graphwarden::package::Report> {
    verify(Cursor::new(zip), &public(room), None)
}

fn text(zip: &[u8], name: &str) -> String {
    String::from_utf8(unpack(zip)[name].clone()).unwrap()
}

#[tokio::test]
async fn records_are_chosen_by_whole_exchanges() {
    let room = Room::open().await;
    filled(&room).await;
    let some = |text: &str| Some(text.to_owned());
    for (selection, records, invocations) in [
        (Selection { person: some("ANA@"), ..Selection::default() }, 6, 3),
        (Selection { operation: some("create_run"), ..Selection::default() }, 5, 3),
        (Selection { thread: some("t-eve"), ..Selection::default() }, 2, 1),
        (Selection { decision: some("deny"), ..Selection::default() }, 4, 2),
        (Selection { person: some("ana"), decision: some("allow"), ..Selection::default() }, 4, 2),
        (Selection { person: some("nobody"), ..Selection::default() }, 0, 0),
        (Selection { person: some("%"), ..Selection::default() }, 0, 0),
        (Selection { request: some("e3"), ..Selection::default() }, 2, 1),
        (Selection { request: some("r-e4"), ..Selection::default() }, 2, 1),
        (Selection { request: some("r-e4"), decision: some("allow"), ..Selection::default() }, 0, 0),
        (Selection { request: some("%"), ..Selection::default() }, 0, 0),
    ] {
        let zip = export(&room, &Request { selection: selection.clone(), ..Request::default() }).await;
        let report = check(&room, &zip).unwrap();
        assert_eq!(report.records, records, "{selection:?}");
        assert_eq!(text(&zip, "invocations.csv").lines().count(), invocations + 1, "{selection:?}");
    }
}

#[tokio::test]
async fn tables_say_who_what_with_which_token_and_are_no_formulas() {
    let room = Room::open().await;
    filled(&room).await;
    let zip = export(&room, &Request::default()).await;
    check(&room, &zip).unwrap();
    let invocations = text(&zip, "invocations.csv");
    let mut rows = csv::Reader::from_reader(invocations.as_bytes());
    let heading = rows.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let cell = |row: &csv::StringRecord, name: &str| {
        row[heading.iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"))]
            .to_owned()
    };
    assert_eq!(rows.len(), 5);
    assert!(cell(&rows[0], "name").starts_with("'=cmd"));
    assert_eq!(cell(&rows[0], "masked"), "email=3");
    assert_eq!((cell(&rows[2], "decision"), cell(&rows[2], "status")), ("deny".into(), "403".into()));
    assert_eq!((cell(&rows[4], "end"), cell(&rows[4], "subject")), ("unfinished".into(), "bo".into()));
    let tokens = text(&zip, "tokens.csv");
    assert_eq!(tokens.lines().count(), 10);
    assert!(
        tokens.contains("https://idp.example,ana,jti-1,2025-11-22T11:46:40.000000Z,")
            && tokens.contains(",ES256,k1,cdcd")
    );
    let review = text(&zip, "access-review.csv");
    assert!(review.contains("threads.create_run (1); threads.read (1)"), "{review}");
}

#[tokio::test]
async fn the_directory_is_compared_and_its_remarks_are_proven_too() {
    let room = Room::open().await;
    filled(&room).await;
    let people = "subject,email,name,roles,active\nu-1,ana@example.com,Ana,analyst;manager,true\nzoe,,Zoe,owner,true\nx,EVE@example.com,Eve,,no\n";
    let directory = Some(Directory::from_csv(people.as_bytes()).unwrap());
    let zip = export(&room, &Request { directory, ..Request::default() }).await;
    let review = text(&zip, "access-review.csv");
    assert!(review.contains(",u-1,Ana,ana@example.com,,manager,,0,0,,,active,never used"), "{review}");
    assert!(review.contains("called while disabled in the directory"), "{review}");
    assert!(review.contains(",zoe,Zoe,,,owner,,0,0,,,active,never used"), "{review}");
    let report = check(&room, &zip).unwrap();
    assert!(report.tables.contains(&"access-review.csv"));
    // Whoever holds the key can sign anything; what the records do not say is found all the same.
    for (name, from, to) in [
        ("access-review.csv", "never used", "used daily"),
        ("invocations.csv", ",deny,", ",allow,"),
        ("tokens.csv", "jti-1", "jti-2"),
        ("directory.csv", "zoe", "zoo"),
    ] {
        let mut files = unpack(&zip);
        let changed = text(&zip, name).replace(from, to);
        assert_ne!(changed, text(&zip, name), "{name}");
        files.insert(name.into(), changed.into_bytes());
        let error = format!("{:#}", check(&room, &signed_anew(files, &room.desk.log_key)).unwrap_err());
        assert!(error.contains("does not say what the records say"), "{name}: {error}");
    }
}

#[tokio::test]
async fn the_report_is_one_page_of_words_and_charts_without_anything_from_elsewhere() {
    let room = Room::open().await;
    filled(&room).await;
    room.desk.store.mark_unfinished(room.clock.now() + 1, room.clock.now()).await.unwrap();
    let zip = export(&room, &Request::default()).await;
    let report = text(&zip, "report.html");
    for part in [
        "<svg",
        "5.18",
        "A.9.2.5",
        "8.15",
        "A.12.4.1",
        "makes no organisation compliant",
        "unfinished",
        "@media print",
    ] {
        assert!(report.contains(part), "{part} is missing");
    }
    for outside in ["<script", "http://", "src=", "href=", "@import", "url("] {
        assert!(!report.contains(outside), "the report has {outside}");
    }
    assert!(!report.contains("<b>admin"), "names are escaped");
}

#[tokio::test]
async fn an_export_that_reaches_back_needs_no_proof_made_for_it() {
    let room = Room::open().await;
    filled(&room).await;
    let kept = room.desk.store.checkpoint(&room.desk.log_key, room.clock.now()).await.unwrap().note;
    room.hand_in(crate::evidence::lines("later", 4).join(&b'\n')).await;
    let whole = export(&room, &Request::default()).await;
    let report = verify(Cursor::new(&whole), &public(&room), Some(&kept)).unwrap();
    assert_eq!((report.since, report.ledger), (Some(10), 14));
    let late = Selection { from: Some(NOON), ..Selection::default() };
    let request = Request { selection: late, ..Request::default() };
    let part = export(&room, &request).await;
    let since = |zip: &[u8]| verify(Cursor::new(zip), &public(&room), Some(&kept));
    assert!(since(&part).is_ok(), "its leaves begin where the checkpoint ends");
    let later = Selection { from: Some(NOON + 2_000), ..Selection::default() };
    let request = Request { selection: later, ..Request::default() };
    let error = format!("{:#}", since(&export(&room, &request).await).unwrap_err());
    assert!(error.contains("same --since"), "{error}");
    let proven = export(&room, &Request { since: Some(kept.clone()), ..request }).await;
    assert_eq!(since(&proven).unwrap().since, Some(10));
    assert!(since(&rebuilt(unpack(&whole), &room.desk.log_key)).is_ok(), "a true copy is sound");
}

#[tokio::test]
async fn ocsf_events_are_valid_against_the_schema_and_carry_their_proof() {
    let schema: Value = serde_json::from_str(include_str!("../data/ocsf-api-activity.schema.json")).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let room = Room::open().await;
    let mut lines = filled(&room).await;
    // The least that a record can say, and a machine's.
    let mut chain = Chain::new("bare".into());
    lines.push(chain.seal(&Record::new(Kind::Outcome, "b1", "gate", 1)).unwrap().bytes);
    let mut machine = full(Kind::Outcome, "b2", "robot", "store.put", EffectRecord::Allow, 2);
    machine.actor.as_mut().unwrap().kind = Actor::Machine;
    machine.actor.as_mut().unwrap().email = Some("not an address".into());
    machine.source = Some(SourceRecord { address: Some("[2001:db8::1]:99".into()), user_agent: None });
    lines.push(chain.seal(&machine).unwrap().bytes);
    let mut events = 0;
    for (position, line) in lines.iter().enumerate() {
        let Some(event) = ocsf_event(position as u64, line, "log").unwrap() else { continue };
        events += 1;
        let errors: Vec<String> = validator
            .iter_errors(&event)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{event:#}");
        assert_eq!(event["raw_data"], std::str::from_utf8(line).unwrap());
        assert_eq!(event["raw_data_hash"]["value"], graphwarden_policies::evidence::sha256_hex(line));
        let record: Value = serde_json::from_slice(line).unwrap();
        let attested = &event["attestation_list"][0];
        assert_eq!(attested["chain_uid"], record["chain"]);
        let link = graphwarden_policies::evidence::link_hash(line);
        assert_eq!(attested["fingerprint"]["value"], graphwarden_policies::evidence::hex(&link));
        if record["seq"] != 0 {
            assert_eq!(attested["prev_event"]["fingerprint"]["value"], record["prev"]);
        }
    }
    assert_eq!(events, 6);
    // The check is no formality: what the schema does not know is refused.
    let mut wrong = ocsf_event(0, &lines[2], "log").unwrap().unwrap();
    wrong["class_uid"] = json!(1);
    assert!(!validator.is_valid(&wrong));
    let mut wrong = ocsf_event(0, &lines[2], "log").unwrap().unwrap();
    wrong["actor"]["user"]["colour"] = json!("red");
    assert!(!validator.is_valid(&wrong));
}

/// The published JSON of OCSF for class API Activity, as the package ocsf-json-schema carries it in the virtual
/// environment of the tests. `None`, with a line that says so, where that was not made; with `CI` set it has to be there.
fn published_ocsf() -> Option<Value> {
    let script = "import json, ocsf_json_schema as o\n\
        schema = o.OcsfJsonSchemaEmbedded(o.get_ocsf_schema('1.8.0'))\n\
        print(json.dumps(schema.get_class_schema('api_activity', ['security_control'])))";
    let output = graphwarden_stand::Tools::find()
        .python()
        .and_then(|python| Ok(std::process::Command::new(python).args(["-c", script]).output()?));
    match output {
        Ok(output) if output.status.success() => Some(serde_json::from_slice(&output.stdout).unwrap()),
        other => {
            assert!(std::env::var_os("CI").is_none(), "{other:?}");
            eprintln!("left out: the published OCSF schema is not installed; `make venv` installs it");
            None
        }
    }
}

#[tokio::test]
async fn ocsf_events_are_valid_against_the_schema_as_it_is_published() {
    let Some(schema) = published_ocsf() else { return };
    assert_eq!(schema["additionalProperties"], false, "the schema takes anything");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let room = Room::open().await;
    let mut lines = filled(&room).await;
    let mut chain = Chain::new("bare".into());
    lines.push(chain.seal(&Record::new(Kind::Outcome, "b1", "gate", 1)).unwrap().bytes);
    let mut machine = full(Kind::Outcome, "b2", "robot", "store.put", EffectRecord::Deny, 2);
    machine.actor.as_mut().unwrap().kind = Actor::Machine;
    machine.source = Some(SourceRecord { address: Some("[2001:db8::1]:99".into()), user_agent: None });
    lines.push(chain.seal(&machine).unwrap().bytes);
    let mut events = 0;
    for (position, line) in lines.iter().enumerate() {
        let Some(mut event) = ocsf_event(position as u64, line, "log").unwrap() else { continue };
        // The package ends at 1.8.0. What 1.9.0 added is all that it does not know: the profile `record_integrity`, and
        // how a fingerprint was made.
        let members = event.as_object_mut().unwrap();
        assert!(members.remove("attestation_list").is_some());
        let hash = members["raw_data_hash"].as_object_mut().unwrap();
        for added in ["encoding", "encoding_id", "serialization", "serialization_id"] {
            assert!(hash.remove(added).is_some(), "{added}");
        }
        let errors: Vec<String> = validator
            .iter_errors(&event)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{event:#}");
        event["actor"]["colour"] = json!("red");
        assert!(!validator.is_valid(&event), "what the schema does not know passes");
        events += 1;
    }
    assert_eq!(events, 6);
}

/// The record's schema as it is published, on lines of every kind.
#[tokio::test]
async fn records_are_what_the_published_schema_says() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../docs/evidence-record.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let room = Room::open().await;
    filled(&room).await;
    let mut chain = Chain::new("streams".into());
    let mut segment = Record::new(Kind::Segment, "s1", "gate", 5);
    segment.segment = Some(graphwarden_policies::evidence::SegmentRecord {
        index: 0,
        pieces: vec![graphwarden_policies::evidence::Piece(7, "data: 1".into())],
    });
    room.hand_in(chain.seal(&segment).unwrap().bytes).await;
    let id = room.ask(&crate::room::ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.decide(&id, &crate::room::person("max", &["manager"]), "approve").await.unwrap();
    room.desk.store.mark_unfinished(room.clock.now() + 1, room.clock.now()).await.unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for line in room.ledger().await {
        let line: Value = serde_json::from_slice(&line).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&line).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{line:#}");
        kinds.insert(line["kind"].as_str().unwrap().to_owned());
        let mut wrong = line.clone();
        wrong["seq"] = json!(-1);
        assert!(!validator.is_valid(&wrong));
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[tokio::test]
async fn a_scim_service_is_asked_page_by_page_with_its_token() {
    use axum::extract::Query;
    use axum::http::HeaderMap;
    use axum::routing::get;
    use std::collections::HashMap;
    let users = async |Query(query): Query<HashMap<String, usize>>, headers: HeaderMap| {
        if headers.get("authorization").is_none_or(|token| token != "Bearer scim-secret") {
            return Err(StatusCode::UNAUTHORIZED);
        }
        // RFC 7644: places count from 1, and a service may give less than it is asked for.
        let start = query["startIndex"] - 1;
        let all: Vec<Value> = (0..120)
            .map(|index| {
                json!({"id": format!("id-{index}"), "externalId": format!("u-{index}"), "userName": format!("user{index}@example.com"),
                       "name": {"formatted": format!("User {index}")}, "active": index % 2 == 0,
                       "emails": [{"value": "other@example.com"}, {"value": format!("User{index}@example.com"), "primary": true}],
                       "groups": [{"value": "g-1", "display": "analysts"}]})
            })
            .collect();
        let page: Vec<&Value> = all.iter().skip(start).take(query["count"].min(50)).collect();
        Ok(axum::Json(
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 120,
            "startIndex": start + 1, "itemsPerPage": page.len(), "Resources": page}),
        ))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/scim/v2", listener.local_addr().unwrap());
    let app = axum::Router::new().route("/scim/v2/Users", get(users));
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    let url = url::Url::parse(&base).unwrap();
    let directory = Directory::from_scim(&url, Some("scim-secret")).await.unwrap();
    assert_eq!(directory.len(), 120);
    let error = format!("{:#}", Directory::from_scim(&url, None).await.unwrap_err());
    assert!(error.contains("401"), "{error}");
    let room = Room::open().await;
    filled(&room).await;
    let zip = export(&room, &Request { directory: Some(directory), ..Request::default() }).await;
    assert!(
        text(&zip, "access-review.csv")
            .contains(",u-7,User 7,User7@example.com,,analysts,,0,0,,,disabled,never used")
    );
    check(&room, &zip).unwrap();
    server.abort();
}

#[tokio::test]
async fn an_auditor_makes_an_export_and_verifies_it_on_the_pages() {
    let issuer = Issuer::start().await.unwrap();
    let room = Room::with_people(&issuer).await;
    filled(&room).await;
    let stranger = Browser::new(&room);
    stranger.sign_in(Person::Manager).await;
    assert_eq!(stranger.get("/export").await.status, StatusCode::FORBIDDEN);
    let browser = Browser::new(&room);
    browser.sign_in(Person::Auditor).await;
    let page = browser.get("/export").await.text;
    assert!(page.contains(room.desk.log_key.public()));
    let csrf = browser.csrf().await;
    let forged = browser.upload("/export", &[("csrf", None, b"wrong")]).await;
    assert_eq!(forged.0, StatusCode::FORBIDDEN);
    let refused =
        browser.upload("/export", &[("csrf", None, csrf.as_bytes()), ("from", None, b"someday")]).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(&refused.2).contains("someday"));
    let people = b"email,roles\nana@example.com,analyst\n";
    let fields: [(&str, Option<&str>, &[u8]); 3] = [
        ("csrf", None, csrf.as_bytes()),
        ("person", None, b"ana@"),
        ("directory", Some("users.csv"), people),
    ];
    let (status, headers, zip) = browser.upload("/export", &fields).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, "application/zip"));
    assert!(headers["content-disposition"].to_str().unwrap().contains(".zip\""));
    let key = PublicKey::parse(room.desk.log_key.public()).unwrap();
    assert_eq!(verify(Cursor::new(&zip), &key, None).unwrap().records, 6);
    let mut changed = zip.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (file, status, word) in [
        (&zip, StatusCode::OK, "data-verdict=\"yes\""),
        (&changed, StatusCode::UNPROCESSABLE_ENTITY, "is not sound"),
    ] {
        let fields: [(&str, Option<&str>, &[u8]); 2] =
            [("csrf", None, csrf.as_bytes()), ("file", Some("e.zip"), file)];
        let reply = browser.upload("/verification", &fields).await;
        let page = String::from_utf8_lossy(&reply.2).into_owned();
        assert_eq!(reply.0, status, "{page}");
        assert!(page.contains(word), "{page}");
    }
    let first: [(&str, Option<&str>, &[u8]); 1] = [("file", Some("e.zip"), &zip)];
    assert_eq!(
        browser.upload("/verification", &first).await.0,
        StatusCode::FORBIDDEN,
        "the token comes first"
    );
    let events: Vec<String> = room.events().await.into_iter().map(|(event, _)| event).collect();
    for event in ["sign_in", "export", "verification"] {
        assert!(events.contains(&event.to_owned()), "{event} is not in {events:?}");
    }
}

#[tokio::test]
async fn a_records_page_has_its_approval_and_replays_its_stream() {
    let issuer = Issuer::start().await.unwrap();
    let room = Room::with_people(&issuer).await;
    let at = u64::try_from(room.clock.now()).unwrap() * 1_000 - 60_000_000;
    let mut chain = Chain::new("streams".into());
    let mut lines = vec![
        chain
            .seal(&full(Kind::Admission, "s1", "ana", "threads.create_run", EffectRecord::Allow, at))
            .unwrap()
            .bytes,
    ];
    for index in 0..2_u64 {
        let mut segment = Record::new(Kind::Segment, "s1", "gate", at + index);
        segment.segment = Some(graphwarden_policies::evidence::SegmentRecord {
            index,
            pieces: vec![graphwarden_policies::evidence::Piece(
                1_200 + index * 800,
                format!("data: <i>{index}</i> [EMAIL]\n\n"),
            )],
        });
        lines.push(chain.seal(&segment).unwrap().bytes);
    }
    let mut outcome = full(Kind::Outcome, "s1", "ana", "threads.create_run", EffectRecord::Allow, at + 9);
    let approval = outcome.approval.as_mut().unwrap();
    approval.decisions =
        serde_json::from_value(json!([{"approver": {"issuer": "i", "subject": "max", "name": "Max Manager"},
        "decision": "approve", "at": "2026-11-22T10:00:00.000000Z", "comment": "<b>go</b>"}]))
        .unwrap();
    lines.push(chain.seal(&outcome).unwrap().bytes);
    assert_eq!(room.hand_in(lines.join(&b'\n')).await.status, StatusCode::OK);
    let browser = Browser::new(&room);
    browser.sign_in(Person::Auditor).await;
    for position in 0..4 {
        let page = browser.get(&format!("/evidence/{position}")).await.text;
        for part in [
            "Max Manager",
            "data-ms=\"1200\"",
            "data-ms=\"2000\"",
            "2.000 s",
            "<mark>[EMAIL]</mark>",
            "/approvals/a1",
        ] {
            assert!(page.contains(part), "{part} is missing at {position}");
        }
        assert!(!page.contains("<i>0</i>") && !page.contains("<b>go</b>"), "what was sent is shown, not run");
    }
}

#[tokio::test]
async fn the_routes_of_auditors_want_a_session() {
    let issuer = Issuer::start().await.unwrap();
    let room = Room::with_people(&issuer).await;
    for path in ["/export", "/verification"] {
        assert_eq!(room.get(path).await.status, StatusCode::SEE_OTHER, "{path}");
        let post = Http::post(path)
            .header("content-type", "multipart/form-data; boundary=x")
            .body(Body::from("--x--\r\n"));
        assert_eq!(room.send(post.unwrap()).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}
