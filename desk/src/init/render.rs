//! The files themselves, made of the shipped examples with the answers put in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use url::Url;

use super::{Answers, Provider, Server, WrongUrl};

const ENVOY: &str = include_str!("../../../envoy/ecds/envoy.yaml");
const FILTER: &str = include_str!("../../../envoy/ecds/filter.yaml");
/// How deep the policy stands in the filter's configuration.
const POLICY_INDENT: usize = 12;

/// A file that is to be written.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path inside the folder.
    pub name: &'static str,
    /// What is in it.
    pub text: String,
    /// Whether only its owner may read it.
    pub secret: bool,
}

/// Every file, for these answers. Secrets are made anew each time.
pub fn files(answers: &Answers, provider: Option<&Provider>) -> Result<Vec<File>, WrongUrl> {
    let issuer = Url::parse(&answers.issuer).map_err(|_| WrongUrl("is no URL"))?;
    let idp = Server::of(&issuer, answers.containers)?;
    // Keys may be with another host than the issuer's: Google's are.
    let keys = match provider {
        Some(provider) => {
            Some(Server::of(&provider.jwks_uri, answers.containers)?).filter(|keys| *keys != idp)
        }
        None => None,
    };
    let langgraph = Server::of(&answers.langgraph, answers.containers)?;
    let desk = if answers.containers {
        Server { host: "desk".to_owned(), port: 8400, tls: false }
    } else {
        Server { host: answers.desk.0.clone(), port: answers.desk.1, tls: false }
    };
    let mut clusters =
        cluster("langgraph", "LangGraph, which nothing else should be able to reach.", &langgraph);
    clusters += &cluster("desk", "Approvals and evidence: `graphwarden serve`.", &desk);
    clusters += &cluster("idp", "The identity provider.", &idp);
    if let Some(keys) = &keys {
        clusters += &cluster("idp-keys", "Where the identity provider has its keys.", keys);
    }
    let mut files = vec![
        File { name: "envoy.yaml", text: envoy(answers, &clusters), secret: false },
        File { name: "gate/filter.yaml", text: filter(answers, provider, keys.is_some()), secret: false },
        File { name: ".env", text: secrets(answers), secret: true },
        File { name: ".gitignore", text: ".env\n*.db*\n".to_owned(), secret: false },
    ];
    if answers.containers {
        files.push(File { name: "compose.yaml", text: compose(answers), secret: false });
    }
    Ok(files)
}

fn envoy(answers: &Answers, clusters: &str) -> String {
    let shipped = ENVOY.split_once("\nnode:").map_or(ENVOY, |(_, rest)| rest);
    let before = shipped.split_once("  clusters:\n").map_or(shipped, |(before, _)| before);
    let (host, port) =
        if answers.containers { ("0.0.0.0", 8080) } else { (answers.listen.0.as_str(), answers.listen.1) };
    let before = before
        .replace(
            "address: 0.0.0.0, port_value: 8080",
            &format!("address: {}, port_value: {port}", quoted(host)),
        )
        .replace("/etc/envoy/gate", &answers.folder);
    format!(
        "# Envoy in front of LangGraph, made by `graphwarden init`. The policy is in gate/filter.yaml.\n\
         # `graphwarden lint envoy.yaml gate/filter.yaml` says what would bite.\n\nnode:{before}  clusters:\n{clusters}"
    )
}

