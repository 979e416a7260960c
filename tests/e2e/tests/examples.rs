//! The examples of `envoy/` serve one request of each kind: refused, masked, streamed, agreed to by a manager.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::THREAD;
use graphwarden_stand::{
    Act, Desk, Envoy, Issuer, Person, Port, Reply, Seen, Site, Tools, Upstream, free_port, run, wait_until,
};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

const EMAIL: &str = "zoe.obrien@example.com";

/// A stand-in for LangGraph: streams where a stream is asked for, and names itself.
fn script(name: &'static str) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    move |seen| {
        if seen.target.ends_with("/stream") {
            let parts: [&[u8]; 2] = [b"data: {\"text\":\"zoe.obrien@exam", b"ple.com\"}\n\n"];
            return Reply::chunked(200, &[("content-type", "text/event-stream")], &parts, &[]);
        }
        Reply::json(200, &json!({"server": name, "owner": EMAIL}))
    }
}

/// A caller's view of a gate.
struct Caller<'a> {
    client: Client,
    base: String,
    issuer: &'a Issuer,
}

impl Caller<'_> {
    async fn post(&self, person: Option<Person>, path: &str, body: &Value) -> Result<Response> {
        let mut request = self.client.post(format!("{}{path}", self.base)).json(body);
        if let Some(person) = person {
            request = request.bearer_auth(self.issuer.token(person));
        }
        request.send().await.with_context(|| path.to_owned())
    }

    /// One request of each kind, except the one that a manager agrees to.
    async fn reads(&self, server: &str, streams: bool) -> Result<()> {
        wait_until("the issuer's keys", Duration::from_secs(15), async || {
            let answer = self.post(Some(Person::Analyst), "/assistants/search", &json!({})).await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await?;
        let answer = self.post(None, "/assistants/search", &json!({})).await?;
        ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{}", answer.status());
        let answer = self.post(Some(Person::Analyst), "/assistants/search", &json!({})).await?;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        let body: Value = answer.json().await?;
        ensure!(body["server"] == server && body["owner"] != EMAIL, "{body}");
        if streams {
            let path = format!("/threads/{THREAD}/runs/stream");
            let answer =
                self.post(Some(Person::Analyst), &path, &json!({"assistant_id": "support_agent"})).await?;
            ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
            let text = answer.text().await?;
            ensure!(text.contains("data: ") && !text.contains("zoe"), "{text}");
        }
        Ok(())
    }

    /// A run that waits until a manager agrees.
    async fn agreed(&self, desk: &Desk, server: &str) -> Result<()> {
        let path = format!("/threads/{THREAD}/runs/wait");
        let body = json!({"assistant_id": "billing"});
        let manager = self.issuer.token(Person::Manager);
        let (answer, decided) = tokio::join!(self.post(Some(Person::Engineer), &path, &body), async {
            let approval = desk.wait_for_approval(&manager, Duration::from_secs(15)).await?;
            let id = approval["id"].as_str().context("no id")?;
            desk.decide(&manager, id, "approve", "yes").await
        });
        ensure!(decided?.0 == 200, "the manager's decision was not taken");
        let answer = answer?;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        ensure!(answer.json::<Value>().await?["server"] == server, "another server answered");
        Ok(())
    }
}

fn example(name: &str) -> Result<Value> {
    let path = Tools::find().root().join("envoy").join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_saphyr::from_str(&text)?)
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// Points an example at the stand: its listener, admin page, issuer, module and clusters. TLS stays as it is, but to the
/// issuer, which has none.
fn point(
    site: &Site,
    config: &mut Value,
    issuer: &Issuer,
    ports: [&Port; 2],
    clusters: &[(&str, u16)],
) -> Result<()> {
    config["admin"]["address"] = address(ports[1].number());
    let listener = &mut config["static_resources"]["listeners"][0];
    listener["address"] = address(ports[0].number());
    let plugin = listener
        .pointer_mut("/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config")
        .context("no filter")?;
    plugin["vm_config"]["code"]["local"]["filename"] = json!(site.tools().module()?);
    plugin["configuration"]["value"]["identity"]["issuers"][0]["issuer"] = json!(issuer.url());
    for cluster in config["static_resources"]["clusters"].as_array_mut().context("clusters")? {
        let name = cluster["name"].as_str().unwrap_or_default().to_owned();
        let port = match name.as_str() {
            "idp" => issuer.port(),
            _ => clusters.iter().find(|(known, _)| *known == name).with_context(|| name.clone())?.1,
        };
        cluster["type"] = json!("STATIC");
        cluster["load_assignment"]["endpoints"] =
            json!([{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]);
        if let Some(members) = cluster.as_object_mut().filter(|_| name == "idp") {
            members.remove("transport_socket");
        }
    }
    Ok(())
}

#[test]
fn several_deployments_stand_behind_one_gate() {
    run("deployments", async |site: &Site| {
        let issuer = Issuer::start().await?;
        let desk = Desk::start(site, issuer.url()).await?;
        let support = Upstream::start(script("support")).await?;
        let billing = Upstream::start(script("billing")).await?;
        let (port, admin) = (free_port()?, free_port()?);
        let mut config = example("deployments.yaml")?;
        let clusters = [
            ("langgraph-support", support.port()),
            ("langgraph-billing", billing.port()),
            ("desk", desk.port()),
        ];
        point(site, &mut config, &issuer, [&port, &admin], &clusters)?;
        Envoy::validate_config(site, &config).await?;
        let envoy = Envoy::start_text(site, ("gate", &config.to_string()), (port, admin), &[]).await?;
        let at = SocketAddr::from(([127, 0, 0, 1], envoy.port()));
        let client = Client::builder()
            .resolve("support.example.com", at)
            .resolve("billing.example.com", at)
            .resolve("other.example.com", at)
            .build()?;
        let caller = |host: &str| Caller {
            client: client.clone(),
            base: format!("http://{host}.example.com:{}", at.port()),
            issuer: &issuer,
        };
        caller("support").reads("support", true).await?;
        caller("billing").agreed(&desk, "billing").await?;
        let analyst = caller("billing").post(Some(Person::Analyst), "/assistants/search", &json!({})).await?;
        ensure!(analyst.status() == StatusCode::FORBIDDEN, "{}", analyst.status());
        let nowhere = caller("other").post(Some(Person::Analyst), "/assistants/search", &json!({})).await?;
        ensure!(nowhere.status() == StatusCode::FORBIDDEN, "{}", nowhere.status());
        ensure!(billing.seen().len() == 1, "billing saw {} requests", billing.seen().len());
        Ok(())
    });
}

/// Authorities and certificates of the parts, as files where the examples look for them.
struct Certificates {
    caller: String,
    authority: String,
}

/// Each certificate has a name of its own: one with its issuer's name would be taken for self-signed.
fn named(name: &str, hosts: Vec<String>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    Ok(params)
}

fn certificates(folder: &Path) -> Result<Certificates> {
    let authority = |name: &str| -> Result<(rcgen::Certificate, rcgen::Issuer<'static, KeyPair>)> {
        let mut params = named(name, Vec::new())?;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok((certificate, rcgen::Issuer::new(params, key)))
    };
    let (parts, parts_issuer) = authority("the parts' authority")?;
    let (callers, callers_issuer) = authority("the callers' authority")?;
    let signed = |name: &str, issuer: &rcgen::Issuer<'static, KeyPair>| -> Result<(String, String)> {
        let mut params = named(name, vec![name.to_owned()])?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
    };
    fs::create_dir_all(folder)?;
    fs::write(folder.join("parts-ca.crt"), parts.pem())?;
    fs::write(folder.join("callers-ca.crt"), callers.pem())?;
    for name in ["gate", "desk", "langgraph"] {
        let (certificate, key) = signed(&format!("{name}.internal"), &parts_issuer)?;
        fs::write(folder.join(format!("{name}.crt")), certificate)?;
        fs::write(folder.join(format!("{name}.key")), key)?;
    }
    let (certificate, key) = signed("ana.example.com", &callers_issuer)?;
    Ok(Certificates { caller: format!("{certificate}{key}"), authority: parts.pem() })
}

#[test]
fn every_way_is_closed_to_whoever_has_no_certificate() {
    run("tls", async |site: &Site| {
        let folder = site.folder().join("tls");
        let certificates = certificates(&folder)?;
        let issuer = Issuer::start().await?;
        let desk = Desk::start(site, issuer.url()).await?;
        let upstream = Upstream::start(script("langgraph")).await?;
        let placed =
            |config: &Value| config.to_string().replace("/etc/envoy/tls", &folder.display().to_string());

        let (desk_tls, langgraph_tls, beside_admin) = (free_port()?, free_port()?, free_port()?);
        let mut beside = example("tls/beside.yaml")?;
        beside["admin"] = json!({ "address": address(beside_admin.number()) });
        for (index, (listen, behind)) in
            [(desk_tls.number(), desk.port()), (langgraph_tls.number(), upstream.port())]
                .into_iter()
                .enumerate()
        {
            let resources = &mut beside["static_resources"];
            resources["listeners"][index]["address"] = address(listen);
            resources["clusters"][index]["load_assignment"]["endpoints"] =
                json!([{"lb_endpoints": [{"endpoint": {"address": address(behind)}}]}]);
        }
        Envoy::validate_text(site, &placed(&beside)).await?;
        let _beside =
            Envoy::start_text(site, ("beside", &placed(&beside)), (free_port()?, beside_admin), &[]).await?;

        let (port, admin) = (free_port()?, free_port()?);
        let mut gate = example("tls/gate.yaml")?;
        let clusters = [("langgraph", langgraph_tls.number()), ("desk", desk_tls.number())];
        point(site, &mut gate, &issuer, [&port, &admin], &clusters)?;
        Envoy::validate_text(site, &placed(&gate)).await?;
        let envoy = Envoy::start_text(site, ("gate", &placed(&gate)), (port, admin), &[]).await?;

        let authority = reqwest::Certificate::from_pem(certificates.authority.as_bytes())?;
        let client = || {
            Client::builder()
                .tls_certs_only([authority.clone()])
                .resolve("gate.internal", SocketAddr::from(([127, 0, 0, 1], envoy.port())))
        };
        let base = format!("https://gate.internal:{}", envoy.port());
        let identity = reqwest::Identity::from_pem(certificates.caller.as_bytes())?;
        let caller =
            Caller { client: client().identity(identity).build()?, base: base.clone(), issuer: &issuer };
        caller.post(None, "/ok", &json!({})).await.context("the gate's TLS")?;
        caller.reads("langgraph", true).await?;
        caller.agreed(&desk, "langgraph").await?;

        let stranger = Caller { client: client().build()?, base, issuer: &issuer };
        let refused = stranger.post(Some(Person::Analyst), "/assistants/search", &json!({})).await;
        ensure!(refused.is_err(), "a caller without a certificate was let in");
        // Nor does anybody reach LangGraph past the gate, not even with a caller's certificate.
        let identity = reqwest::Identity::from_pem(certificates.caller.as_bytes())?;
        let past = Client::builder()
            .tls_certs_only([authority.clone()])
            .identity(identity)
            .resolve("langgraph.internal", SocketAddr::from(([127, 0, 0, 1], langgraph_tls.number())))
            .build()?;
        let past = past.get(format!("https://langgraph.internal:{}/ok", langgraph_tls.number())).send().await;
        ensure!(past.is_err(), "LangGraph can be reached past the gate");
        Ok(())
    });
}
