//! What `serve` is told: flags and environment first, then the YAML file, then defaults.
//!
//! [`Raw`] is what can be written; [`Settings`] is what the server works with. Secrets come only by
//! environment: the file and the flags name the variable, never the value.
//!
//! ```yaml
//! listen: 127.0.0.1:8400
//! database: graphwarden.db
//! public_url: https://desk.example.com
//! issuer: https://idp.example.com
//! client_id: graphwarden-desk
//! audiences: [graphwarden-desk]
//! claims: { name: name, email: email, roles: realm_access.roles, groups: groups }
//! ```

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use url::Url;

use crate::log::LogKey;
use crate::notify::{Notify, RawNotify};
use crate::people::Kin;
use crate::publish::{Publish, RawPublish};
use crate::store::{Database, OPEN_PER_PERSON, Rule};

/// Settings as written: every field may be missing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// Address to listen on [default: 127.0.0.1:8400]
    #[arg(long, env = "GRAPHWARDEN_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Database: a path or a sqlite: URL for one desk, a postgres: URL for several [default: graphwarden.db]
    #[arg(long, env = "GRAPHWARDEN_DATABASE", value_name = "URL|PATH")]
    pub database: Option<String>,
    /// Name of the environment variable that holds the gateway's token [default: GRAPHWARDEN_TOKEN]
    #[arg(long, value_name = "NAME")]
    pub gateway_token_env: Option<String>,
    /// Where people reach the desk, used in links and for sign-in [default: http://LISTEN]
    #[arg(long, env = "GRAPHWARDEN_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// OIDC issuer whose people may sign in; without it the pages are off
    #[arg(long, env = "GRAPHWARDEN_ISSUER", value_name = "URL")]
    pub issuer: Option<String>,
    /// OIDC client id of the desk [default: graphwarden-desk]
    #[arg(long, env = "GRAPHWARDEN_CLIENT_ID", value_name = "ID")]
    pub client_id: Option<String>,
    /// Name of the environment variable that holds the client secret; without it the client is public (PKCE alone)
    #[arg(long, value_name = "NAME")]
    pub client_secret_env: Option<String>,
    /// Further audiences accepted in bearer tokens of the API; the client id always is
    #[arg(long = "audience", value_name = "AUDIENCE", value_delimiter = ',')]
    pub audiences: Vec<String>,
    /// Scopes asked for at sign-in, besides openid [default: profile,email]
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    pub scopes: Vec<String>,
    /// Accepted signature algorithms [default: RS256,ES256]
    #[arg(long = "algorithm", value_name = "ALG", value_delimiter = ',')]
    pub algorithms: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as a heading")]
    pub claims: RawClaims,
    /// Issuers that share their subjects, as ISSUER=ISSUER: nobody approves their own request by another token
    #[arg(long = "same-subjects", value_name = "ISSUER=ISSUER", value_delimiter = ',')]
    pub same_subjects: Vec<String>,
    /// Allow rules to ask for standing grants: approvals for operations and a while instead of for bytes, once
    #[arg(long, env = "GRAPHWARDEN_STANDING_GRANTS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub standing_grants: Option<bool>,
    /// How many approvals of one person may be open at a time [default: 100]
    #[arg(long, env = "GRAPHWARDEN_OPEN_PER_PERSON", value_name = "NUMBER")]
    pub open_per_person: Option<u32>,
    /// Roles that may read the evidence and export it [default: auditor]
    #[arg(long = "auditor-role", value_name = "ROLE", value_delimiter = ',')]
    pub auditor_roles: Vec<String>,
    /// Where checkpoints and lines go; only in the file
    #[arg(skip)]
    pub publish: RawPublish,
    /// Who is told of what happens to approvals; only in the file
    #[arg(skip)]
    pub notify: RawNotify,
    /// How long records are kept; only in the file, and for ever without it
    #[arg(skip)]
    pub retention: Vec<Rule>,
    /// After how many silent minutes an admitted request without an outcome is marked as unfinished [default: 10]
    #[arg(long, value_name = "MINUTES")]
    pub unfinished_minutes: Option<u32>,
    /// Longest time that a person stays signed in, in minutes [default: 480]
    #[arg(long, value_name = "MINUTES")]
    pub session_minutes: Option<u32>,
}

