//! What unit tests share.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use millpond_core::Position;

/// A position that is a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At(pub(crate) u64);

impl Position for At {
    fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }

    fn merge(&self, other: &Self) -> Self {
        Self(self.0.max(other.0))
    }

    fn distance(&self, other: &Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for At {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}
