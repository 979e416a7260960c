//! Signing in from a terminal: the OIDC device flow (RFC 8628), and where its token is kept.
//!
//! The token lies in `$XDG_CONFIG_HOME/graphwarden/sign-in.json` (`~/.config` where that is not set), by desk, readable by
//! its owner alone; a file that others can read is not used.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
    CoreDeviceAuthorizationResponse, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
    CoreTokenResponse,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthType, ClientId, DeviceAuthorizationUrl, IssuerUrl, OAuth2TokenResponse,
    ProviderMetadata, RefreshToken, Scope, TokenResponse,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::people::Client;

/// A token that ends sooner than this is renewed first, in milliseconds.
const MARGIN: i64 = 30_000;

/// What can be told to `approvals login`.
#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// The OIDC issuer of the desk's people
    #[arg(long, env = "GRAPHWARDEN_ISSUER", value_name = "URL")]
    issuer: String,
    /// OIDC client id; its provider has to allow it the device flow, and the desk has to accept it as an audience
    #[arg(long, env = "GRAPHWARDEN_CLIENT_ID", value_name = "ID", default_value = "graphwarden-desk")]
    client_id: String,
    /// Scopes asked for, besides openid; add offline_access to stay signed in
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', default_values_t = ["profile".to_owned(), "email".to_owned()])]
    scopes: Vec<String>,
    /// Ask for an access token for this resource (RFC 8707) and present it to the desk, instead of the ID token
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
}

/// What a provider says besides what every provider says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DeviceEndpoint {
    device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
}

impl AdditionalProviderMetadata for DeviceEndpoint {}

type Metadata = ProviderMetadata<
    DeviceEndpoint,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Someone who is signed in, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct SignedIn {
    issuer: String,
    client_id: String,
    resource: Option<String>,
    /// What the desk is shown.
    token: String,
    /// When it ends, in milliseconds since the Unix epoch.
    ends: i64,
    refresh: Option<String>,
}

/// Signs in: says where to go and what to type there, and waits for it.
pub(super) async fn login(desk: &Url, login: &Login) -> anyhow::Result<()> {
    let http = http()?;
    let metadata = discover(&login.issuer, &http).await?;
    let device = metadata.additional_metadata().device_authorization_endpoint.clone();
    let device = device.context("the provider has no device flow (RFC 8628)")?;
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new(login.client_id.clone()), None)
        .set_device_authorization_url(device)
        .set_auth_type(AuthType::RequestBody);
    let mut request = client.exchange_device_code();
    for scope in &login.scopes {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    if let Some(resource) = &login.resource {
        request = request.add_extra_param("resource", resource.clone());
    }
    let details: CoreDeviceAuthorizationResponse = request
        .request_async(&http)
        .await
        .map_err(|error| refused("the provider begins no sign-in", &error))?;
    let place = details
        .verification_uri_complete()
        .map_or_else(|| details.verification_uri().to_string(), |complete| complete.secret().clone());
    println!("Open {}", super::approvals::safe(&place));
    println!("and check that it shows the code {}", super::approvals::safe(details.user_code().secret()));
    std::io::stdout().flush()?;
    let mut waiting =
        client.exchange_device_access_token(&details).context("the provider has no token endpoint")?;
    if let Some(resource) = &login.resource {
        waiting = waiting.add_extra_param("resource", resource.clone());
    }
    let tokens = waiting
        .request_async(&http, tokio::time::sleep, None)
        .await
        .map_err(|error| refused("nobody signed in", &error))?;
    let signed_in = SignedIn {
        issuer: login.issuer.clone(),
        client_id: login.client_id.clone(),
        resource: login.resource.clone(),
        token: token_of(&tokens, login.resource.as_deref())?,
        ends: ends(&tokens),
        refresh: tokens.refresh_token().map(|token| token.secret().clone()),
    };
    let path = path()?;
    let mut all = read(&path)?;
    all.insert(desk.to_string(), signed_in);
    write(&path, &all)?;
    println!("Signed in; the token is kept in {}", path.display());
    Ok(())
}

/// Forgets the token; whether there was one.
pub(super) fn logout(desk: &Url) -> anyhow::Result<bool> {
    let path = path()?;
    let mut all = read(&path)?;
    let was = all.remove(desk.as_str()).is_some();
    if was {
        write(&path, &all)?;
    }
    Ok(was)
}

