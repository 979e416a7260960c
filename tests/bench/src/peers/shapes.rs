//! The variants: what each has before the router, and what it has to do to a request and a response.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use graphwarden_stand::{Filter, Issuer, Site, standard_policy};
use serde_json::{Value, json};

use super::chain::{self, Body};

/// One variant before it is started.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) filter: Filter,
    pub(super) policy: Value,
    /// Envoy's own filters.
    pub(super) before: Vec<Value>,
    /// What has to run beside Envoy.
    pub(super) servers: Vec<Server>,
    /// Whether each request has a token that was not seen before.
    pub(super) new_tokens: bool,
    /// Whether a bad token is refused.
    pub(super) guards: bool,
    pub(super) masks: Masks,
    /// Whether the desk has work with each request.
    pub(super) desk: bool,
    /// The largest body that it is asked for: what is left out takes minutes, or is more than Envoy buffers.
    pub(super) largest: usize,
    /// Whether it needs nothing but this workspace.
    pub(super) core: bool,
}

/// What of a body has to be masked in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masks {
    Nothing,
    /// What shows by its form.
    Forms,
    /// Forms, and a field by its name whatever is in it.
    FormsAndFields,
}

/// A server beside Envoy, and the cluster by which Envoy knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Authz,
    Proc,
    Presidio,
}

impl Server {
    pub(super) const fn cluster(self) -> &'static str {
        match self {
            Self::Authz => "authz",
            Self::Proc => "proc",
            Self::Presidio => "presidio",
        }
    }

    /// The command, for that port. `policy` and `keys` are files.
    pub(super) fn command(self, site: &Site, port: u16, policy: &PathBuf, keys: &PathBuf) -> Result<Command> {
        let root = site.tools().root();
        let (program, what) = match self {
            Self::Authz | Self::Proc => (root.join("target/peers/release/graphwarden-bench-peers"), "server"),
            Self::Presidio => (root.join("target/presidio/bin/python"), "Python with Presidio"),
        };
        ensure!(
            program.is_file(),
            "the {what} {} is missing; `make bench-peers` makes it",
            program.display()
        );
        let mut command = Command::new(program);
        match self {
            Self::Authz => command.args(["authz", &port.to_string()]).arg(policy).arg("--keys").arg(keys),
            Self::Proc => command.args(["proc", &port.to_string()]).arg(policy),
            Self::Presidio => {
                // The messages are compiled from a file beside it.
                let folder = root.join("tests/bench/peers/presidio");
                command.arg(folder.join("serve.py")).arg(port.to_string()).current_dir(folder)
            }
        };
        Ok(command)
    }
}

/// No limit worth naming.
const ANY: usize = usize::MAX;
/// What Envoy buffers on the listener of the benchmark is a little more.
const BUFFERED: usize = 4 << 20;
/// More takes seconds a request.
const SLOW: usize = 100 << 10;

/// Names that figures are compared with.
pub(super) const ALONE: &str = "Envoy alone";
pub(super) const NOOP: &str = "no-op wasm";
pub(super) const COPY: &str = "copying wasm";
pub(super) const OURS: &str = "graphwarden";
pub(super) const OUR_MASKING: &str = "graphwarden: token, masking";
pub(super) const JWT: &str = "jwt_authn + rbac";
pub(super) const PROC_STREAMED: &str = "ext_proc, streamed";
pub(super) const PROC_BUFFERED: &str = "ext_proc, buffered";
pub(super) const CHAIN: &str = "ext_authz + ext_proc, streamed";
pub(super) const LONG_CHAIN: &str = "jwt_authn + rbac + ext_authz + ext_proc";

/// All variants, in the order in which they are shown.
pub(super) fn all(site: &Site, issuer: &Issuer, also: &[PathBuf]) -> Result<Vec<Shape>> {
    let whole = standard_policy(issuer)?;
    let mut shapes = vec![bare(ALONE, &whole, Vec::new())];
    for (name, module) in [(NOOP, "noop"), (COPY, "copy")] {
        let filter = Filter::Module(crate::module(site, module)?);
        shapes.push(Shape { filter, ..bare(name, &whole, Vec::new()) });
    }
    shapes.extend(ours(&whole));
    for path in also {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let like = ours(&whole).into_iter().filter(|shape| !shape.new_tokens);
        shapes.extend(like.map(|shape| Shape {
            name: shape.name.replacen(OURS, &name, 1),
            filter: Filter::Build(path.clone()),
            ..shape
        }));
    }
    shapes.extend(theirs(&whole, issuer));
    Ok(shapes)
}

/// Envoy with filters of its own, of which nothing is expected.
fn bare(name: &str, policy: &Value, before: Vec<Value>) -> Shape {
    Shape {
        name: name.to_owned(),
        filter: Filter::Absent,
        policy: policy.clone(),
        before,
        servers: Vec::new(),
        new_tokens: false,
        guards: false,
        masks: Masks::Nothing,
        desk: false,
        largest: ANY,
        core: true,
    }
}

