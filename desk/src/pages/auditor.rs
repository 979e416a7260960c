//! What auditors take away and check: an export made here, and the verification of one.

use std::io::{Seek, SeekFrom, Write};

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use futures::TryStreamExt;

use super::evidence::check;
use super::{Frame, PageError, render, words};
use crate::app::Desk;
use crate::clock::parse_time;
use crate::error::Error;
use crate::log::PublicKey;
use crate::package::{Directory, Report, Request, verify, write};
use crate::people::SignedIn;
use crate::store::{Event, Selection};

/// The largest export that is verified here, in bytes; larger ones go to the command line.
const LARGEST_UPLOAD: usize = 1 << 30;
/// The longest field of a form, in bytes.
const LONGEST_FIELD: usize = 16 * 1024 * 1024;
/// How much of a download is read at once.
const PIECE: usize = 128 * 1024;

pub(super) fn router() -> Router<Desk> {
    Router::new()
        .route("/export", get(export_form).post(export).layer(DefaultBodyLimit::max(2 * LONGEST_FIELD)))
        .route(
            "/verification",
            get(verify_form).post(verify_upload).layer(DefaultBodyLimit::max(LARGEST_UPLOAD)),
        )
}

#[derive(Template)]
#[template(path = "export.html")]
struct ExportPage {
    frame: Frame,
    wrong: Option<String>,
    key: String,
    size: i64,
}

async fn export_page(desk: &Desk, signed_in: &SignedIn, wrong: Option<String>) -> Result<ExportPage, Error> {
    Ok(ExportPage {
        frame: Frame::new(desk, &signed_in.session, "Export", "export"),
        wrong,
        key: desk.log_key.public().to_owned(),
        size: desk.store.ledger_size().await?,
    })
}

async fn export_form(State(desk): State<Desk>, signed_in: SignedIn) -> Result<Html<String>, PageError> {
    check(&desk, &signed_in.session.person)?;
    Ok(render(&export_page(&desk, &signed_in, None).await?)?)
}

async fn export(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    form: Multipart,
) -> Result<Response, PageError> {
    check(&desk, &signed_in.session.person)?;
    let form = Fields::read(form).await?;
    signed_in.check(form.text("csrf"))?;
    let request = match requested(&form) {
        Ok(request) => request,
        Err(error) => {
            let page = export_page(&desk, &signed_in, Some(words::sentence(&format!("{error:#}")))).await?;
            return Ok((StatusCode::BAD_REQUEST, render(&page)?).into_response());
        }
    };
    let now = desk.clock.now();
    // The entry comes first, so that it is part of what it tells of.
    let event = Event {
        person: Some(&signed_in.session.person),
        detail: Some("a package by the page"),
        ..Event::new("export")
    };
    desk.store.record(&event, now).await?;
    let file = tempfile::tempfile()?;
    if let Err(error) = write(&desk.store, &desk.log_key, &request, now, file.try_clone()?).await {
        // What the form asked for, most likely: an earlier checkpoint of another log.
        let page = export_page(&desk, &signed_in, Some(words::sentence(&format!("{error:#}")))).await?;
        return Ok((StatusCode::BAD_REQUEST, render(&page)?).into_response());
    }
    download(file, &format!("evidence-{}.zip", crate::clock::rfc3339(now).get(..10).unwrap_or("export")))
}

fn requested(form: &Fields) -> anyhow::Result<Request> {
    let given = |name: &str| Some(form.text(name).trim().to_owned()).filter(|text| !text.is_empty());
    let time = |name: &str, days: i64| match given(name) {
        None => Ok(None),
        Some(text) => parse_time(&text)
            .map(|at| Some(at + days * 86_400_000))
            .ok_or_else(|| anyhow::anyhow!("“{text}” is not a date such as 2026-11-22")),
    };
    let bytes = |name: &str| form.bytes(name).filter(|bytes| !bytes.is_empty());
    Ok(Request {
        selection: Selection {
            from: time("from", 0)?,
            // People mean the whole day.
            to: time("to", 1)?,
            person: given("person"),
            operation: given("operation"),
            thread: given("thread"),
            decision: given("decision"),
            request: given("request"),
        },
        since: bytes("since").map(<[u8]>::to_vec),
        directory: bytes("directory").map(Directory::from_csv).transpose()?,
    })
}

