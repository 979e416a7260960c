//! The pages: signing in at a real issuer, reading, deciding, and every form that is refused.

use std::cell::RefCell;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use graphwarden_stand::{Issuer, Person};
use serde_json::json;

use crate::room::{Reply, Room, ask};

/// A browser as far as the desk can tell: it keeps cookies and follows to the issuer and back.
pub(crate) struct Browser<'a> {
    room: &'a Room,
    cookies: RefCell<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(room: &'a Room) -> Self {
        Self { room, cookies: RefCell::default() }
    }

    async fn send(&self, method: &str, path: &str, form: Option<&[(&str, &str)]>) -> Reply {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let body =
            form.map(|form| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("cookie", cookies.join("; "))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.map_or_else(Body::empty, Body::from))
            .unwrap();
        let reply = self.room.send(request).await;
        for cookie in reply.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap();
            assert!(text.contains("HttpOnly") && text.contains("SameSite=Lax"), "{text}");
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
        }
        reply
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        self.send("POST", path, Some(form)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    /// Begins a sign-in, chooses a person at the issuer, and returns the path that leads back to the desk.
    async fn way_back(&self, person: Person, return_to: &str) -> String {
        let to_issuer = self.get(&format!("/sign-in?return_to={return_to}")).await;
        assert_eq!(to_issuer.status, StatusCode::SEE_OTHER);
        let url = to_issuer.headers["location"].to_str().unwrap();
        for part in ["code_challenge_method=S256", "nonce=", "state=", "scope=openid"] {
            assert!(url.contains(part), "{part} is missing in {url}");
        }
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let back = client.get(format!("{url}&person={}", person.role())).send().await.unwrap();
        let back = url::Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
        format!("{}?{}", back.path(), back.query().unwrap())
    }

    pub(crate) async fn sign_in(&self, person: Person) {
        let path = self.way_back(person, "/history").await;
        let reply = self.get(&path).await;
        assert_eq!(
            (reply.status, reply.headers["location"].to_str().unwrap()),
            (StatusCode::SEE_OTHER, "/history")
        );
    }

    /// The token that forms carry.
    pub(crate) async fn csrf(&self) -> String {
        let page = self.get("/").await.text;
        page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// Sends a form with files: each field's name, its file's name where it is one, and its bytes.
    pub(crate) async fn upload(
        &self,
        path: &str,
        fields: &[(&str, Option<&str>, &[u8])],
    ) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut body = Vec::new();
        for (name, file, bytes) in fields {
            let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
            let head = format!("--b0undary\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
            body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
        }
        body.extend(b"--b0undary--\r\n");
        let request = Request::post(path)
            .header("cookie", cookies.join("; "))
            .header("content-type", "multipart/form-data; boundary=b0undary")
            .body(Body::from(body))
            .unwrap();
        self.room.answer(request).await
    }

    async fn decide(&self, id: &str, word: &str, comment: &str) -> Reply {
        let csrf = self.csrf().await;
        let form = [("csrf", csrf.as_str()), ("decision", word), ("comment", comment)];
        self.send("POST", &format!("/approvals/{id}/decision"), Some(&form)).await
    }
}

async fn open() -> (Issuer, Room, String) {
    let issuer = Issuer::start().await.unwrap();
    let room = Room::with_people(&issuer).await;
    let id = room.ask(&ask("x1")).await.json()["id"].as_str().unwrap().to_owned();
    (issuer, room, id)
}

#[tokio::test]
async fn a_manager_signs_in_reads_and_approves() {
    let (_issuer, room, id) = open().await;
    let browser = Browser::new(&room);
    assert!(browser.get("/").await.text.contains("Sign in"));
    browser.sign_in(Person::Manager).await;
    let list = browser.get("/").await.text;
    assert!(list.contains("Run the graph billing") && list.contains("Ana Analyst"), "{list}");
    let page = browser.get(&format!("/approvals/{id}")).await.text;
    for text in
        ["Run the graph billing", "production writes need a manager", "ana@example.com", "assistant_id"]
    {
        assert!(page.contains(text), "{text} is missing");
    }
    let reply = browser.decide(&id, "approve", "go on").await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
    assert_eq!(room.ask(&ask("x1")).await.json()["status"], "approved");
    let page = browser.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("go on") && page.contains("Approved, and carried out"), "{page}");
    assert!(browser.get("/history?status=approved&text=billing").await.text.contains(&id));
    assert!(!browser.get("/history?status=denied").await.text.contains(&id));
    let events: Vec<String> = room.events().await.into_iter().map(|(event, _)| event).collect();
    assert_eq!(events, ["sign_in", "decision"]);
}

