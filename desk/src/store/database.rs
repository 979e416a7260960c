//! Which database: what people write, and what it means.
//!
//! ```text
//! graphwarden.db    sqlite:///var/lib/graphwarden/desk.db    postgres://desk@db.internal/graphwarden
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

/// Where the desk keeps everything.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file, for one desk.
    Sqlite(PathBuf),
    /// A server, for any number of desks that work as one.
    Postgres(Url),
}

impl Database {
    /// Reads a path, a `sqlite:` URL or a `postgres:` URL. The error says what is wrong and holds no password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Url::parse(text)
                .map(Self::Postgres)
                .map_err(|error| format!("the PostgreSQL URL is malformed: {error}"));
        }
        let path = match text.strip_prefix("sqlite:") {
            Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
            None => match text.split_once("://") {
                Some((scheme, _)) => {
                    return Err(format!(
                        "`{scheme}` is not supported, use a path, a sqlite: URL or a postgres: URL"
                    ));
                }
                None => text,
            },
        };
        if path.is_empty() || path == ":memory:" {
            return Err("a file is needed, evidence in memory would not be durable".to_owned());
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

/// Without user and password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => {
                write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_is_a_path() {
        for text in ["sqlite:///var/lib/desk.db", "sqlite:/var/lib/desk.db", "/var/lib/desk.db"] {
            assert_eq!(Database::parse(text), Ok(Database::Sqlite("/var/lib/desk.db".into())));
        }
        for text in ["", ":memory:", "sqlite:", "mysql://h/d"] {
            assert!(Database::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_postgres_url_is_shown_without_its_password() {
        for text in ["postgres://desk:hunter2@db:5433/gw", "postgresql://desk:hunter2@db:5433/gw"] {
            let database = Database::parse(text).unwrap();
            assert_eq!(database.to_string(), "postgres://db:5433/gw");
            assert!(!format!("{database:?}").contains("hunter2"));
        }
    }
}