/// Hands a file out piece by piece.
fn download(mut file: std::fs::File, name: &str) -> Result<Response, PageError> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let file = tokio::fs::File::from_std(file);
    let pieces = futures::stream::try_unfold(file, async |mut file| {
        use tokio::io::AsyncReadExt;
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    let mut response = Response::new(Body::from_stream(pieces.map_ok(axum::body::Bytes::from)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

#[derive(Template)]
#[template(path = "verification.html")]
struct VerificationPage {
    frame: Frame,
    key: String,
    report: Option<Report>,
    wrong: Option<String>,
}

async fn verify_form(State(desk): State<Desk>, signed_in: SignedIn) -> Result<Html<String>, PageError> {
    check(&desk, &signed_in.session.person)?;
    let key = desk.log_key.public().to_owned();
    let frame = Frame::new(&desk, &signed_in.session, "Verification", "verification");
    Ok(render(&VerificationPage { frame, key, report: None, wrong: None })?)
}

async fn verify_upload(
    State(desk): State<Desk>,
    signed_in: SignedIn,
    mut form: Multipart,
) -> Result<Response, PageError> {
    check(&desk, &signed_in.session.person)?;
    let mut fields = Fields::default();
    let mut upload = tempfile::tempfile()?;
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        if field.name() != Some("file") {
            fields.add(field).await?;
            continue;
        }
        // The token comes before the file: nothing is taken from whoever has none.
        signed_in.check(fields.text("csrf"))?;
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            upload.write_all(&chunk)?;
        }
    }
    signed_in.check(fields.text("csrf"))?;
    let key = Some(fields.text("key").trim().to_owned()).filter(|key| !key.is_empty());
    let key = key.unwrap_or_else(|| desk.log_key.public().to_owned());
    let since = fields.bytes("since").filter(|since| !since.is_empty()).map(<[u8]>::to_vec);
    let parsed = PublicKey::parse(&key);
    let result = tokio::task::spawn_blocking(move || {
        upload.seek(SeekFrom::Start(0))?;
        verify(std::io::BufReader::new(upload), &parsed?, since.as_deref())
    })
    .await
    .map_err(|error| Error::Internal(error.into()))?;
    let detail = if result.is_ok() { "an export, sound" } else { "an export, not sound" };
    let event =
        Event { person: Some(&signed_in.session.person), detail: Some(detail), ..Event::new("verification") };
    desk.store.record(&event, desk.clock.now()).await?;
    let frame = Frame::new(&desk, &signed_in.session, "Verification", "verification");
    let (status, report, wrong) = match result {
        Ok(report) => (StatusCode::OK, Some(report), None),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, None, Some(words::sentence(&format!("{error:#}")))),
    };
    Ok((status, render(&VerificationPage { frame, key, report, wrong })?).into_response())
}

/// The fields of a form with files.
#[derive(Default)]
struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    async fn read(mut form: Multipart) -> Result<Self, Error> {
        let mut fields = Self::default();
        while let Some(field) = form.next_field().await.map_err(broken)? {
            fields.add(field).await?;
        }
        Ok(fields)
    }

    async fn add(&mut self, mut field: axum::extract::multipart::Field<'_>) -> Result<(), Error> {
        if self.0.len() >= 32 {
            return Err(Error::Malformed("the form has too many fields".to_owned()));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            if bytes.len() + chunk.len() > LONGEST_FIELD {
                return Err(Error::TooLarge(LONGEST_FIELD));
            }
            bytes.extend_from_slice(&chunk);
        }
        self.0.push((name, bytes));
        Ok(())
    }

    fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|field| field.0 == name).map(|field| field.1.as_slice())
    }

    fn text(&self, name: &str) -> &str {
        self.bytes(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

fn broken(error: axum::extract::multipart::MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::TooLarge(LARGEST_UPLOAD)
    } else {
        Error::Malformed("the form did not arrive whole".to_owned())
    }
}
