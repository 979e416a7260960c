//! What people are told: signed, masked, again with back-off, and as dead letters at last.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use graphwarden::clock::Clock;
use graphwarden::notify::{self, RawNotify, RawSlack, RawWebhook};
use graphwarden::settings::{Raw, Settings};
use graphwarden_stand::Issuer;
use serde_json::{Value, json};

use crate::contracts::{fits, schema};
use crate::pages::Browser;
use crate::room::{NOON, Room, ask, person};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver of the tests: what it got, and what it answers.
#[derive(Clone)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answer: Arc<Mutex<(StatusCode, Option<&'static str>)>>,
    url: String,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            got: Arc::default(),
            answer: Arc::new(Mutex::new((StatusCode::NO_CONTENT, None))),
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
        };
        let take = async |State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes| {
            receiver.got.lock().unwrap().push((headers, String::from_utf8(body.to_vec()).unwrap()));
            let (status, pause) = *receiver.answer.lock().unwrap();
            let location = ("location", "/elsewhere");
            (status, [location, ("retry-after", pause.unwrap_or("soon"))])
        };
        let app = Router::new()
            .route("/hook", post(take))
            .route("/elsewhere", post(async || -> StatusCode { panic!("a redirect was followed") }))
            .with_state(receiver.clone());
        tokio::spawn(async { axum::serve(listener, app).await });
        receiver
    }

    fn answers(&self, status: u16) {
        *self.answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), None);
    }

    fn take(&self) -> Vec<(HeaderMap, String)> {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    fn webhook(&self, events: &[&str]) -> RawNotify {
        let webhook = RawWebhook {
            name: "tickets".into(),
            url: self.url.clone(),
            secret_env: "SECRET".into(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            internal: true,
            ..RawWebhook::default()
        };
        RawNotify { webhooks: vec![webhook], ..RawNotify::default() }
    }
}

async fn room(notify: RawNotify) -> Room {
    Room::with(Raw { notify, ..Raw::default() }, Clock::standing_at(NOON)).await
}

/// Until nothing is due any more.
async fn round(room: &Room) {
    while notify::round(&room.desk).await.unwrap() > 0 {}
}

fn json_of(got: &[(HeaderMap, String)]) -> Vec<Value> {
    got.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
}

#[tokio::test]
async fn a_service_is_told_of_everything_once_and_every_message_verifies() {
    let receiver = Receiver::start().await;
    // The scheme refuses old messages, so the clock is the real one.
    let now = i64::try_from(graphwarden_stand::unix_now()).unwrap() * 1_000;
    let raw = Raw { notify: receiver.webhook(&[]), ..Raw::default() };
    let room = Room::with(raw, Clock::standing_at(now)).await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.ask(&ask("x2")).await;
    round(&room).await;
    room.decide(&id, &person("mia", &["manager"]), "approve").await.unwrap();
    round(&room).await;
    let mut other = ask("x3");
    other["digest"] = json!("ef".repeat(32));
    let other = room.ask(&other).await.json()["id"].as_str().unwrap().to_owned();
    room.withdraw(&other, "x3").await;
    round(&room).await;

    let got = receiver.take();
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (headers, body) in &got {
        library.verify(body.as_bytes(), headers).unwrap();
        assert!(ids.insert(headers["webhook-id"].to_str().unwrap().to_owned()));
        assert_eq!(headers["content-type"], "application/json");
    }
    let told = json_of(&got);
    let types: Vec<&str> = told.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["approval.asked", "approval.approved", "approval.asked", "approval.cancelled"]);
    let document = room.get("/openapi.json").await.json();
    told.iter().for_each(|told| fits(&document, schema(&document, "Told"), told, "told"));
    let data = &told[0]["data"];
    assert_eq!(data["url"], format!("http://127.0.0.1:8400/approvals/{id}"));
    assert_eq!(data["what"], "Run the graph billing");
    assert_eq!(data["requester"], json!({"initials": "A. A.", "roles": ["analyst"]}));
    assert_eq!(told[1]["data"]["agreed"], 1);
}

