//! Browsers of people who signed in, and sign-ins on their way. Identifiers are kept as SHA-256 only.

use sha2::{Digest, Sha256};

use super::Store;
use super::sql::sql;
use crate::error::Error;
use crate::people::Person;

/// A signed-in browser.
#[derive(Debug, Clone)]
pub struct Session {
    /// Who.
    pub person: Person,
    /// What every form of this session has to carry.
    pub csrf: String,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at: i64,
}

/// A sign-in on its way to the provider and back.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The nonce that the ID token has to carry.
    pub nonce: String,
    /// The PKCE verifier (RFC 7636).
    pub verifier: String,
    /// The desk's own path to go back to.
    pub return_to: String,
    /// When it is too late, in milliseconds since the Unix epoch.
    pub expires_at: i64,
}

fn key(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

impl Store {
    /// Keeps a session under the secret that its cookie holds, and forgets those that ended.
    pub async fn begin_session(&self, secret: &str, session: &Session, now: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql("DELETE FROM sessions WHERE expires_at <= ?").bind(now).execute(&mut tx).await?;
        sql("INSERT INTO sessions (id, person, csrf, created_at, expires_at) VALUES (?, ?, ?, ?, ?)")
            .bind(key(secret))
            .bind(serde_json::to_string(&session.person)?)
            .bind(&session.csrf)
            .bind(now)
            .bind(session.expires_at)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The session of a cookie, while it lasts.
    pub async fn session(&self, secret: &str, now: i64) -> Result<Option<Session>, Error> {
        let row = sql("SELECT person, csrf, expires_at FROM sessions WHERE id = ? AND expires_at > ?")
            .bind(key(secret))
            .bind(now)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.map(|row| {
            Ok(Session {
                person: serde_json::from_str(&row.get::<String>("person")?)?,
                csrf: row.get("csrf")?,
                expires_at: row.get("expires_at")?,
            })
        })
        .transpose()
    }

    /// Ends a session.
    pub async fn end_session(&self, secret: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql("DELETE FROM sessions WHERE id = ?").bind(key(secret)).execute(&mut tx).await?;
        tx.commit().await
    }

    /// Keeps a sign-in under its state (RFC 6749, section 10.12), and forgets those that came to nothing.
    pub async fn begin_sign_in(&self, state: &str, sign_in: &SignIn, now: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql("DELETE FROM sign_ins WHERE expires_at <= ?").bind(now).execute(&mut tx).await?;
        sql("INSERT INTO sign_ins (id, nonce, verifier, return_to, expires_at) VALUES (?, ?, ?, ?, ?)")
            .bind(key(state))
            .bind(&sign_in.nonce)
            .bind(&sign_in.verifier)
            .bind(&sign_in.return_to)
            .bind(sign_in.expires_at)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a sign-in out, so that a state works once.
    pub async fn take_sign_in(&self, state: &str, now: i64) -> Result<Option<SignIn>, Error> {
        let mut tx = self.begin().await?;
        let row = sql("DELETE FROM sign_ins WHERE id = ? RETURNING nonce, verifier, return_to, expires_at")
            .bind(key(state))
            .fetch_optional(&mut tx)
            .await?;
        tx.commit().await?;
        let sign_in = row
            .map(|row| {
                Ok::<_, Error>(SignIn {
                    nonce: row.get("nonce")?,
                    verifier: row.get("verifier")?,
                    return_to: row.get("return_to")?,
                    expires_at: row.get("expires_at")?,
                })
            })
            .transpose()?;
        Ok(sign_in.filter(|sign_in| sign_in.expires_at > now))
    }
}