/// Paths of the claims that become a person.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct RawClaims {
    /// Claim path of the name [default: name]
    #[arg(long = "name-claim", value_name = "PATH", env = "GRAPHWARDEN_NAME_CLAIM")]
    pub name: Option<String>,
    /// Claim path of the e-mail address [default: email]
    #[arg(long = "email-claim", value_name = "PATH", env = "GRAPHWARDEN_EMAIL_CLAIM")]
    pub email: Option<String>,
    /// Claim path of the roles [default: roles]
    #[arg(long = "roles-claim", value_name = "PATH", env = "GRAPHWARDEN_ROLES_CLAIM")]
    pub roles: Option<String>,
    /// Claim path of the groups [default: groups]
    #[arg(long = "groups-claim", value_name = "PATH", env = "GRAPHWARDEN_GROUPS_CLAIM")]
    pub groups: Option<String>,
}

impl Raw {
    /// Reads a YAML file. The error names the file, the place in it and what was expected.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| anyhow::anyhow!("cannot read the configuration {}: {error}", path.display()))?;
        serde_saphyr::from_str(&text)
            .map_err(|error| anyhow::anyhow!("the configuration {} is wrong: {error}", path.display()))
    }

    /// These settings, and `under`'s where these say nothing.
    pub fn over(self, under: Self) -> Self {
        fn list(upper: Vec<String>, lower: Vec<String>) -> Vec<String> {
            if upper.is_empty() { lower } else { upper }
        }
        Self {
            listen: self.listen.or(under.listen),
            database: self.database.or(under.database),
            gateway_token_env: self.gateway_token_env.or(under.gateway_token_env),
            public_url: self.public_url.or(under.public_url),
            issuer: self.issuer.or(under.issuer),
            client_id: self.client_id.or(under.client_id),
            client_secret_env: self.client_secret_env.or(under.client_secret_env),
            audiences: list(self.audiences, under.audiences),
            scopes: list(self.scopes, under.scopes),
            algorithms: list(self.algorithms, under.algorithms),
            claims: RawClaims {
                name: self.claims.name.or(under.claims.name),
                email: self.claims.email.or(under.claims.email),
                roles: self.claims.roles.or(under.claims.roles),
                groups: self.claims.groups.or(under.claims.groups),
            },
            same_subjects: list(self.same_subjects, under.same_subjects),
            standing_grants: self.standing_grants.or(under.standing_grants),
            open_per_person: self.open_per_person.or(under.open_per_person),
            auditor_roles: list(self.auditor_roles, under.auditor_roles),
            session_minutes: self.session_minutes.or(under.session_minutes),
            publish: if self.publish == RawPublish::default() { under.publish } else { self.publish },
            notify: if self.notify == RawNotify::default() { under.notify } else { self.notify },
            retention: if self.retention.is_empty() { under.retention } else { self.retention },
            unfinished_minutes: self.unfinished_minutes.or(under.unfinished_minutes),
        }
    }
}

/// Settings as the server uses them: checked, complete, secrets resolved.
#[derive(Clone)]
pub struct Settings {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The database.
    pub database: Database,
    /// The token that gateways present.
    pub gateway_token: String,
    /// What signs checkpoints and exports.
    pub log_key: LogKey,
    /// Where people reach the desk; no trailing slash in its path.
    pub public_url: Url,
    /// Who may sign in; `None` turns the pages and the approvers' API off.
    pub provider: Option<Provider>,
    /// Which issuers share their subjects.
    pub kin: Kin,
    /// Whether rules may ask for standing grants.
    pub standing_grants: bool,
    /// How many approvals of one person may be open at a time.
    pub open_per_person: u32,
    /// Roles that may read and export the evidence.
    pub auditor_roles: Vec<String>,
    /// Longest time that a person stays signed in.
    pub session: std::time::Duration,
    /// Where checkpoints and lines go.
    pub publish: Publish,
    /// Who is told of what happens to approvals.
    pub notify: Notify,
    /// How long records are kept; the first rule that fits a record decides, and without one it is kept for ever.
    pub retention: Vec<Rule>,
    /// After how long a silent exchange counts as unfinished.
    pub unfinished: std::time::Duration,
}

