//! What an issuer says about itself: its discovery document (OpenID Connect Discovery 1.0, section 4).

use std::time::Duration;

use serde::Deserialize;
use url::Url;

/// What of it is needed.
#[derive(Debug, Clone, Deserialize)]
pub struct Provider {
    /// Has to be the issuer that was asked, byte for byte.
    issuer: String,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// What it signs with.
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
}

/// Why an issuer cannot be used, or was not seen.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It could not be asked; it may be reachable from elsewhere.
    #[error("{url} cannot be reached from here: {cause}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why not.
        cause: String,
    },
    /// It answered something else than a document.
    #[error(
        "{url} answered {what}, not a discovery document; the issuer is the `iss` of its tokens, often with a path such \
         as /realms/NAME (Keycloak), /oauth2/default (Okta) or /TENANT/v2.0 (Entra ID)"
    )]
    NoDocument {
        /// What was asked.
        url: String,
        /// What came.
        what: String,
    },
    /// Its document is another issuer's.
    #[error("{asked} calls itself `{named}`: tokens will name that, so give it as the issuer")]
    Other {
        /// The issuer that was meant.
        asked: String,
        /// What it calls itself.
        named: String,
    },
    /// It signs with nothing that the gate verifies.
    #[error("it signs with {0}, and the gate verifies RS, PS and ES, EdDSA and ES256K")]
    Algorithms(String),
}

impl Provider {
    /// The algorithms that both sides know; RS256 where it says nothing, which every issuer has.
    #[must_use]
    pub fn algorithms(&self) -> Vec<&str> {
        const KNOWN: &[&str] =
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "ES256K"];
        let named = &self.id_token_signing_alg_values_supported;
        if named.is_empty() {
            return vec!["RS256"];
        }
        KNOWN.iter().copied().filter(|known| named.iter().any(|name| name == known)).collect()
    }
}

/// Asks an issuer for its document.
pub async fn discover(issuer: &str) -> Result<Provider, ProviderError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let unreachable = |error: reqwest::Error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        ProviderError::Unreachable { url: url.clone(), cause: cause.to_string() }
    };
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().map_err(unreachable)?;
    let answer = client.get(&url).send().await.map_err(unreachable)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(ProviderError::NoDocument { url, what: status.to_string() });
    }
    let provider: Provider = answer
        .json()
        .await
        .map_err(|_| ProviderError::NoDocument { url: url.clone(), what: "something else".to_owned() })?;
    if provider.issuer != issuer {
        return Err(ProviderError::Other { asked: issuer.to_owned(), named: provider.issuer });
    }
    if provider.algorithms().is_empty() {
        return Err(ProviderError::Algorithms(provider.id_token_signing_alg_values_supported.join(", ")));
    }
    Ok(provider)
}