/// Ours with each part alone, which is on top of the token, without which there is nothing; and all parts together, as
/// the shipped policy has them.
fn ours(whole: &Value) -> Vec<Shape> {
    let allow = json!([{"name": "reading", "operations": ["threads.read"], "then": "allow"}]);
    let mut token = whole.clone();
    token["evidence"] = json!({"off": true});
    token["masking"] = json!({"fields": [], "detectors": [], "unmaskable": "pass"});
    token["access"] = json!({"rules": allow});
    let shape = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut policy = token.clone();
        change(&mut policy);
        let name = if name.is_empty() { OURS.to_owned() } else { format!("{OURS}: {name}") };
        Shape { filter: Filter::Graphwarden, guards: true, ..bare(&name, &policy, Vec::new()) }
    };
    let approval =
        json!({"approval": {"approvers": ["role:manager"], "quorum": 1, "hold": "120s", "valid": "10m"}});
    vec![
        shape("token", &|_| {}),
        shape("token, ten rules", &|policy| policy["access"]["rules"] = ten_rules()),
        Shape {
            masks: Masks::FormsAndFields,
            ..shape("token, masking", &|policy| policy["masking"] = whole["masking"].clone())
        },
        Shape {
            desk: true,
            ..shape("token, evidence", &|policy| policy["evidence"] = whole["evidence"].clone())
        },
        Shape {
            desk: true,
            ..shape("token, approval", &|policy| {
                policy["access"]["rules"][0]["then"] = approval.clone();
                // All are one person's, who may have fewer by default.
                policy["limits"]["held"] = json!(100_000);
            })
        },
        Shape { masks: Masks::FormsAndFields, desk: true, ..shape("", &|policy| *policy = whole.clone()) },
        Shape {
            masks: Masks::FormsAndFields,
            desk: true,
            new_tokens: true,
            name: format!("{OURS}, new tokens"),
            ..shape("", &|policy| *policy = whole.clone())
        },
    ]
}

/// Ten rules of which the last decides, so that every condition is evaluated.
fn ten_rules() -> Value {
    let conditions = [
        r#""suspended" in identity.roles"#,
        r#"identity.email.endsWith("@contractor.example.com")"#,
        r#"identity.actor == "machine" && !("service" in identity.roles)"#,
        r#"request.source.startsWith("192.168.")"#,
        r#"identity.groups.exists(group, group.startsWith("guests-"))"#,
        r#"identity.subject.matches("^(test|load)-")"#,
        r#"size(identity.roles) > 20"#,
        r#""finance" in identity.roles && "engineer" in identity.roles"#,
        r#"request.source == "10.255.255.1""#,
    ];
    let mut rules: Vec<Value> = conditions
        .iter()
        .enumerate()
        .map(|(index, when)| {
            json!({"name": format!("rule {index}"), "operations": ["threads.read"], "when": when, "then": "deny"})
        })
        .collect();
    rules.push(json!({
        "name": "analysts read", "operations": ["threads.read"],
        "when": r#""analyst" in identity.roles || "engineer" in identity.roles"#, "then": "allow",
    }));
    json!(rules)
}

/// jwt_authn that leaves the token for what comes next.
fn forwarding(mut filter: Value) -> Value {
    filter["typed_config"]["providers"]["idp"]["forward"] = json!(true);
    filter
}

/// What people use today.
fn theirs(whole: &Value, issuer: &Issuer) -> Vec<Shape> {
    let jwt = |name: &str, cached: bool| Shape {
        guards: true,
        ..bare(name, whole, vec![chain::jwt_authn(issuer, cached), chain::rbac()])
    };
    let beside = |name: &str, servers: &[Server], before: Vec<Value>| Shape {
        servers: servers.to_vec(),
        guards: servers.contains(&Server::Authz),
        masks: if servers.contains(&Server::Proc) { Masks::FormsAndFields } else { Masks::Nothing },
        core: false,
        ..bare(name, whole, before)
    };
    let authz = || chain::ext_authz(Server::Authz.cluster());
    let process = |body| chain::ext_proc(Server::Proc.cluster(), body);
    vec![
        jwt("jwt_authn + rbac, cached", true),
        jwt(JWT, false),
        beside("ext_authz", &[Server::Authz], vec![authz()]),
        Shape { new_tokens: true, ..beside("ext_authz, new tokens", &[Server::Authz], vec![authz()]) },
        beside(PROC_STREAMED, &[Server::Proc], vec![process(Body::Streamed)]),
        Shape { largest: BUFFERED, ..beside(PROC_BUFFERED, &[Server::Proc], vec![process(Body::Buffered)]) },
        beside(CHAIN, &[Server::Authz, Server::Proc], vec![authz(), process(Body::Streamed)]),
        Shape {
            largest: BUFFERED,
            ..beside(
                "ext_authz + ext_proc, buffered",
                &[Server::Authz, Server::Proc],
                vec![authz(), process(Body::Buffered)],
            )
        },
        beside(
            LONG_CHAIN,
            &[Server::Authz, Server::Proc],
            vec![forwarding(chain::jwt_authn(issuer, true)), chain::rbac(), authz(), process(Body::Streamed)],
        ),
        Shape { masks: Masks::Forms, largest: SLOW, ..bare("Lua gsub", whole, vec![chain::lua()]) },
        Shape {
            masks: Masks::Forms,
            largest: SLOW,
            ..beside(
                "Presidio behind ext_proc",
                &[Server::Presidio],
                vec![chain::ext_proc(Server::Presidio.cluster(), Body::Buffered)],
            )
        },
    ]
}