#[tokio::test]
async fn a_link_to_a_request_comes_back_to_it_after_the_sign_in() {
    let (_issuer, room, id) = open().await;
    let browser = Browser::new(&room);
    let reply = browser.get(&format!("/approvals/{id}")).await;
    assert_eq!(
        reply.headers["location"].to_str().unwrap(),
        format!("/sign-in?return_to=%2Fapprovals%2F{id}")
    );
    let path = browser.way_back(Person::Manager, &format!("%2Fapprovals%2F{id}")).await;
    assert_eq!(browser.get(&path).await.headers["location"].to_str().unwrap(), format!("/approvals/{id}"));
    let path = browser.way_back(Person::Manager, "https%3A%2F%2Fevil.example").await;
    assert_eq!(browser.get(&path).await.headers["location"], "/");
}

#[tokio::test]
async fn the_page_says_why_someone_may_not_decide() {
    let (_issuer, room, id) = open().await;
    let browser = Browser::new(&room);
    browser.sign_in(Person::Engineer).await;
    let page = browser.get(&format!("/approvals/{id}")).await.text;
    assert!(
        page.contains("Only the role manager may decide") && page.contains("the role engineer"),
        "{page}"
    );
    assert!(!page.contains("value=\"approve\""));
    let reply = browser.decide(&id, "approve", "kept text").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(reply.text.contains("role=\"alert\""));
    assert_eq!(room.ask(&ask("x1")).await.json()["status"], "pending");
}

#[tokio::test]
async fn late_and_double_decisions_change_nothing_and_say_so() {
    let (_issuer, room, id) = open().await;
    let browser = Browser::new(&room);
    browser.sign_in(Person::Manager).await;
    assert_eq!(browser.decide(&id, "deny", "").await.status, StatusCode::SEE_OTHER);
    let twice = browser.decide(&id, "approve", "").await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(twice.text.contains("your first decision stands"));
    let mut other = ask("x2");
    other["digest"] = json!("ef".repeat(32));
    let late = room.ask(&other).await.json()["id"].as_str().unwrap().to_owned();
    room.clock.advance(3_600_000);
    let reply = browser.decide(&late, "approve", "").await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.text.contains("expired already"), "{}", reply.text);
    let reasons: Vec<Option<String>> = room.events().await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, [None, None, Some("decided_before".into()), Some("late_decision".into())]);
}

