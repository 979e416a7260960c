//! The people of the desk: who they are, and how the desk comes to know it.

mod authority;
mod bearer;
mod kin;
mod sign_in;

pub use authority::Authority;
pub(crate) use authority::Client;
pub use bearer::Caller;
pub use kin::{Kin, Marks};
pub use sign_in::{SignedIn, router};

use serde::{Deserialize, Serialize};

/// Someone whom the provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The token's issuer.
    pub issuer: String,
    /// Their subject there.
    pub subject: String,
    /// A name for people to read.
    pub name: Option<String>,
    /// An e-mail address.
    pub email: Option<String>,
    /// Their roles.
    pub roles: Vec<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// The marks of the token that said so.
    pub token: Option<TokenMarks>,
}

/// A token's marks, none of which can be used as a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMarks {
    /// The `jti` claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The `iat` claim, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// The `exp` claim, seconds since the Unix epoch.
    pub exp: i64,
    /// The header's `alg`.
    pub alg: String,
    /// The header's `kid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// SHA-256 of the token, lower-case hexadecimal.
    pub sha256: String,
}

impl Person {
    /// What to call them: the name, else the e-mail address, else the subject.
    pub fn display(&self) -> &str {
        self.name.as_deref().or(self.email.as_deref()).unwrap_or(&self.subject)
    }

    /// What tells them from others.
    pub fn marks(&self) -> Marks<'_> {
        Marks { issuer: &self.issuer, subject: &self.subject, email: self.email.as_deref() }
    }

    /// Their roles and groups in words, for refusals that say why.
    pub fn roles_in_words(&self) -> String {
        let roles = match self.roles.as_slice() {
            [] => "no roles".to_owned(),
            [one] => format!("the role {one}"),
            many => format!("the roles {}", many.join(", ")),
        };
        match self.groups.as_slice() {
            [] => roles,
            [one] => format!("{roles} and the group {one}"),
            many => format!("{roles} and the groups {}", many.join(", ")),
        }
    }
}