/// The OIDC provider of the people who decide.
#[derive(Clone)]
pub struct Provider {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// The desk's client id there.
    pub client_id: String,
    /// The desk's client secret; `None` for a public client.
    pub client_secret: Option<String>,
    /// Audiences accepted in tokens; holds the client id.
    pub audiences: Vec<String>,
    /// Scopes asked for at sign-in, besides `openid`.
    pub scopes: Vec<String>,
    /// Accepted signature algorithms.
    pub algorithms: Vec<String>,
    /// Claim path of the name.
    pub name: String,
    /// Claim path of the e-mail address.
    pub email: String,
    /// Claim path of the roles.
    pub roles: String,
    /// Claim path of the groups.
    pub groups: String,
}

impl Settings {
    /// Checks everything and reports every problem at once, one a line.
    pub fn resolve(raw: Raw, environment: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut problems = Vec::new();
        let listen_text = raw.listen.unwrap_or_else(|| "127.0.0.1:8400".to_owned());
        let listen: Option<SocketAddr> = listen_text.parse().ok();
        if listen.is_none() {
            problems
                .push(format!("listen: `{listen_text}` is not an address and port such as 127.0.0.1:8400"));
        }
        let database = Database::parse(raw.database.as_deref().unwrap_or("graphwarden.db"))
            .map_err(|error| problems.push(format!("database: {error}")))
            .ok();
        let variable = raw.gateway_token_env.unwrap_or_else(|| "GRAPHWARDEN_TOKEN".to_owned());
        let gateway_token = environment(&variable).filter(|token| !token.is_empty());
        match &gateway_token {
            None => problems.push(format!(
                "gateway_token_env: the environment variable {variable} is not set; gateways present its value as their bearer token"
            )),
            Some(token) if token.len() < 16 => problems.push(format!(
                "gateway_token_env: the token in {variable} has {} characters, at least 16 are needed",
                token.len()
            )),
            Some(_) => {}
        }
        let public_text = raw.public_url.unwrap_or_else(|| format!("http://{listen_text}"));
        let public_url = web_url("public_url", &public_text, &mut problems);
        let provider = raw.issuer.and_then(|issuer| {
            web_url("issuer", &issuer, &mut problems)?;
            let client_id = raw.client_id.clone().unwrap_or_else(|| "graphwarden-desk".to_owned());
            let mut audiences = raw.audiences.clone();
            if !audiences.contains(&client_id) {
                audiences.push(client_id.clone());
            }
            let client_secret = raw.client_secret_env.as_ref().and_then(|variable| {
                let secret = environment(variable).filter(|secret| !secret.is_empty());
                if secret.is_none() {
                    problems
                        .push(format!("client_secret_env: the environment variable {variable} is not set"));
                }
                secret
            });
            let claim =
                |path: &Option<String>, default: &str| path.clone().unwrap_or_else(|| default.to_owned());
            Some(Provider {
                issuer,
                client_id,
                client_secret,
                audiences,
                scopes: if raw.scopes.is_empty() {
                    vec!["profile".to_owned(), "email".to_owned()]
                } else {
                    raw.scopes.clone()
                },
                algorithms: if raw.algorithms.is_empty() {
                    vec!["RS256".to_owned(), "ES256".to_owned()]
                } else {
                    raw.algorithms.clone()
                },
                name: claim(&raw.claims.name, "name"),
                email: claim(&raw.claims.email, "email"),
                roles: claim(&raw.claims.roles, "roles"),
                groups: claim(&raw.claims.groups, "groups"),
            })
        });
        let kin = Kin::parse(&raw.same_subjects)
            .map_err(|error| problems.push(format!("same_subjects: {error}")))
            .unwrap_or_default();
        let minutes = raw.session_minutes.unwrap_or(480);
        if !(1..=10_080).contains(&minutes) {
            problems.push(format!("session_minutes: {minutes} is not between 1 and 10080"));
        }
        let open_per_person = raw.open_per_person.unwrap_or(OPEN_PER_PERSON);
        if !(1..=100_000).contains(&open_per_person) {
            problems.push(format!("open_per_person: {open_per_person} is not between 1 and 100000"));
        }
        let publish = Publish::resolve(raw.publish, environment, &mut problems);
        let notify = Notify::resolve(raw.notify, environment, &mut problems);
        for (index, rule) in raw.retention.iter().enumerate() {
            problems.extend(rule.problem().map(|problem| format!("retention[{index}]: {problem}")));
        }
        let unfinished = raw.unfinished_minutes.unwrap_or(10);
        if !(1..=10_080).contains(&unfinished) {
            problems.push(format!("unfinished_minutes: {unfinished} is not between 1 and 10080"));
        }
        // Made on first use, so only once everything else is sound.
        let log_key = database.as_ref().filter(|_| problems.is_empty()).and_then(|database| {
            LogKey::of(database.path(), environment)
                .map_err(|error| problems.push(format!("log key: {error:#}")))
                .ok()
        });
        match (listen, database, gateway_token, public_url, log_key) {
            (Some(listen), Some(database), Some(gateway_token), Some(public_url), Some(log_key))
                if problems.is_empty() =>
            {
                Ok(Self {
                    log_key,
                    listen,
                    database,
                    gateway_token,
                    public_url,
                    provider,
                    kin,
                    standing_grants: raw.standing_grants.unwrap_or(false),
                    open_per_person,
                    auditor_roles: if raw.auditor_roles.is_empty() {
                        vec!["auditor".to_owned()]
                    } else {
                        raw.auditor_roles
                    },
                    session: std::time::Duration::from_secs(u64::from(minutes) * 60),
                    publish,
                    notify,
                    retention: raw.retention,
                    unfinished: std::time::Duration::from_secs(u64::from(unfinished) * 60),
                })
            }
            _ => anyhow::bail!("the settings are wrong\n  {}", problems.join("\n  ")),
        }
    }
}