/// The token for the desk, renewed where it ends and can be; `None` where nobody is signed in.
pub(super) async fn token(desk: &Url) -> anyhow::Result<Option<String>> {
    let path = path()?;
    let mut all = read(&path)?;
    let Some(signed_in) = all.get(desk.as_str()) else { return Ok(None) };
    if signed_in.ends > crate::clock::machine() + MARGIN {
        return Ok(Some(signed_in.token.clone()));
    }
    let Some(refresh) = signed_in.refresh.clone() else {
        bail!("you were signed in, and that has ended; run `graphwarden approvals login` again");
    };
    let mut renewed = signed_in.clone();
    let http = http()?;
    let metadata = discover(&renewed.issuer, &http).await?;
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new(renewed.client_id.clone()), None)
        .set_auth_type(AuthType::RequestBody);
    let refresh = RefreshToken::new(refresh);
    let mut request =
        client.exchange_refresh_token(&refresh).context("the provider has no token endpoint")?;
    if let Some(resource) = &renewed.resource {
        request = request.add_extra_param("resource", resource.clone());
    }
    let tokens = request.request_async(&http).await.map_err(|error| {
        refused("the sign-in is not renewed; run `graphwarden approvals login` again", &error)
    })?;
    renewed.token = token_of(&tokens, renewed.resource.as_deref())?;
    renewed.ends = ends(&tokens);
    if let Some(next) = tokens.refresh_token() {
        renewed.refresh = Some(next.secret().clone());
    }
    let token = renewed.token.clone();
    all.insert(desk.to_string(), renewed);
    write(&path, &all)?;
    Ok(Some(token))
}

fn http() -> anyhow::Result<Client> {
    // A redirect could carry the device code elsewhere.
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    Ok(Client::new(http))
}

async fn discover(issuer: &str, http: &Client) -> anyhow::Result<Metadata> {
    let issuer = IssuerUrl::new(issuer.to_owned()).context("the issuer is no URL")?;
    Metadata::discover_async(issuer, http)
        .await
        .map_err(|error| anyhow::anyhow!("the issuer cannot be used: {error}"))
}

/// The ID token, or the access token where a resource was asked for.
fn token_of(tokens: &CoreTokenResponse, resource: Option<&str>) -> anyhow::Result<String> {
    match resource {
        Some(_) => Ok(tokens.access_token().secret().clone()),
        None => Ok(tokens.id_token().context("the provider sent no ID token")?.to_string()),
    }
}

/// When the tokens end: what the provider says of the access token, which ID tokens do not outlive by much.
fn ends(tokens: &CoreTokenResponse) -> i64 {
    let lasts = tokens.expires_in().unwrap_or(Duration::from_secs(300));
    crate::clock::machine().saturating_add(i64::try_from(lasts.as_millis()).unwrap_or(0))
}

/// An error without what a provider may have written into it beyond its code.
fn refused<E, T>(what: &str, error: &openidconnect::RequestTokenError<E, T>) -> anyhow::Error
where
    E: std::error::Error + 'static,
    T: openidconnect::ErrorResponse + std::fmt::Display,
{
    match error {
        openidconnect::RequestTokenError::ServerResponse(answer) => {
            anyhow::anyhow!("{what}: {}", super::approvals::safe(&answer.to_string()).replace('\n', " "))
        }
        openidconnect::RequestTokenError::Request(_) => anyhow::anyhow!("{what}: it cannot be reached"),
        _ => anyhow::anyhow!("{what}: its answer is not understood"),
    }
}

fn path() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .context("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for a token")?;
    Ok(folder.join("graphwarden/sign-in.json"))
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<String, SignedIn>> {
    let cannot = || format!("cannot read {}", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).with_context(cannot),
    };
    let mode = fs::metadata(path).with_context(cannot)?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "{} can be read by others (mode {:o}), so it is not used",
        path.display(),
        mode & 0o777
    );
    serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; sign in again after removing it", path.display()))
}

/// Replaces the file in one step; from its first byte it is its owner's alone.
fn write(path: &Path, all: &BTreeMap<String, SignedIn>) -> anyhow::Result<()> {
    let folder = path.parent().context("the path has no folder")?;
    let cannot = || format!("cannot write {}", path.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(cannot)?;
    // `tempfile` makes files with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600)).with_context(cannot)?;
    serde_json::to_writer(&mut file, all).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_its_owners_alone_and_one_that_is_not_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graphwarden/sign-in.json");
        assert!(read(&path).unwrap().is_empty());
        let signed_in = SignedIn {
            issuer: "https://idp.example".into(),
            client_id: "desk".into(),
            resource: None,
            token: "t".into(),
            ends: 1,
            refresh: None,
        };
        write(&path, &BTreeMap::from([("https://desk.example/".to_owned(), signed_in)])).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(read(&path).unwrap()["https://desk.example/"].token, "t");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let Err(error) = read(&path) else { panic!("a file that others can read was used") };
        assert!(error.to_string().contains("can be read by others"), "{error}");
    }
}
