/// What a statement does to data, as far as its text shows.
///
/// The order is the order of strictness: of several statements in one text the greatest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "every router has to say what it does with each of the four")]
pub enum Access {
    /// Reads only: may run on a replica.
    Read,
    /// Changes data, takes locks, or has another effect that only a primary allows.
    Write,
    /// Changes the schema or the server's settings.
    Definition,
    /// The text does not tell. Treated as a write everywhere.
    Unknown,
}

impl Access {
    /// Whether a replica may run it.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Read)
    }

    /// The lower-case word that metrics, events and `Display` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Definition => "definition",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
