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
    for dialect in DIALECTS {
        let is_linear = grows_no_faster(sql, |text| {
            black_box(classify(text, dialect));
            black_box(split(text, dialect).count());
            black_box(digest(text, dialect));
        });
        assert!(is_linear, "{dialect}: no linear time for copies of {sql:?}");
    }
}

/// Whether the time of the work grows no faster than the text. An interrupt may spoil one measurement of either text, and never all
/// of them: each text's shortest time counts.
fn grows_no_faster(sql: &str, work: impl Fn(&str)) -> bool {
    let short = sql.repeat(SHORT.div_ceil(sql.len()));
    let long = short.repeat(TIMES);
    // The clock is too coarse for less.
    let floor = Duration::from_micros(10);
    let of_short = (0..6).map(|_| time(&short, &work)).min().unwrap_or_default().max(floor);
    (0..6).any(|_| time(&long, &work) <= of_short * ALLOWED)
}

/// The time of this thread alone: other work on the machine does not count.
fn time(sql: &str, work: impl Fn(&str)) -> Duration {
    let before = now();
    work(sql);
    now().saturating_sub(before)
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_quadratic_time_is_told_from_work_in_linear_time() {
        let bytes = |text: &str| text.bytes().map(u64::from).sum::<u64>();
        assert!(grows_no_faster("select 1 ", |text| _ = black_box(bytes(text))));
        // Every hundredth byte looks at all before it.
        let each = |text: &str| (0..text.len()).step_by(100).map(|end| bytes(&text[..end])).sum::<u64>();
        assert!(!grows_no_faster("select 1 ", |text| _ = black_box(each(text))));
    }
}
