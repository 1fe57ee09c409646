use std::fmt;
use std::str::FromStr;

use millpond_cluster::core::Position;
use tokio_postgres::types::PgLsn;

/// A place in PostgreSQL's write-ahead log, in bytes from its start. Text form as PostgreSQL's: `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

/// PostgreSQL's `XLOG_BLCKSZ`: 8 kB in every build that its packagers ship.
const PAGE: u64 = 8192;
/// Bytes of header at the start of a page, and of a segment's first page.
const PAGE_HEADER: u64 = 24;
const SEGMENT_HEADER: u64 = 40;

impl Lsn {
    /// The place at this byte.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes from the start of the log.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The end of what was written, from what `pg_current_wal_insert_lsn()` said.
    ///
    /// That function names the place where the *next* record starts. Right behind a page's header it lies past what a
    /// replica reports that has replayed everything, which is the page's start; so it is taken back to there. Only
    /// the header of a page (24 bytes) or of a segment (40) is taken back: a record can end 40 bytes into any other
    /// page.
    #[must_use]
    pub const fn end_of_written(insert: u64, segment_size: u64) -> Self {
        let in_page = insert % PAGE;
        let in_segment = match segment_size {
            0 => u64::MAX,
            size => insert % size,
        };
        if in_segment == SEGMENT_HEADER {
            Self(insert - SEGMENT_HEADER)
        } else if in_page == PAGE_HEADER && in_segment != PAGE_HEADER {
            Self(insert - PAGE_HEADER)
        } else {
            Self(insert)
        }
    }
}

impl Position for Lsn {
    fn covers(&self, other: &Self) -> bool {
        self >= other
    }

    fn merge(&self, other: &Self) -> Self {
        *self.max(other)
    }

    fn distance(&self, other: &Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl From<PgLsn> for Lsn {
    fn from(lsn: PgLsn) -> Self {
        Self(lsn.into())
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        // Stricter than the driver's own, which takes numbers that do not fit, and signs.
        let half = |half: &str| {
            let is_number = half.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(half, 16).ok().filter(|_| is_number).map(u64::from)
        };
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        half(high).zip(half(low)).map(|(high, low)| Self(high << 32 | low)).ok_or(ParseLsnError)
    }
}

/// A text that is no place in the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log sequence number: expected two hexadecimal numbers, as in 16/B374D848")]
#[non_exhaustive]
pub struct ParseLsnError;

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 * 1024 * 1024;

    #[test]
    fn text_form_is_postgresqls() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!(lsn.get(), 0x16_b374_d848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        for garbage in ["", "16", "16/", "/", "x/1", "1/2/3", "123456789/1", "+1/1"] {
            assert_eq!(garbage.parse::<Lsn>(), Err(ParseLsnError), "{garbage}");
        }
    }

    #[test]
    fn a_place_behind_a_page_header_is_the_pages_start() {
        let page = 5 * SEGMENT + 3 * PAGE;
        assert_eq!(Lsn::end_of_written(page + 24, SEGMENT), Lsn::new(page));
        assert_eq!(Lsn::end_of_written(5 * SEGMENT + 40, SEGMENT), Lsn::new(5 * SEGMENT));
    }

    #[test]
    fn a_place_where_a_record_can_end_stays() {
        let page = 5 * SEGMENT + 3 * PAGE;
        for offset in [0, 8, 32, 40, 48, 8184] {
            assert_eq!(Lsn::end_of_written(page + offset, SEGMENT), Lsn::new(page + offset), "{offset}");
        }
        assert_eq!(Lsn::end_of_written(5 * SEGMENT + 24, SEGMENT), Lsn::new(5 * SEGMENT + 24));
        assert_eq!(
            Lsn::end_of_written(5 * SEGMENT + 40, 0),
            Lsn::new(5 * SEGMENT + 40),
            "segment size not known"
        );
    }
}
