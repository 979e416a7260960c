//! What people see: server-rendered pages that work without JavaScript and update themselves with a little.
//!
//! | file | pages |
//! |---|---|
//! | `list` | what waits, and the history |
//! | `notifications` | what was told, and dead letters |
//! | `request` | one request, and deciding about it |
//! | `evidence` | searching the ledger, one record, findings |
//! | `replay` | the approval and the stream on a record's page |
//! | `auditor` | making an export, verifying one |
//! | `assets` | style, script, icon |

use askama::Template;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use crate::app::Desk;
use crate::error::Error;
use crate::people::Person;
use crate::store::Session;

mod assets;
mod auditor;
mod evidence;
mod list;
mod notifications;
mod replay;
mod request;
mod words;

pub(crate) use words::operations as operations_in_words;

/// Every page.
pub fn router() -> Router<Desk> {
    Router::new()
        .merge(assets::router())
        .merge(list::router())
        .merge(notifications::router())
        .merge(request::router())
        .merge(evidence::router())
        .merge(auditor::router())
}

/// What every page has around it.
#[derive(Debug)]
struct Frame {
    title: String,
    tab: &'static str,
    person: Option<Person>,
    csrf: String,
    auditor: bool,
    version: &'static str,
}

impl Frame {
    fn new(desk: &Desk, session: &Session, title: impl Into<String>, tab: &'static str) -> Self {
        Self {
            title: title.into(),
            tab,
            auditor: is_auditor(desk, &session.person),
            person: Some(session.person.clone()),
            csrf: session.csrf.clone(),
            version: assets::VERSION,
        }
    }

    /// For pages that anyone may see.
    fn open(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            tab: "",
            person: None,
            csrf: String::new(),
            auditor: false,
            version: assets::VERSION,
        }
    }

    /// The signed-in person's name.
    fn name(&self) -> &str {
        self.person.as_ref().map_or("", Person::display)
    }
}

fn is_auditor(desk: &Desk, person: &Person) -> bool {
    person.roles.iter().any(|role| desk.settings.auditor_roles.contains(role))
}

fn render(page: &impl Template) -> Result<Html<String>, Error> {
    page.render().map(Html).map_err(|error| Error::Internal(error.into()))
}

/// An error as a page, or the way to the sign-in.
#[derive(Debug)]
pub enum PageError {
    /// Something went wrong.
    Error(Error),
    /// Nobody is signed in; the path is where the person wanted to go.
    SignIn(String),
}

impl PageError {
    /// Nobody is signed in. A page is found again afterwards; a form is not sent again by itself.
    pub fn sign_in(is_get: bool, path: &str) -> Self {
        if is_get { Self::SignIn(path.to_owned()) } else { Self::Error(Error::SignIn) }
    }
}

impl<E: Into<Error>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    heading: &'static str,
    text: String,
    code: &'static str,
    sign_in: bool,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let error = match self {
            Self::SignIn(path) => {
                let query = serde_urlencoded_path(&path);
                return Redirect::to(&format!("/sign-in?return_to={query}")).into_response();
            }
            Self::Error(error) => error,
        };
        error.log();
        let status = error.status();
        let page = ErrorPage {
            frame: Frame::open(heading(&error)),
            heading: heading(&error),
            text: words::sentence(&error.to_string()),
            code: error.code(),
            sign_in: matches!(
                error,
                Error::SignIn | Error::SignInFailed(_) | Error::Forged | Error::Token(_)
            ),
        };
        match render(&page) {
            Ok(html) => (status, html).into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// A heading in words for an error page.
fn heading(error: &Error) -> &'static str {
    match error.status() {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::UNAUTHORIZED => "Please sign in",
        StatusCode::CONFLICT => "Too late",
        StatusCode::SERVICE_UNAVAILABLE => "Not available right now",
        StatusCode::INTERNAL_SERVER_ERROR => "Something went wrong",
        _ => "That did not work",
    }
}

/// A path as a query value.
fn serde_urlencoded_path(path: &str) -> String {
    url::form_urlencoded::byte_serialize(path.as_bytes()).collect()
}

/// An asset that may be kept: its URL changes with its content.
fn kept(media: &'static str, body: &'static [u8]) -> Response {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, body).into_response()
}
