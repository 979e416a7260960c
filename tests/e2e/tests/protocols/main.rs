//! The same table of requests and answers in every protocol that Envoy speaks to callers (HTTP/1.1, HTTP/2, HTTP/3) and
//! to LangGraph (HTTP/1.1, HTTP/2): what is masked, refused and recorded does not depend on what it travels in.

mod answer;
mod client;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Checks, THREAD, expect_masked};
use graphwarden_stand::{
    Desk, Envoy, EnvoySetup, Issuer, Person, Site, Upstream, free_port, run, standard_policy, wait_until,
};
use serde_json::{Value, json};

use answer::{Request, Second, acts, first};
use client::{Ask, Got, Version, broke_off, offers_extended_connect};

const MANAGER: &str = "/filter_chains/0/filters/0/typed_config";
const RUN: &[u8] = br#"{"assistant_id": "support_agent", "input": {"note": "my ssn is 219-09-9999"}}"#;

struct Stand<'a> {
    site: &'a Site,
    issuer: Issuer,
    desk: Desk,
    envoy: Envoy,
    one: Upstream,
    two: Second,
    certificate: rcgen::Certificate,
}

/// The shipped configuration, with a listener for HTTP/3 beside it and a second cluster over HTTP/2.
fn configured(
    mut config: Value,
    port: u16,
    second: u16,
    certificate: [&std::path::Path; 2],
) -> Result<Value> {
    let resources = &mut config["static_resources"];
    let mut listener = resources["listeners"][0].clone();
    let manager = listener.pointer_mut(MANAGER).context("no connection manager")?;
    manager["http_protocol_options"] = json!({"enable_trailers": true});
    let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
    let mut by_two = routes[0].clone();
    by_two["match"]["headers"] = json!([{"name": "over", "string_match": {"exact": "h2"}}]);
    by_two["route"]["cluster"] = json!("langgraph-h2");
    routes.as_array_mut().context("routes")?.insert(0, by_two);
    let mut quic = listener.clone();
    quic["name"] = json!("gate-quic");
    quic["address"] =
        json!({"socket_address": {"protocol": "UDP", "address": "127.0.0.1", "port_value": port}});
    quic["udp_listener_config"] = json!({"quic_options": {}});
    let [chain, key] = certificate;
    quic["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": {"common_tls_context": {"tls_certificates": [
                {"certificate_chain": {"filename": chain}, "private_key": {"filename": key}},
            ]}},
        },
    });
    let manager = quic.pointer_mut(MANAGER).context("no connection manager")?;
    manager["codec_type"] = json!("HTTP3");
    // QUIC lets no more of a body come than its window while a request is held, and held bodies are whole before they
    // are judged: the windows have to be as large as the largest body.
    manager["http3_protocol_options"] = json!({"quic_protocol_options": {
        "initial_stream_window_size": 5_242_880, "initial_connection_window_size": 10_485_760,
    }});
    resources["listeners"] = json!([listener, quic]);
    let clusters = resources["clusters"].as_array_mut().context("clusters")?;
    let langgraph =
        clusters.iter_mut().find(|cluster| cluster["name"] == "langgraph").context("langgraph")?;
    let mut over_two = langgraph.clone();
    let options = |explicit: Value| {
        json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": explicit,
        }})
    };
    langgraph["typed_extension_protocol_options"] =
        options(json!({"http_protocol_options": {"enable_trailers": true}}));
    over_two["name"] = json!("langgraph-h2");
    over_two["load_assignment"]["cluster_name"] = json!("langgraph-h2");
    over_two["typed_extension_protocol_options"] = options(json!({"http2_protocol_options": {}}));
    let place = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
    *over_two.pointer_mut(place).context("no address")? = json!(second);
    clusters.push(over_two);
    Ok(config)
}

impl<'a> Stand<'a> {
    async fn start(site: &'a Site) -> Result<Self> {
        let (one, two) = (Upstream::start(acts).await?, Second::start().await?);
        let issuer = Issuer::start().await?;
        let desk = Desk::start(site, issuer.url()).await?;
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
        let chain = site.write("gate.pem", certificate.pem())?;
        let key = site.write("gate.key", key.serialize_pem())?;
        let (port, admin) = (free_port()?, free_port()?);
        let setup = EnvoySetup::new(standard_policy(&issuer)?, one.port(), desk.port(), issuer.port());
        let config = Envoy::rendered(site, &setup, &port, &admin)?;
        let config = configured(config, port.number(), two.port(), [&chain, &key])?.to_string();
        let envoy = Envoy::start_text(site, ("envoy", &config), (port, admin), &[]).await?;
        let stand = Self { site, issuer, desk, envoy, one, two, certificate };
        for version in [Version::One, Version::Three] {
            wait_until("the issuer's keys", Duration::from_secs(20), async || {
                stand.read(version, "h1", "").await.is_ok_and(|got| got.status == 200)
            })
            .await?;
        }
        Ok(stand)
    }

