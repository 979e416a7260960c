//! The four people of the stand and their claims. All invented.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use uuid::Uuid;

/// Someone who can sign in. The variant names the one role that they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    /// Asks the support agent.
    Analyst,
    /// Runs production graphs, with someone's consent.
    Engineer,
    /// Gives that consent.
    Manager,
    /// Reads the evidence.
    Auditor,
}

impl Person {
    /// Everyone.
    pub const ALL: [Self; 4] = [Self::Analyst, Self::Engineer, Self::Manager, Self::Auditor];

    /// The role, which also names the person on the sign-in page.
    #[must_use]
    pub fn role(self) -> &'static str {
        match self {
            Self::Analyst => "analyst",
            Self::Engineer => "engineer",
            Self::Manager => "manager",
            Self::Auditor => "auditor",
        }
    }

    /// The `sub` claim.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Self::Analyst => "u-ana",
            Self::Engineer => "u-eli",
            Self::Manager => "u-mia",
            Self::Auditor => "u-art",
        }
    }

    /// The `name` claim.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Analyst => "Ana Analyst",
            Self::Engineer => "Eli Engineer",
            Self::Manager => "Mia Manager",
            Self::Auditor => "Art Auditor",
        }
    }

    /// The `email` claim.
    #[must_use]
    pub fn email(self) -> String {
        format!("{}@corp.example", self.subject().trim_start_matches("u-"))
    }

    /// The person of that role.
    #[must_use]
    pub fn of_role(role: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|person| person.role() == role)
    }
}

/// The claims of a good token: valid from now on for an hour.
#[must_use]
pub fn claims_for(person: Person, issuer: &str, audience: &str) -> Value {
    let now = unix_now();
    json!({
        "iss": issuer,
        "sub": person.subject(),
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "jti": Uuid::new_v4().to_string(),
        "name": person.name(),
        "email": person.email(),
        "email_verified": true,
        "roles": [person.role()],
    })
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