impl Settings {
    /// What an auditor wants to know of the configuration, without anything secret: it is an entry of the ledger at
    /// every start.
    pub fn summary(&self) -> String {
        let provider = self.provider.as_ref().map_or("none", |provider| &provider.issuer);
        let retention = match self.retention.len() {
            0 => "for ever".to_owned(),
            _ => self.retention.iter().map(Rule::in_words).collect::<Vec<_>>().join("; "),
        };
        format!(
            "database {}; people from {provider}; auditors {}; log key {}; kept {retention}; published to {}; told are {}",
            self.database,
            self.auditor_roles.join(", "),
            self.log_key.public(),
            self.publish.in_words(),
            self.notify.in_words()
        )
    }
}

fn web_url(field: &str, text: &str, problems: &mut Vec<String>) -> Option<Url> {
    match Url::parse(text.trim_end_matches('/')) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        _ => {
            problems.push(format!("{field}: `{text}` is not an http or https URL"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log's key is given, so that none is made in a file.
    fn token(name: &str) -> Option<String> {
        match name {
            "GRAPHWARDEN_TOKEN" => Some("0123456789abcdef".to_owned()),
            "GRAPHWARDEN_LOG_KEY" => Some(LogKey::new_private()),
            _ => None,
        }
    }

    #[test]
    fn reports_every_problem_at_once() {
        let raw = Raw {
            listen: Some("nowhere".into()),
            database: Some(":memory:".into()),
            issuer: Some("idp".into()),
            ..Raw::default()
        };
        let Err(error) = Settings::resolve(raw, &|_| None) else { panic!("must not resolve") };
        let text = error.to_string();
        for field in ["listen:", "database:", "gateway_token_env:", "issuer:"] {
            assert!(text.contains(field), "{field} is missing in {text}");
        }
    }

    #[test]
    fn refuses_a_short_gateway_token_without_showing_it() {
        let Err(error) = Settings::resolve(Raw::default(), &|_| Some("hunter2".into())) else { panic!() };
        assert!(error.to_string().contains("at least 16") && !error.to_string().contains("hunter2"));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file: Raw = serde_saphyr::from_str(
            "listen: 127.0.0.1:1\nclaims: { roles: realm_access.roles }\nissuer: https://idp.example",
        )
        .unwrap();
        let flags = Raw { listen: Some("127.0.0.1:2".into()), ..Raw::default() };
        let settings = Settings::resolve(flags.over(file), &token).unwrap();
        assert_eq!(settings.listen.port(), 2);
        let provider = settings.provider.unwrap();
        assert_eq!(provider.roles, "realm_access.roles");
        assert_eq!(provider.audiences, ["graphwarden-desk"]);
    }

    #[test]
    fn unknown_fields_of_the_file_are_errors() {
        let error = serde_saphyr::from_str::<Raw>("lisen: 127.0.0.1:1").unwrap_err();
        assert!(error.to_string().contains("lisen"), "{error}");
    }
}
