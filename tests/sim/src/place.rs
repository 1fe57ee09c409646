use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use millpond_core::Position;

/// A place in a log, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) u64);

impl Position for Place {
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Place {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}