#[tokio::test]
async fn nothing_personal_and_nothing_of_the_payload_is_told() {
    let receiver = Receiver::start().await;
    let mut told = receiver.webhook(&[]);
    told.slack = vec![RawSlack {
        name: "chat".into(),
        url_env: "SLACK".into(),
        internal: true,
        ..RawSlack::default()
    }];
    let url = receiver.url.clone();
    let mut problems = Vec::new();
    let environment = |name: &str| match name {
        "SLACK" => Some(url.clone()),
        name => crate::room::environment(name),
    };
    let notify = notify::Notify::resolve(told, &environment, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let mut room = room(RawNotify::default()).await;
    room.tell(notify).await;

    let mut asked = ask("x1");
    asked["rule"] = json!("ask zoe.obrien@example.com or 078-05-1120");
    asked["gateway"] = json!("gate <!channel> & 4111 1111 1111 1111");
    asked["operations"][0]["graph"] = json!("ravi.iyer@example.com");
    asked["operations"][0]["thread"] = json!("thread-of-zoe.obrien@example.com");
    asked["requester"]["roles"] = json!(["friend of zoe.obrien@example.com"]);
    asked["preview"]["body"] = json!("{\"note\": \"s3cret-payload\"}");
    let id = room.ask(&asked).await.json()["id"].as_str().unwrap().to_owned();
    let given = serde_json::from_value(json!({"decision": "deny", "comment": "s3cret-comment"})).unwrap();
    room.desk.decide(&id, &person("mia", &["manager"]), &given).await.unwrap();
    let mut past = ask("x2");
    past["asks"]["break_glass"] = json!({"reason": "s3cret-reason"});
    room.ask(&past).await;
    round(&room).await;
    let got = receiver.take();
    assert_eq!(got.len(), 6);
    for (_, body) in &got {
        for secret in
            ["obrien", "078-05", "4111 1111", "ravi", "s3cret", "Ana Analyst", "ana@example.com", "mia"]
        {
            assert!(!body.contains(secret), "{secret} in {body}");
        }
        assert!(!body.contains("<!channel>") || body.contains("\"data\""), "a mention for Slack: {body}");
        assert!(body.contains("/approvals/"), "no link: {body}");
    }
}

#[tokio::test]
async fn what_is_not_taken_comes_again_with_back_off_and_is_a_dead_letter_at_last() {
    let receiver = Receiver::start().await;
    let room = room(receiver.webhook(&["asked"])).await;
    receiver.answers(500);
    room.ask(&ask("x1")).await;
    let mut waits = Vec::new();
    let mut seen = Vec::new();
    for _ in 0..10 {
        let before = room.clock.now();
        let mut waited = 0;
        while receiver.got.lock().unwrap().is_empty() {
            assert!(waited <= 86_400_000, "never tried again");
            round(&room).await;
            if receiver.got.lock().unwrap().is_empty() {
                // Half of what has passed, so that the measure is within a factor of the truth.
                room.clock.advance(500 + waited / 20);
                waited = room.clock.now() - before;
            }
        }
        waits.push(waited);
        seen.extend(receiver.take());
    }
    assert!(waits[0] == 0 && waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
    assert!((4_000..=7_000).contains(&waits[1]), "{waits:?}");
    // The same message each time, so that a receiver can tell.
    assert!(
        seen.iter()
            .all(|(headers, body)| headers["webhook-id"] == seen[0].0["webhook-id"] && *body == seen[0].1)
    );
    room.clock.advance(90_000_000);
    round(&room).await;
    assert!(
        receiver.take().iter().all(|(_, body)| !body.contains("approval.asked")),
        "a dead letter was sent"
    );
    let dead = room.desk.store.deliveries(Some(graphwarden::store::DeliveryState::Dead), 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].attempts), (1, 10));
    assert_eq!(dead[0].error.as_deref(), Some("it answered 500 Internal Server Error"));
    let events: Vec<String> = room.events().await.into_iter().map(|(event, _)| event).collect();
    assert!(events.contains(&"notification_dead".to_owned()), "{events:?}");
}

#[tokio::test]
async fn a_receiver_can_ask_for_a_pause_or_for_an_end_and_leads_nobody_elsewhere() {
    let receiver = Receiver::start().await;
    let room = room(receiver.webhook(&["asked"])).await;
    *receiver.answer.lock().unwrap() = (StatusCode::TOO_MANY_REQUESTS, Some("600"));
    room.ask(&ask("x1")).await;
    round(&room).await;
    room.clock.advance(590_000);
    round(&room).await;
    assert_eq!(receiver.take().len(), 1, "it was not left alone");
    receiver.answers(308);
    room.clock.advance(80_000);
    round(&room).await;
    assert_eq!(receiver.take().len(), 1);
    receiver.answers(410);
    room.clock.advance(10_000_000);
    round(&room).await;
    let dead = room.desk.store.deliveries(Some(graphwarden::store::DeliveryState::Dead), 10).await.unwrap();
    assert_eq!(dead.len(), 1, "410 ends it at once");
}

#[tokio::test]
async fn an_approval_whose_time_runs_out_is_told_of_though_nobody_looks() {
    let receiver = Receiver::start().await;
    let room = room(receiver.webhook(&["expired"])).await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    room.clock.advance(3_600_000);
    round(&room).await;
    round(&room).await;
    let told = json_of(&receiver.take());
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["data"]["approval"], &told[0]["data"]["status"]), (&json!(id), &json!("expired")));
}

#[tokio::test]
async fn what_one_desk_took_and_never_sent_another_sends() {
    let receiver = Receiver::start().await;
    let room = room(receiver.webhook(&["asked"])).await;
    room.ask(&ask("x1")).await;
    let now = room.clock.now();
    let taken = room.desk.store.take_due("tickets", 10, now, now + 60_000).await.unwrap();
    assert_eq!(taken.len(), 1);
    round(&room).await;
    assert!(receiver.take().is_empty(), "two desks sent the same message");
    room.clock.advance(60_000);
    round(&room).await;
    assert_eq!(receiver.take().len(), 1);
}