fn filter(answers: &Answers, provider: Option<&Provider>, other_keys: bool) -> String {
    let (before, _) = FILTER.split_once("            gateway: ").unwrap_or((FILTER, ""));
    let resources = before.split_once("\nresources:").map_or(before, |(_, rest)| rest);
    let resources = resources.replace("/etc/envoy/graphwarden.wasm", &answers.module);
    let resources = match answers.langgraph_key {
        Some(_) => resources,
        None => resources.replace(", LANGGRAPH_API_KEY]", "]"),
    };
    let mut text = format!(
        "# The filter with its policy, begun with the preset `{}`. What is moved over this file is live at once:\n\
         #\n\
         #   cp gate/filter.yaml next.yaml; edit next.yaml; graphwarden check next.yaml; mv next.yaml gate/filter.yaml\n\
         resources:{resources}",
        answers.preset.name
    );
    for line in policy(answers, provider, other_keys).lines() {
        if !line.is_empty() {
            text.push_str(&" ".repeat(POLICY_INDENT));
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// The preset without its opening words, for this issuer.
fn policy(answers: &Answers, provider: Option<&Provider>, other_keys: bool) -> String {
    let body: Vec<&str> = answers.preset.text.lines().skip_while(|line| line.starts_with('#')).collect();
    let algorithms = provider.map_or_else(|| vec!["RS256", "ES256"], Provider::algorithms);
    let mut text = body.join("\n") + "\n";
    text = text
        .replace("issuer: https://idp.example.com", &format!("issuer: {}", quoted(&answers.issuer)))
        .replace("audiences: [langgraph]", &format!("audiences: [{}]", quoted(&answers.audience)))
        .replace("algorithms: [RS256, ES256]", &format!("algorithms: [{}]", algorithms.join(", ")));
    if other_keys {
        text = text
            .replace("cluster: idp, discover: true", "cluster: idp, discover: true, jwks_cluster: idp-keys");
    }
    let upstream = "  upstream:\n    headers: { x-api-key: { env: LANGGRAPH_API_KEY } }\n";
    match answers.langgraph_key {
        None => text.replace(upstream, ""),
        Some(_) if text.contains(upstream) => text,
        Some(_) => text.replacen("operations:\n", &format!("{upstream}operations:\n"), 1),
    }
}

fn cluster(name: &str, about: &str, server: &Server) -> String {
    let Server { host, port, tls } = server;
    let quoted = quoted(host);
    let mut text = format!(
        "    # {about}\n    - name: {name}\n      type: STRICT_DNS\n      connect_timeout: 2s\n      load_assignment:\n        \
         cluster_name: {name}\n        endpoints:\n          - lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: \
         {{ address: {quoted}, port_value: {port} }} }} }} }}]\n"
    );
    if *tls {
        text += &format!(
            "      transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \"@type\": \
             type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n          sni: {quoted}\n          \
             common_tls_context:\n            validation_context:\n              trusted_ca: {{ filename: \
             /etc/ssl/certs/ca-certificates.crt }}\n              match_typed_subject_alt_names:\n                - {{ san_type: \
             DNS, matcher: {{ exact: {quoted} }} }}\n"
        );
    }
    text
}

fn secrets(answers: &Answers) -> String {
    let mut text = format!(
        "# Made by `graphwarden init`. Whoever has these speaks for the gate: keep them out of version control.\n\
         GRAPHWARDEN_TOKEN={}\nGRAPHWARDEN_DIGEST_KEY={}\n",
        secret(),
        secret()
    );
    if let Some(key) = &answers.langgraph_key {
        // Quoted for shells and for compose alike.
        text += &format!("LANGGRAPH_API_KEY='{key}'\n");
    }
    text
}

fn secret() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn compose(answers: &Answers) -> String {
    let key = match answers.langgraph_key {
        Some(_) => "\n      LANGGRAPH_API_KEY: ${LANGGRAPH_API_KEY:?}",
        None => "",
    };
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"# The gate and the desk, made by `graphwarden init`: `docker compose up`. Secrets come from .env.
#
# The image of the desk is made by `make dist` and loaded with
# `skopeo copy oci-archive:target/dist/graphwarden.oci.tar docker-daemon:graphwarden:{version}`.
services:
  gate:
    image: envoyproxy/envoy:v1.40.0
    command: [envoy, -c, /etc/envoy/envoy.yaml]
    environment:
      GRAPHWARDEN_TOKEN: ${{GRAPHWARDEN_TOKEN:?}}
      GRAPHWARDEN_DIGEST_KEY: ${{GRAPHWARDEN_DIGEST_KEY:?}}{key}
    volumes:
      - ./envoy.yaml:/etc/envoy/envoy.yaml:ro
      - ./graphwarden.wasm:/etc/envoy/graphwarden.wasm:ro
      # The folder, not the file: Envoy sees what is moved into it.
      - ./gate:/etc/envoy/gate:ro
    ports: ["{listen}:8080"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    depends_on: [desk]
    restart: unless-stopped
  desk:
    image: graphwarden:{version}
    command: [serve, --listen, "0.0.0.0:8400", --database, /data/graphwarden.db, --public-url, "http://{host}:{desk}", --issuer, {issuer}]
    environment:
      GRAPHWARDEN_TOKEN: ${{GRAPHWARDEN_TOKEN:?}}
    volumes: [desk:/data]
    # Approvers' pages, on this machine only: put TLS in front before others use them.
    ports: ["127.0.0.1:{desk}:8400"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    restart: unless-stopped
volumes:
  desk: {{}}
"#,
        listen = if answers.listen.0 == "0.0.0.0" {
            answers.listen.1.to_string()
        } else {
            format!("{}:{}", answers.listen.0, answers.listen.1)
        },
        host = answers.desk.0,
        desk = answers.desk.1,
        issuer = quoted(&answers.issuer),
    )
}

/// A text as YAML: quoted where it would be something else without.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte) || byte == b':')
        && !text.ends_with(':')
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    // A JSON text is YAML, too.
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
