use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::{ClusterId, Position, Timeline};

/// What a reader must be able to see: everything up to a position on a timeline of a cluster.
///
/// Tokens of one cluster form a join-semilattice under [`merge`](Token::merge): a later timeline wins, and on the same
/// timeline the positions are joined. That is sound because a position on a later timeline was written after the
/// fork: what an older token asks for beyond the fork was discarded by the failover, and the rest lies before it.
///
/// The text form, short enough for a cookie or a header, is `mp1.<cluster>.<timeline>.<position>`; the position is
/// `*` for a write whose place is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Token<P> {
    /// The cluster it speaks of.
    cluster: ClusterId,
    timeline: Timeline,
    position: TokenPosition<P>,
}

/// How much of a timeline a [`Token`] asks for.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the three answers there are")]
pub enum TokenPosition<P> {
    /// Nothing was written yet: any node will do.
    Nothing,
    /// Everything up to here.
    UpTo(P),
    /// A write whose place is not known (its answer was lost): a replica has to show all that was written before the token came.
    Everything,
}

impl<P: Position> Token<P> {
    /// A token that asks for `position` on `timeline` of `cluster`.
    #[must_use]
    pub const fn new(cluster: ClusterId, timeline: Timeline, position: TokenPosition<P>) -> Self {
        Self { cluster, timeline, position }
    }

    /// The cluster it speaks of.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The timeline its position lies on.
    #[must_use]
    pub const fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// How much of the timeline it asks for.
    #[must_use]
    pub const fn position(&self) -> &TokenPosition<P> {
        &self.position
    }

    /// The least token that asks for all that either asks for.
    ///
    /// # Errors
    ///
    /// [`TokenError::OtherCluster`] when the two speak of different clusters.
    pub fn merge(&self, other: &Self) -> Result<Self, TokenError> {
        use TokenPosition::{Everything, Nothing, UpTo};
        if self.cluster != other.cluster {
            return Err(TokenError::OtherCluster { token: other.cluster, cluster: self.cluster });
        }
        let position = match (self.timeline.cmp(&other.timeline), &self.position, &other.position) {
            // A token that asks for nothing must not hide what an older timeline's token asks for.
            (_, Nothing, _) => return Ok(other.clone()),
            (_, _, Nothing) | (Ordering::Greater, ..) => return Ok(self.clone()),
            (Ordering::Less, ..) => return Ok(other.clone()),
            (Ordering::Equal, Everything, _) | (Ordering::Equal, _, Everything) => Everything,
            (Ordering::Equal, UpTo(a), UpTo(b)) => UpTo(a.merge(b)),
        };
        Ok(Self { position, ..*self })
    }
}

impl<P: Position> fmt::Display for Token<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mp1.{}.{}.", self.cluster, self.timeline)?;
        match &self.position {
            TokenPosition::Nothing => Ok(()),
            TokenPosition::UpTo(position) => write!(f, "{position}"),
            TokenPosition::Everything => f.write_str("*"),
        }
    }
}

impl<P: Position> FromStr for Token<P> {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (version, rest) = text.split_once('.').ok_or(TokenError::Malformed)?;
        if version != "mp1" {
            let is_version = version.strip_prefix("mp").is_some_and(|n| n.parse::<u32>().is_ok());
            return Err(if is_version { TokenError::UnknownVersion } else { TokenError::Malformed });
        }
        let mut parts = rest.splitn(3, '.');
        let mut part = || parts.next().ok_or(TokenError::Malformed);
        let cluster = u64::from_str_radix(part()?, 16).map_err(|_| TokenError::Malformed)?;
        let timeline = part()?.parse().map_err(|_| TokenError::Malformed)?;
        let position = match part()? {
            "" => TokenPosition::Nothing,
            "*" => TokenPosition::Everything,
            position => TokenPosition::UpTo(position.parse().map_err(|_| TokenError::Malformed)?),
        };
        Ok(Self::new(ClusterId::new(cluster), Timeline::new(timeline), position))
    }
}

/// Why a token cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text is not a token.
    #[error("not a token: expected mp1.<cluster>.<timeline>.<position>")]
    Malformed,
    /// The text is a token of a version that this build cannot read.
    #[error("a token of an unknown version: read it with the millpond that made it, or newer")]
    UnknownVersion,
    /// The token speaks of another cluster.
    #[error("the token is of cluster {token}, this is cluster {cluster}")]
    OtherCluster {
        /// The cluster of the token.
        token: ClusterId,
        /// The cluster it was given to.
        cluster: ClusterId,
    },
    /// The token is of a timeline that no node is on: it is forged, or of a primary that cannot be found from here.
    #[error("the token is of timeline {token}, and no node that answers is on it")]
    LaterTimeline {
        /// The timeline of the token.
        token: Timeline,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(timeline: u32, position: TokenPosition<u64>) -> Token<u64> {
        Token::new(ClusterId::new(0xabc), Timeline::new(timeline), position)
    }

    fn samples() -> Vec<Token<u64>> {
        use TokenPosition::{Everything, Nothing, UpTo};
        let positions = [Nothing, UpTo(0), UpTo(7), UpTo(9), Everything];
        (1..=3).flat_map(|timeline| positions.clone().map(|position| token(timeline, position))).collect()
    }

    /// Two tokens that ask for nothing ask for the same, whatever timeline they name.
    fn same(a: &Token<u64>, b: &Token<u64>) -> bool {
        a == b || (*a.position() == TokenPosition::Nothing && *b.position() == TokenPosition::Nothing)
    }

    #[test]
    fn merge_is_commutative_associative_and_idempotent() {
        for a in &samples() {
            assert_eq!(&a.merge(a).unwrap(), a);
            for b in &samples() {
                let ab = a.merge(b).unwrap();
                assert!(same(&ab, &b.merge(a).unwrap()), "{a} {b}");
                for c in &samples() {
                    let left = ab.merge(c).unwrap();
                    let right = a.merge(&b.merge(c).unwrap()).unwrap();
                    assert!(same(&left, &right), "{a} {b} {c}: {left} {right}");
                }
            }
        }
    }

    #[test]
    fn text_form_round_trips() {
        for sample in samples() {
            assert_eq!(sample.to_string().parse::<Token<u64>>().unwrap(), sample);
        }
        assert_eq!(token(2, TokenPosition::UpTo(9)).to_string(), "mp1.abc.2.9");
    }

    #[test]
    fn garbage_and_unknown_versions_are_errors_of_their_own() {
        for garbage in [
            "",
            "mp1",
            "mp1.",
            "mp1.abc",
            "mp1.abc.1",
            "mp1.xyz.1.2",
            "mp1.abc.-1.2",
            "mp1.abc.1.x",
            "hello.1.2.3",
        ] {
            assert_eq!(garbage.parse::<Token<u64>>(), Err(TokenError::Malformed), "{garbage}");
        }
        assert_eq!("mp2.abc.1.2".parse::<Token<u64>>(), Err(TokenError::UnknownVersion));
    }

    #[test]
    fn tokens_of_two_clusters_do_not_merge() {
        let other = Token::new(ClusterId::new(1), Timeline::new(1), TokenPosition::UpTo(1));
        assert!(matches!(
            token(1, TokenPosition::Nothing).merge(&other),
            Err(TokenError::OtherCluster { .. })
        ));
    }
}