    fn ask(&self, method: &str, path: &str, over: &str, script: &str) -> Ask {
        let bearer = format!("Bearer {}", self.issuer.token(Person::Analyst));
        Ask::new(method, path).header("authorization", &bearer).header("over", over).header("script", script)
    }

    async fn send(&self, version: Version, ask: &Ask) -> Result<Got> {
        let got = ask.send(version, self.envoy.port(), &self.certificate).await?;
        expect_masked(&format!("{version:?} {} {}", ask.method, ask.path), &got.text())?;
        Ok(got)
    }

    async fn read(&self, version: Version, over: &str, script: &str) -> Result<Got> {
        let method = if script == "head" { "HEAD" } else { "GET" };
        self.send(version, &self.ask(method, &format!("/threads/{THREAD}"), over, script)).await
    }

    /// What reached either upstream.
    fn seen(&self) -> Vec<Request> {
        let mut all = first(&self.one);
        all.extend(self.two.seen());
        all
    }

    fn refused(got: &Got, status: u16, reason: &str) -> Result<()> {
        let body: Value =
            serde_json::from_slice(&got.body).with_context(|| format!("{} {}", got.status, got.text()))?;
        ensure!(got.status == status && body["reason"] == reason, "{} {body}", got.status);
        ensure!(body["detail"].is_string() && body["request_id"].is_string(), "{body}");
        Ok(())
    }

    async fn answers(&self, version: Version, over: &str) -> Result<()> {
        let got = self.read(version, over, "").await?;
        ensure!(got.status == 200 && got.complete, "{got:?}");
        let body: Value = serde_json::from_slice(&got.body)?;
        ensure!(body["owner"] == "[EMAIL]" && body["card"] == "[PAYMENT_CARD]", "{body}");
        let got = self.read(version, over, "sse").await?;
        ensure!(got.status == 200 && got.complete, "{got:?}");
        ensure!(
            got.text().contains("{\"a\":\"[EMAIL]\"}") && got.text().contains("{\"ssn\":\"[SSN]\"}"),
            "{}",
            got.text()
        );
        let got = self.read(version, over, "trailers").await?;
        ensure!(got.complete && got.text().contains("[EMAIL]") && got.text().contains("[US_SSN]"), "{got:?}");
        ensure!(
            got.trailers.get("x-sum").is_some_and(|sum| sum == "7") || version == Version::One,
            "{got:?}"
        );
        Ok(())
    }

    async fn bodiless(&self, version: Version, over: &str) -> Result<()> {
        let got = self.read(version, over, "head").await?;
        ensure!(got.status == 200 && got.complete && got.body.is_empty(), "{got:?}");
        ensure!(got.headers.get("content-length").is_some_and(|length| length == "1234"), "{got:?}");
        for (script, status) in [("204", 204), ("304", 304)] {
            let got = self.read(version, over, script).await?;
            ensure!(got.status == status && got.complete && got.body.is_empty(), "{got:?}");
        }
        Ok(())
    }

    async fn resets(&self, version: Version, over: &str) -> Result<()> {
        let got = self.read(version, over, "reset").await;
        ensure!(got.as_ref().map_or(true, |got| !got.complete), "made whole: {got:?}");
        // The caller resets, and the record says so.
        let before = self.gone()?;
        let mut ask = self.ask("GET", &format!("/threads/{THREAD}"), over, "endless");
        ask.leaves = true;
        self.send(version, &ask).await?;
        wait_until("the record of who left", Duration::from_secs(15), async || {
            self.gone().is_ok_and(|gone| gone > before)
        })
        .await
    }

    fn gone(&self) -> Result<usize> {
        let lines = self.desk.export(self.site)?;
        Ok(lines.iter().filter(|line| line["response"]["end"] == "client_gone").count())
    }

    async fn bodies(&self, version: Version, over: &str) -> Result<()> {
        let path = format!("/threads/{THREAD}/runs/wait");
        let runs = || self.seen().into_iter().filter(|seen| seen.body == RUN).collect::<Vec<_>>();
        let before = runs().len();
        let plain = self.ask("POST", &path, over, "").body(RUN.to_vec());
        for (what, ask) in [
            ("a body", plain.clone()),
            (
                "trailers behind it",
                plain.clone().trailer("x-sum", "7").trailer("x-graphwarden-subject", "u-mia"),
            ),
            ("100-continue", plain.clone().header("expect", "100-continue")),
        ] {
            let got = self.send(version, &ask).await.context(what)?;
            ensure!(got.status == 200 && got.complete, "{what}: {} {}", got.status, got.text());
        }
        let seen = runs();
        ensure!(seen.len() == before + 3, "{} of three were forwarded whole", seen.len() - before);
        for request in &seen {
            ensure!(request.trailers.is_empty(), "trailers were forwarded: {:?}", request.trailers);
            let credential =
                request.headers.iter().find(|(name, _)| name == "authorization" || name == "expect");
            ensure!(credential.is_none(), "{credential:?}");
        }
        let stranger = Ask::new("POST", &path).header("over", over).body(RUN.to_vec());
        Self::refused(&self.send(version, &stranger).await?, 401, "token_missing")?;
        ensure!(runs().len() == before + 3, "a stranger's was forwarded");
        Ok(())
    }

