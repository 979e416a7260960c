//! A real OpenID Connect provider, the npm package oidc-provider, and the two ways to get a token from it.
//!
//! [`crate::Issuer`] signs whatever a test asks for; this one signs what the protocol allows, with the
//! discovery, key set and tokens that are met in the field.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::part::{Part, wait_until};
use crate::ports::{Port, free_port};
use crate::site::Site;

/// What tokens are asked for; the provider writes `langgraph` into `aud` for it.
const RESOURCE: &str = "urn:example:langgraph";
/// The machine's client id and secret.
const MACHINE: &str = "nightly";
/// Good for the introspection endpoint too.
pub const MACHINE_SECRET: &str = "synthetic-client-secret";
const CALLBACK: &str = "http://127.0.0.1/callback";

/// The running provider.
#[derive(Debug)]
pub struct OidcProvider {
    port: Port,
    url: String,
    http: Client,
    _part: Part,
}

impl OidcProvider {
    /// Starts the provider on a free port and waits until it serves its discovery document.
    pub async fn start(site: &Site) -> Result<Self> {
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{}", port.number());
        let script = site.tools().root().join("tests/node/oidc-provider.mjs");
        ensure!(
            script.with_file_name("node_modules").join("oidc-provider").is_dir(),
            "tests/node/node_modules is missing; `make node-modules` makes it"
        );
        let mut command = Command::new(site.tools().node()?);
        command.arg(script).arg(port.number().to_string());
        let mut part = Part::start("oidc-provider", site.folder(), &command)?;
        let http = Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(10)).build()?;
        let document = format!("{url}/.well-known/openid-configuration");
        part.ready(Duration::from_secs(60), async || answers(&http, &document).await).await?;
        Ok(Self { port, url, http, _part: part })
    }

    /// Its issuer identifier, which is also its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Signs with a new key from now on. The key before it stays published, the one before that goes.
    pub async fn rotate(&self) -> Result<()> {
        self.http.post(format!("{}/test/rotate", self.url)).send().await?.error_for_status()?;
        Ok(())
    }

    /// Refuses connections for so many seconds.
    pub async fn go_down(&self, seconds: u64) -> Result<()> {
        self.http.post(format!("{}/test/down/{seconds}", self.url)).send().await?.error_for_status()?;
        wait_until("the provider goes down", Duration::from_secs(5), async || !self.is_up().await).await
    }

    /// Whether it answers.
    pub async fn is_up(&self) -> bool {
        answers(&self.http, &format!("{}/jwks", self.url)).await
    }

    /// An access token of the machine `nightly`, by client credentials (RFC 6749 section 4.4).
    pub async fn client_credentials(&self) -> Result<String> {
        let form = [("grant_type", "client_credentials"), ("resource", RESOURCE), ("scope", "runs")];
        let request = self
            .http
            .post(format!("{}/token", self.url))
            .basic_auth(MACHINE, Some(MACHINE_SECRET))
            .form(&form);
        access_token(request.send().await?).await
    }

    /// Ends a token before its time (RFC 7009). Who only verifies its signature learns nothing of it.
    pub async fn revoke(&self, token: &str) -> Result<()> {
        let request = self
            .http
            .post(format!("{}/token/revocation", self.url))
            .basic_auth(MACHINE, Some(MACHINE_SECRET))
            .form(&[("token", token)]);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// An access token of this person, by authorization code with PKCE (RFC 6749 section 4.1, RFC 7636):
    /// the pages of sign-in and consent are filled in as a browser would.
    pub async fn sign_in(&self, person: &str) -> Result<String> {
        let verifier = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let query = [
            ("client_id", "console"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid runs"),
            ("resource", RESOURCE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let mut browser = Browser::new(self);
        let page = browser.follow(self.http.get(format!("{}/auth", self.url)).query(&query)).await?;
        let login = [("prompt", "login"), ("login", person), ("password", "any")];
        let page = browser.follow(self.http.post(page.form()?).form(&login)).await?;
        let code = match page {
            Page::Form(action) => {
                browser.follow(self.http.post(action).form(&[("prompt", "consent")])).await?.code()?
            }
            Page::Code(code) => code,
        };
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "console"),
            ("redirect_uri", CALLBACK),
            ("resource", RESOURCE),
            ("code_verifier", &verifier),
            ("code", &code),
        ];
        access_token(self.http.post(format!("{}/token", self.url)).form(&form).send().await?).await
    }

    /// Signs in as this person at the place that a device shows (RFC 8628 section 3.3), and lets it in.
    pub async fn allow_device(&self, place: &str, person: &str) -> Result<()> {
        let mut browser = Browser::new(self);
        browser.follow(self.http.get(place)).await?;
        // The code as it came with the place, then that it is the one on the device.
        for confirm in [false, true] {
            let (xsrf, code) = (browser.field("xsrf")?, browser.field("user_code")?);
            let mut form = vec![("xsrf", xsrf.as_str()), ("user_code", code.as_str())];
            if confirm {
                form.push(("confirm", "yes"));
            }
            browser.follow(self.http.post(format!("{}/device", self.url)).form(&form)).await?;
        }
        let login = [("prompt", "login"), ("login", person), ("password", "any")];
        browser.follow(self.http.post(browser.at.clone()).form(&login)).await?;
        browser.follow(self.http.post(browser.at.clone()).form(&[("prompt", "consent")])).await?;
        ensure!(browser.text.contains("Success"), "the provider did not let the device in: {}", browser.text);
        Ok(())
    }
}

async fn answers(http: &Client, url: &str) -> bool {
    http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

async fn access_token(answer: Response) -> Result<String> {
    let status = answer.status();
    let body: Value = answer.json().await.context("the token endpoint did not answer JSON")?;
    ensure!(status.is_success(), "the token endpoint answered {status}: {body}");
    Ok(body["access_token"].as_str().context("no access token")?.to_owned())
}

/// Where the browser stands.
enum Page {
    /// A form of the provider, by the address that it is sent to.
    Form(String),
    /// Back at the client, with a code.
    Code(String),
}

impl Page {
    fn form(self) -> Result<String> {
        match self {
            Self::Form(action) => Ok(action),
            Self::Code(_) => bail!("the provider asked for nothing"),
        }
    }

    fn code(self) -> Result<String> {
        match self {
            Self::Code(code) => Ok(code),
            Self::Form(action) => bail!("the provider asks for more at {action}"),
        }
    }
}

/// Follows redirects and keeps cookies, whatever their path: there is one site.
struct Browser<'a> {
    http: &'a Client,
    url: &'a str,
    cookies: BTreeMap<String, String>,
    /// The address of the last page.
    at: String,
    /// The last page.
    text: String,
}

impl<'a> Browser<'a> {
    fn new(provider: &'a OidcProvider) -> Self {
        Self {
            http: &provider.http,
            url: &provider.url,
            cookies: BTreeMap::new(),
            at: String::new(),
            text: String::new(),
        }
    }

    /// The value of a hidden field of the last page.
    fn field(&self, name: &str) -> Result<String> {
        let value = self.text.split(&format!("name=\"{name}\"")).nth(1).and_then(|rest| {
            let (before, rest) = rest.split_once("value=\"")?;
            (!before.contains('>')).then(|| rest.split('"').next().unwrap_or_default().to_owned())
        });
        value.with_context(|| format!("the page has no field {name}: {}", self.text))
    }

    async fn follow(&mut self, request: reqwest::RequestBuilder) -> Result<Page> {
        let mut request = request;
        for _ in 0..10 {
            let answer = request.header(COOKIE, self.cookie_header()).send().await?;
            self.keep_cookies(&answer);
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location else {
                let (status, here) = (answer.status(), answer.url().to_string());
                self.text = answer.text().await?;
                self.at.clone_from(&here);
                ensure!(status.is_success(), "{here} answered {status}: {}", self.text);
                // The development pages send each form to the address that they are at.
                return Ok(Page::Form(here));
            };
            if let Some(query) = location.strip_prefix(CALLBACK) {
                let code =
                    query.trim_start_matches('?').split('&').find_map(|pair| pair.strip_prefix("code="));
                return Ok(Page::Code(code.with_context(|| format!("no code in {query}"))?.to_owned()));
            }
            let next = if location.starts_with('/') {
                format!("{}{location}", self.url)
            } else {
                location.to_owned()
            };
            request = self.http.get(next);
        }
        bail!("more than ten redirects")
    }

    fn cookie_header(&self) -> String {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep_cookies(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            match pair.split_once('=') {
                Some((name, "")) => self.cookies.remove(name),
                Some((name, value)) => self.cookies.insert(name.to_owned(), value.to_owned()),
                None => None,
            };
        }
    }
}
