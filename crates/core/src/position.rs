use std::fmt::{Debug, Display};
use std::str::FromStr;

/// How far a node has come in the history of its timeline. Each backend brings its own: an LSN, a GTID set.
///
/// Positions form a join-semilattice: [`merge`](Position::merge) is commutative, associative and idempotent,
/// and `a.covers(b)` is the same as `a.merge(b) == a`. Only positions of one cluster and one [timeline](crate::Timeline)
/// may be compared; the callers in this crate see to that.
pub trait Position: Clone + Debug + Display + FromStr + PartialEq + Send + Sync + 'static {
    /// Whether everything up to `other` is contained in what is up to `self`.
    fn covers(&self, other: &Self) -> bool;

    /// The least position that covers both.
    #[must_use]
    fn merge(&self, other: &Self) -> Self;

    /// How far `self` is past `other`, in bytes or transactions as the backend counts; 0 when it is not past it.
    fn distance(&self, other: &Self) -> u64;
}

/// A count: of marks that are raised, or wherever a number is enough.
impl Position for u64 {
    fn covers(&self, other: &Self) -> bool {
        self >= other
    }

    fn merge(&self, other: &Self) -> Self {
        *self.max(other)
    }

    fn distance(&self, other: &Self) -> u64 {
        self.saturating_sub(*other)
    }
}
