//! How values are written by serde where their own form is another: times in milliseconds, reasons by their word.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millpond_core::Reason;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::{ErrorKind, Latencies, Mode};

/// A time in milliseconds, with a fraction.
pub(crate) fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(in_millis(*time))
}

fn in_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What `Display` shows.
pub(crate) fn text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Counts by the words of their reasons.
pub(crate) fn by_reason<S: Serializer>(counts: &[(Reason, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut words = BTreeMap::new();
    for (reason, count) in counts {
        // What is no read is one word, whatever it is.
        *words.entry(reason.as_str()).or_insert(0) += count;
    }
    serializer.collect_map(words)
}

/// Counts by the words of what went wrong.
pub(crate) fn by_kind<S: Serializer>(counts: &[(ErrorKind, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(kind, count)| (kind.as_str(), count)))
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How many statements were timed, and in how many milliseconds so many of them were answered: `p50_ms` is for half of them. Nothing is `null`
/// there, and never zero.
impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let quantiles = [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("p999_ms", 0.999)];
        let mut fields = serializer.serialize_struct("Latencies", quantiles.len() + 1)?;
        fields.serialize_field("count", &self.count())?;
        for (name, q) in quantiles {
            fields.serialize_field(name, &self.quantile(q).map(in_millis))?;
        }
        fields.end()
    }
}