#[tokio::test]
async fn forms_that_are_not_the_desks_own_are_refused() {
    let (_issuer, room, id) = open().await;
    let browser = Browser::new(&room);
    let path = format!("/approvals/{id}/decision");
    let out = browser.send("POST", &path, Some(&[("csrf", "x"), ("decision", "approve")])).await;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED, "nobody is signed in");
    browser.sign_in(Person::Manager).await;
    for form in [
        &[("decision", "approve")][..],
        &[("csrf", ""), ("decision", "approve")],
        &[("csrf", "forged"), ("decision", "approve")],
    ] {
        assert_eq!(browser.send("POST", &path, Some(form)).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(
        browser.send("POST", "/sign-out", Some(&[("csrf", "forged")])).await.status,
        StatusCode::FORBIDDEN
    );
    let csrf = browser.csrf().await;
    assert_eq!(
        browser.send("POST", &path, Some(&[("csrf", &csrf), ("decision", "maybe")])).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(room.ask(&ask("x1")).await.json()["status"], "pending");
}

#[tokio::test]
async fn a_sign_in_works_once_in_the_browser_that_began_it() {
    let (issuer, room, _) = open().await;
    let browser = Browser::new(&room);
    let path = browser.way_back(Person::Manager, "/").await;
    let stranger = Browser::new(&room);
    assert_eq!(stranger.get(&path).await.status, StatusCode::BAD_REQUEST, "login CSRF");
    let cookie = browser.cookies.borrow().clone();
    assert_eq!(browser.get(&path).await.status, StatusCode::SEE_OTHER);
    *browser.cookies.borrow_mut() = cookie;
    assert_eq!(browser.get(&path).await.status, StatusCode::BAD_REQUEST, "a state works once");
    let mixed =
        browser.way_back(Person::Manager, "/").await.replace("&iss=", "&iss=https%3A%2F%2Fevil.example%2F");
    assert_eq!(browser.get(&mixed).await.status, StatusCode::BAD_REQUEST, "another issuer's answer");
    let refused = browser.way_back(Person::Manager, "/").await.replace("code=", "error=access_denied&x=");
    assert_eq!(browser.get(&refused).await.status, StatusCode::BAD_REQUEST);
    let wrong = browser.way_back(Person::Manager, "/").await.replace("code=", "code=0");
    assert_eq!(browser.get(&wrong).await.status, StatusCode::BAD_REQUEST);
    let slow = browser.way_back(Person::Manager, "/").await;
    room.clock.advance(600_000);
    assert_eq!(browser.get(&slow).await.status, StatusCode::BAD_REQUEST, "too late");
    let other = Browser::new(&room);
    let path = other.way_back(Person::Manager, "/").await;
    issuer.set_down(true);
    assert_eq!(other.get(&path).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_session_ends_by_time_and_by_signing_out() {
    let (_issuer, room, _) = open().await;
    let browser = Browser::new(&room);
    browser.sign_in(Person::Manager).await;
    let before = browser.cookies.borrow().clone();
    let csrf = browser.csrf().await;
    assert_eq!(
        browser.send("POST", "/sign-out", Some(&[("csrf", &csrf)])).await.status,
        StatusCode::SEE_OTHER
    );
    *browser.cookies.borrow_mut() = before;
    assert_eq!(
        browser.get("/history").await.status,
        StatusCode::SEE_OTHER,
        "the old cookie is worth nothing"
    );
    browser.sign_in(Person::Manager).await;
    assert_eq!(browser.get("/history").await.status, StatusCode::OK);
    room.clock.advance(8 * 3_600_000);
    assert_eq!(browser.get("/history").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn evidence_is_for_auditors_and_reading_it_is_recorded() {
    let (_issuer, room, id) = open().await;
    room.hand_in(crate::evidence::lines("one", 3).join(&b'\n')).await;
    let manager = Browser::new(&room);
    manager.sign_in(Person::Manager).await;
    for path in ["/evidence", "/evidence/0", "/findings"] {
        let reply = manager.get(path).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert!(reply.text.contains("needs one of the roles auditor"), "{}", reply.text);
    }
    let auditor = Browser::new(&room);
    auditor.sign_in(Person::Auditor).await;
    let page = auditor.get("/evidence?kind=outcome").await.text;
    assert!(page.contains("/evidence/2") && !page.contains("sign in"), "{page}");
    assert!(auditor.get("/evidence?kind=outcome&to=2001-01-01").await.text.contains("Nothing found"));
    assert!(auditor.get("/evidence?from=soon").await.text.contains("is not a date"));
    assert!(auditor.get("/evidence/1").await.text.contains("Ledger position"));
    assert_eq!(auditor.get("/evidence/999").await.status, StatusCode::NOT_FOUND);
    assert!(auditor.get("/findings").await.text.contains("Every chain is complete"));
    assert_eq!(auditor.get(&format!("/approvals/{id}")).await.status, StatusCode::OK);
    let read = room.events().await.iter().filter(|(event, _)| event == "evidence_read").count();
    assert_eq!(read, 5, "three searches, a record, the findings");
}

#[tokio::test]
async fn what_people_write_is_text_and_never_markup() {
    let (_issuer, room, _) = open().await;
    let mut request = ask("x2");
    let nasty = "<script>alert(1)</script>\"'&";
    request["rule"] = json!(nasty);
    request["requester"]["name"] = json!(nasty);
    request["operations"][0]["graph"] = json!(nasty);
    request["preview"]["body"] = json!(nasty);
    request["preview"]["path"] = json!(nasty);
    let id = room.ask(&request).await.json()["id"].as_str().unwrap().to_owned();
    let browser = Browser::new(&room);
    browser.sign_in(Person::Manager).await;
    browser.decide(&id, "approve", nasty).await;
    for path in ["/", "/history", &format!("/approvals/{id}"), &format!("/fragments/approvals/{id}")] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.text.contains("<script>alert"), "{path}");
    }
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_nothing_inline() {
    let (_issuer, room, id) = open().await;
    let browser = Browser::new(&room);
    browser.sign_in(Person::Auditor).await;
    for path in ["/", "/history", &format!("/approvals/{id}"), "/evidence", "/findings", "/nothing"] {
        let page = browser.get(path).await.text;
        for bad in ["http://", "https://", "//cdn", " style=", " onclick=", "<style", "<script>"] {
            let allowed = bad.starts_with("http") && page.contains("idp.example");
            assert!(allowed || !page.contains(bad), "{path} has {bad}");
        }
        for asset in page.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let reply = browser.get(&format!("/assets/{asset}")).await;
            assert_eq!(reply.status, StatusCode::OK, "{asset}");
            assert!(reply.headers["cache-control"].to_str().unwrap().contains("immutable"));
        }
    }
}

#[tokio::test]
async fn without_an_issuer_the_pages_say_so() {
    let room = Room::open().await;
    let reply = room.get("/").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert!(reply.text.contains("No OIDC issuer is configured"), "{}", reply.text);
}
