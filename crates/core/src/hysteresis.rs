use std::time::Instant;

/// Something that is so after three looks in a row that say it, and no longer after three that say the contrary.
///
/// With a threshold for entering and a lower one for leaving, what is near them does not go to and fro.
#[derive(Clone, Copy, Debug)]
pub struct Hysteresis {
    since: Option<Instant>,
    looks_otherwise: u32,
}

/// One look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two thresholds")]
pub enum Look {
    /// Beyond the threshold for entering.
    Bad,
    /// Between the two: it is what it was.
    Between,
    /// Below that for leaving.
    Good,
}

impl Look {
    /// One by both thresholds; beyond the first counts first.
    #[must_use]
    pub const fn of(is_bad: bool, is_good: bool) -> Self {
        match (is_bad, is_good) {
            (true, _) => Self::Bad,
            (false, true) => Self::Good,
            (false, false) => Self::Between,
        }
    }
}

impl Hysteresis {
    /// It is not so.
    pub const NO: Self = Self { since: None, looks_otherwise: 0 };

    /// How many looks in a row change it.
    pub const LOOKS: u32 = 3;

    /// Since when it is so, if it is.
    #[must_use]
    pub const fn since(self) -> Option<Instant> {
        self.since
    }

    /// Takes in one look. Says what it is now if that has changed.
    pub fn take(&mut self, look: Look, now: Instant) -> Option<bool> {
        let is_otherwise = match look {
            Look::Bad => self.since.is_none(),
            Look::Good => self.since.is_some(),
            Look::Between => false,
        };
        self.looks_otherwise = if is_otherwise { self.looks_otherwise + 1 } else { 0 };
        if self.looks_otherwise < Self::LOOKS {
            return None;
        }
        let is_so = self.since.is_none();
        *self = Self { since: is_so.then_some(now), ..Self::NO };
        Some(is_so)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_three_looks_in_a_row_and_what_is_between_changes_nothing() {
        let now = Instant::now();
        let mut it = Hysteresis::NO;
        let mut told = |looks: &[Look]| looks.iter().map(|look| it.take(*look, now)).collect::<Vec<_>>();
        assert_eq!(told(&[Look::Bad, Look::Bad, Look::Good]), [None; 3]);
        assert_eq!(told(&[Look::Bad, Look::Bad, Look::Between]), [None; 3]);
        assert_eq!(told(&[Look::Bad, Look::Bad, Look::Bad]), [None, None, Some(true)]);
        assert_eq!(told(&[Look::Between, Look::Good, Look::Good, Look::Bad]), [None; 4]);
        assert_eq!(told(&[Look::Good, Look::Good, Look::Good]), [None, None, Some(false)]);
        assert_eq!(it.since(), None);
    }
}
