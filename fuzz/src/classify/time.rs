//! Time linear in the length of the text.

use std::hint::black_box;
use std::time::Duration;

use millpond_sql::{Dialect, classify, digest, split};
use rustix::time::{ClockId, clock_gettime};

use super::DIALECTS;

/// How long the shorter text is, and how many times as long the longer one.
const SHORT: usize = 8 * 1024;
const TIMES: usize = 8;

/// A walk in linear time takes 8 times as long, one in quadratic time 64 times.
const ALLOWED: u32 = 24;

/// One text in so many is timed, since that takes as long as hundreds of others. The text itself decides.
const ONE_IN: u64 = 128;

/// Texts made of many copies of this one take time in proportion to their length.
pub(super) fn is_linear(sql: &str) {
    if sql.is_empty() || digest(sql, Dialect::Postgres).value() % ONE_IN != 0 {
        return;
    }
    let short = sql.repeat(SHORT.div_ceil(sql.len()));
    let long = short.repeat(TIMES);
    for dialect in DIALECTS {
        // An interrupt may spoil one measurement, and never all of them.
        let is_once = (0..6).any(|_| time(&long, dialect) <= floor(time(&short, dialect)) * ALLOWED);
        assert!(is_once, "{dialect}: no linear time for copies of {sql:?}");
    }
}

/// The clock is too coarse for less.
fn floor(time: Duration) -> Duration {
    time.max(Duration::from_micros(10))
}

/// The time of this thread alone: other work on the machine does not count.
fn time(sql: &str, dialect: Dialect) -> Duration {
    let before = now();
    black_box(classify(sql, dialect));
    black_box(split(sql, dialect).count());
    black_box(digest(sql, dialect));
    now().saturating_sub(before)
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
}