#[tokio::test]
async fn dead_letters_stand_on_a_page_and_are_sent_again_from_there_and_by_the_api() {
    let issuer = Issuer::start().await.unwrap();
    let receiver = Receiver::start().await;
    let raw = Raw {
        notify: receiver.webhook(&["asked"]),
        issuer: Some(issuer.url().to_owned()),
        audiences: vec![issuer.audience().to_owned()],
        ..Raw::default()
    };
    let now = i64::try_from(graphwarden_stand::unix_now()).unwrap() * 1_000;
    let room = Room::with(raw, Clock::standing_at(now)).await;
    receiver.answers(410);
    room.ask(&ask("x1")).await;
    round(&room).await;
    receiver.take();
    receiver.answers(204);

    let token = issuer.token(graphwarden_stand::Person::Manager);
    let listed = room.call(&token, "GET", "/v1/notifications?state=dead", None).await.json();
    let document = room.get("/openapi.json").await.json();
    fits(&document, schema(&document, "Notification"), &listed["notifications"][0], "notification");
    let id = listed["notifications"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed["notifications"][0]["error"], "it answered 410 Gone");
    assert_eq!(room.call(&token, "GET", "/v1/notifications?state=lost", None).await.reason(), "malformed");
    assert_eq!(room.get("/v1/notifications").await.reason(), "sign_in");

    let browser = Browser::new(&room);
    browser.sign_in(graphwarden_stand::Person::Manager).await;
    let page = browser.get("/notifications").await.text;
    assert!(page.contains("it answered 410 Gone") && page.contains("webhook tickets: asked"), "{page}");
    let path = format!("/notifications/{id}/retry");
    assert_eq!(browser.post(&path, &[("csrf", "forged")]).await.status, StatusCode::FORBIDDEN);
    let csrf = browser.csrf().await;
    assert_eq!(browser.post(&path, &[("csrf", &csrf)]).await.status, StatusCode::SEE_OTHER);
    round(&room).await;
    assert_eq!(receiver.take().len(), 1);
    let again = room.call(&token, "POST", &format!("/v1/notifications/{id}/retry"), None).await;
    assert_eq!(again.reason(), "not_a_dead_letter");
    let missing = room.call(&token, "POST", "/v1/notifications/msg_0/retry", None).await;
    assert_eq!(missing.reason(), "not_found");
    let events: Vec<String> = room.events().await.into_iter().map(|(event, _)| event).collect();
    assert!(events.contains(&"notification_retried".to_owned()), "{events:?}");
}

#[test]
fn wrong_settings_are_named_with_their_place_and_without_secrets() {
    let yaml = r#"
notify:
  webhooks:
    - { name: "a b", url: "https://10.0.0.1/", secret_env: SHORT }
    - { name: two, url: "http://hooks.example.com/", secret_env: NONE, events: [nothing] }
    - { name: three, url: "https://hooks.example.com/", secret_env: SECRET, template: "{{ nothing }}" }
  slack:
    - { name: two, url_env: SHORT }
  mail:
    - { name: post, server: mail.example.com, from: nobody, to: [] }
    - { name: paper, server: mail.example.com, from: a@example.com, to: [b@example.com], user: desk, password_env: SHORT, plaintext: true }
"#;
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), yaml).unwrap();
    let raw = Raw::read(path.path()).unwrap();
    let environment = |name: &str| match name {
        "SHORT" => Some("hunter2".to_owned()),
        name => crate::room::environment(name),
    };
    let Err(error) = Settings::resolve(raw, &environment) else { panic!("must not resolve") };
    let text = error.to_string();
    for place in [
        "notify.webhooks[0].name",
        "notify.webhooks[0].url",
        "notify.webhooks[0].secret_env",
        "notify.webhooks[1].url",
        "notify.webhooks[1].secret_env",
        "notify.webhooks[1].events",
        "notify.webhooks[2].template",
        "notify.slack[0].name",
        "notify.slack[0].url_env",
        "notify.mail[0]",
        "notify.mail[1]: a password is not sent without TLS",
    ] {
        assert!(text.contains(place), "{place} is missing in {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn the_documents_settings_are_taken() {
    let page = include_str!("../../../docs/approvals.md");
    let yaml = page.split("```yaml,desk\n").nth(1).unwrap().split("```").next().unwrap();
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), yaml).unwrap();
    let raw = Raw::read(path.path()).unwrap();
    let environment = |name: &str| match name {
        "TICKETS_SECRET" => Some(SECRET.to_owned()),
        "SLACK_URL" => Some("https://hooks.slack.example/services/T0/B0/x".to_owned()),
        "SMTP_PASSWORD" => Some("hunter2-hunter2".to_owned()),
        "GRAPHWARDEN_LOG_KEY" => Some(graphwarden::log::LogKey::new_private()),
        name => crate::room::environment(name),
    };
    let settings = Settings::resolve(raw, &environment).unwrap();
    assert_eq!(settings.notify.in_words(), "webhook tickets, slack approvers, mail managers");
    assert!(settings.summary().contains("told are webhook tickets"), "{}", settings.summary());
}