    async fn holds(&self, version: Version, over: &str) -> Result<()> {
        let manager = self.issuer.token(Person::Manager);
        let filler = "x".repeat(100_000);
        let body = json!({"assistant_id": "billing", "input": {"amount": format!("{version:?}{over}"), "filler": filler}});
        let body = body.to_string().into_bytes();
        let bearer = format!("Bearer {}", self.issuer.token(Person::Engineer));
        let ask = Ask::new("POST", &format!("/threads/{THREAD}/runs/wait"))
            .header("authorization", &bearer)
            .header("over", over)
            .body(body.clone());
        let deciding = async {
            let approval = self.desk.wait_for_approval(&manager, Duration::from_secs(15)).await?;
            ensure!(
                !self.seen().iter().any(|seen| seen.body == body),
                "it was forwarded before anybody agreed"
            );
            let id = approval["id"].as_str().context("no id")?;
            self.desk.decide(&manager, id, "approve", "").await
        };
        let (got, decided) = tokio::join!(self.send(version, &ask), deciding);
        let got = got?;
        ensure!(got.status == 200 && got.complete, "{} {}", got.status, got.text());
        ensure!(decided?.0 == 200);
        let seen = self.seen();
        ensure!(
            seen.iter().filter(|seen| seen.body == body).count() == 1,
            "it was not forwarded once and whole"
        );
        Ok(())
    }

    async fn switches(&self, version: Version, over: &str) -> Result<()> {
        let before = self.seen().len();
        let read = self.ask("GET", &format!("/threads/{THREAD}"), over, "");
        if version == Version::One {
            let websocket = read
                .clone()
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            // Envoy refuses it by itself, and says so without a body.
            ensure!(self.send(version, &websocket).await?.status == 403, "an upgrade was not refused");
            ensure!(self.seen().len() == before, "an upgrade was forwarded");
            let clear = read
                .clone()
                .header("connection", "upgrade, http2-settings")
                .header("upgrade", "h2c")
                .header("http2-settings", "AAMAAABkAAQAAP__");
            let got = self.send(version, &clear).await?;
            ensure!(got.status == 200 || got.status == 403, "h2c: {}", got.status);
            let upgraded = |seen: &Request| {
                seen.headers.iter().any(|(name, _)| name == "upgrade" || name == "http2-settings")
            };
            ensure!(!self.seen().iter().any(upgraded), "h2c was forwarded");
        }
        let before = self.seen().len();
        // HTTP/1.1 has tunnels by upgrades alone, which are above.
        let tunnel = (version != Version::One).then_some(("CONNECT", true));
        for (method, tunnels) in [("TRACE", false), ("CONNECT", false)].into_iter().chain(tunnel) {
            let mut ask = self.ask(method, &format!("/threads/{THREAD}"), over, "");
            ask.tunnels = tunnels;
            if method == "CONNECT" && version == Version::One {
                ask.path = "langgraph:443".to_owned();
            }
            match self.send(version, &ask).await {
                Ok(got) => {
                    ensure!(
                        (400..=405).contains(&got.status) || got.status == 501,
                        "{method}: {}",
                        got.status
                    );
                }
                // Who is not answered at all is refused by the protocol, and by Envoy, not by the client's library.
                Err(error) => ensure!(broke_off(&error), "{method}: {error:#}"),
            }
        }
        ensure!(self.seen().len() == before, "TRACE, CONNECT or a tunnel was forwarded");
        Ok(())
    }
}

#[test]
fn every_protocol_on_either_side_is_judged_masked_and_recorded_alike() {
    run("protocols", async |site: &Site| {
        let stand = Stand::start(site).await?;
        let mut checks = Checks::default();
        for version in [Version::One, Version::Two, Version::Three] {
            for over in ["h1", "h2"] {
                let name = |what: &str| format!("{version:?} to {over}: {what}");
                checks.check(&name("answers are masked"), stand.answers(version, over)).await;
                checks.check(&name("HEAD, 204 and 304"), stand.bodiless(version, over)).await;
                checks.check(&name("resets"), stand.resets(version, over)).await;
                checks.check(&name("bodies, trailers, 100-continue"), stand.bodies(version, over)).await;
                checks.check(&name("a held request"), stand.holds(version, over)).await;
                checks.check(&name("upgrades, CONNECT and TRACE"), stand.switches(version, over)).await;
            }
        }
        checks
            .check("extended CONNECT is not offered", async {
                ensure!(!offers_extended_connect(stand.envoy.port()).await?, "it is");
                Ok(())
            })
            .await;
        let log = stand.envoy.log_text();
        checks
            .check("no worker failed", async {
                ensure!(!log.contains("panicked") && !log.contains("Function: proxy_"), "{log}");
                Ok(())
            })
            .await;
        checks.outcome()
    });
}
