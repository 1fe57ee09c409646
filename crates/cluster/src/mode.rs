use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// The switch for incidents: what routing does, changed at run time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an operator's switch has named positions")]
pub enum Mode {
    /// Reads go to replicas.
    #[default]
    Route,
    /// Everything goes to the primary.
    PrimaryOnly,
    /// Everything goes to the primary; what [`Route`](Mode::Route) would have done is counted, and
    /// [recorded](crate::ShadowReport) by statement.
    Shadow,
}

impl Mode {
    /// The word that events, [switches](crate::Switches) and `Display` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::PrimaryOnly => "primary-only",
            Self::Shadow => "shadow",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A [`Mode`] that every statement reads and an operator sets.
#[derive(Debug)]
pub(crate) struct ModeSwitch(AtomicU8);

impl ModeSwitch {
    pub(crate) const fn new(mode: Mode) -> Self {
        Self(AtomicU8::new(mode as u8))
    }

    // Relaxed: a statement that starts at the same moment may go either way.
    pub(crate) fn get(&self) -> Mode {
        match self.0.load(Ordering::Relaxed) {
            0 => Mode::Route,
            1 => Mode::PrimaryOnly,
            _ => Mode::Shadow,
        }
    }

    pub(crate) fn set(&self, mode: Mode) -> Mode {
        let before = self.get();
        self.0.store(mode as u8, Ordering::Relaxed);
        before
    }
}
