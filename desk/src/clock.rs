//! The time, as something that tests can set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    fixed: Option<Arc<AtomicI64>>,
    /// By how much the clock that is followed is ahead of the machine's.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is moved with [`Clock::advance`].
    pub fn standing_at(milliseconds: i64) -> Self {
        Self { fixed: Some(Arc::new(AtomicI64::new(milliseconds))), ..Self::default() }
    }

    /// Moves a standing clock; the machine's clock is left alone.
    pub fn advance(&self, milliseconds: i64) {
        if let Some(fixed) = &self.fixed {
            fixed.fetch_add(milliseconds, Ordering::SeqCst);
        }
    }

    /// Follows a clock that is ahead of the machine's by so many milliseconds; a standing clock follows none.
    pub fn follow(&self, offset: i64) {
        self.offset.store(offset, Ordering::SeqCst);
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> i64 {
        match &self.fixed {
            Some(fixed) => fixed.load(Ordering::SeqCst),
            None => machine().saturating_add(self.offset.load(Ordering::SeqCst)),
        }
    }
}

/// The machine's time in milliseconds since the Unix epoch.
pub fn machine() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC.
pub fn rfc3339(milliseconds: i64) -> String {
    graphwarden_policies::evidence::timestamp(u64::try_from(milliseconds).unwrap_or(0).saturating_mul(1_000))
}

/// RFC 3339 as microseconds since the Unix epoch.
pub fn parse_micros(text: &str) -> Option<i64> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000).ok()
}

/// RFC 3339, or a bare date at midnight UTC, as milliseconds since the Unix epoch.
pub fn parse_time(text: &str) -> Option<i64> {
    use time::format_description::well_known::Rfc3339;
    use time::{Date, OffsetDateTime, macros::format_description};
    let at = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
        let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
        Some(date.midnight().assume_utc())
    })?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_written() {
        for at in [0, 1_763_806_530_123] {
            assert_eq!(parse_time(&rfc3339(at)), Some(at));
        }
        assert_eq!(parse_time("1970-01-02"), Some(86_400_000));
        assert_eq!(parse_time("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_time("yesterday"), None);
        assert_eq!(parse_micros("1970-01-01T00:00:01.000002Z"), Some(1_000_002));
    }
}
