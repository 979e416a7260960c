//! What kind of body a response has, told from its head alone, and so which transducer rewrites it.
//!
//! Reading the media type is all that happens here; whether an unmaskable body may pass is the
//! policy's word ([`super::Masking::unmaskable_passes`]).

/// The kind of a body, as its masker needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One JSON text (RFC 8259): `application/json`, `*/*+json`.
    Json,
    /// Server-sent events (WHATWG HTML, section 9.2): `text/event-stream`.
    Sse,
    /// One JSON text a line: `application/x-ndjson`, `application/jsonl`.
    Ndjson,
    /// Text without a structure that masking knows.
    Text,
    /// No body will come: HEAD, 1xx, 204, 304.
    Bodiless,
    /// A body that cannot be read, and why: binary, encoded, or only a part of a representation.
    Unmaskable(&'static str),
}

impl Media {
    /// The kind of a response's body.
    ///
    /// `content_type` and `content_encoding` are the header values as received; anything that is
    /// not understood is [`Media::Unmaskable`].
    pub fn of_response(
        head_request: bool,
        status: u16,
        content_type: Option<&[u8]>,
        content_encoding: Option<&[u8]>,
    ) -> Self {
        // RFC 9110 section 6.4.1: these never have content.
        if head_request || matches!(status, 100..=199 | 204 | 304) {
            return Self::Bodiless;
        }
        if status == 206 {
            return Self::Unmaskable("a part of a representation (206)");
        }
        if content_encoding.is_some_and(|coding| {
            let coding = coding.trim_ascii();
            !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
        }) {
            return Self::Unmaskable("an encoded body");
        }
        content_type.map_or(Self::Unmaskable("a body without a media type"), Self::of_type)
    }

    /// The kind that a media type (RFC 9110 section 8.3.1) stands for.
    pub fn of_type(content_type: &[u8]) -> Self {
        let mut parts = content_type.split(|&byte| byte == b';');
        let essence = parts.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let readable = parts.all(|parameter| {
            let mut sides = parameter.splitn(2, |&byte| byte == b'=');
            let name = sides.next().unwrap_or_default().trim_ascii();
            let value = sides.next().unwrap_or_default().trim_ascii();
            !name.eq_ignore_ascii_case(b"charset") || is_ascii_superset(value)
        });
        if !readable {
            return Self::Unmaskable("an unknown character encoding");
        }
        match essence.as_slice() {
            b"application/json" | b"text/json" => Self::Json,
            b"text/event-stream" => Self::Sse,
            b"application/x-ndjson"
            | b"application/ndjson"
            | b"application/jsonl"
            | b"application/x-jsonlines"
            | b"application/jsonlines" => Self::Ndjson,
            b"application/xml" | b"application/yaml" | b"application/x-yaml" | b"application/javascript" => {
                Self::Text
            }
            other if other.ends_with(b"+json") => Self::Json,
            other if other.starts_with(b"text/") || other.ends_with(b"+xml") => Self::Text,
            _ => Self::Unmaskable("a binary or unknown media type"),
        }
    }
}

/// Encodings in which the bytes of ASCII mean ASCII, and nothing else does.
fn is_ascii_superset(charset: &[u8]) -> bool {
    let charset = charset.trim_ascii();
    let bare = charset.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(charset);
    [b"utf-8".as_slice(), b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"iso-8859-15", b"windows-1252"]
        .iter()
        .any(|known| bare.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_media_types_of_a_langgraph_server() {
        for (content_type, media) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=\"UTF-8\"", Media::Json),
            ("application/problem+json", Media::Json),
            ("text/event-stream; charset=utf-8", Media::Sse),
            ("application/x-ndjson", Media::Ndjson),
            ("text/plain", Media::Text),
            ("text/html; charset=utf-8", Media::Text),
        ] {
            assert_eq!(
                Media::of_response(false, 200, Some(content_type.as_bytes()), None),
                media,
                "{content_type}"
            );
        }
    }

    #[test]
    fn what_it_cannot_read_is_unmaskable() {
        for (status, content_type, encoding) in [
            (200, Some("application/octet-stream"), None),
            (200, Some("application/json"), Some("gzip")),
            (200, Some("application/json; charset=utf-16"), None),
            (206, Some("application/json"), None),
            (200, Some("multipart/form-data; boundary=x"), None),
            (200, Some(""), None),
            (200, None, None),
        ] {
            let media = Media::of_response(
                false,
                status,
                content_type.map(str::as_bytes),
                encoding.map(str::as_bytes),
            );
            assert!(
                matches!(media, Media::Unmaskable(_)),
                "{status} {content_type:?} {encoding:?}: {media:?}"
            );
        }
    }

    #[test]
    fn a_response_without_content_is_bodiless_whatever_its_head_says() {
        assert_eq!(Media::of_response(true, 200, Some(b"application/json"), None), Media::Bodiless);
        for status in [100, 101, 204, 304] {
            assert_eq!(Media::of_response(false, status, Some(b"image/png"), None), Media::Bodiless);
        }
    }

    #[test]
    fn the_identity_coding_is_no_coding() {
        assert_eq!(Media::of_response(false, 200, Some(b"application/json"), Some(b"identity")), Media::Json);
        assert_eq!(Media::of_response(false, 200, Some(b"application/json"), Some(b"")), Media::Json);
    }
}
