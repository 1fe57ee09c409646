//! What a statement leaves behind in, or needs from, the session of one server connection.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of session effects: what a statement leaves in, or needs from, the connection it runs on.
///
/// A statement with an empty set can run on any connection and leaves it as it was.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Effects(u16);

/// Every effect with its name, in the order of the bits.
const NAMES: [(Effects, &str); 15] = [
    (Effects::TRANSACTION, "transaction"),
    (Effects::SETTING, "setting"),
    (Effects::TEMPORARY, "temporary"),
    (Effects::ADVISORY_LOCK, "advisory_lock"),
    (Effects::TABLE_LOCK, "table_lock"),
    (Effects::LISTEN, "listen"),
    (Effects::CURSOR, "cursor"),
    (Effects::PREPARED, "prepared"),
    (Effects::SESSION_VALUE, "session_value"),
    (Effects::USER_VARIABLE, "user_variable"),
    (Effects::LARGE_OBJECT, "large_object"),
    (Effects::DATABASE, "database"),
    (Effects::LOAD, "load"),
    (Effects::COPY, "copy"),
    (Effects::OUTSIDE, "outside"),
];

impl Effects {
    /// No effect.
    pub const NONE: Self = Self(0);
    /// Opens, ends or changes a transaction: `BEGIN`, `COMMIT`, `SAVEPOINT`, `SET TRANSACTION`.
    pub const TRANSACTION: Self = Self(1);
    /// Changes a setting of the session: `SET`, `RESET`, `DISCARD`, `set_config()`.
    pub const SETTING: Self = Self(1 << 1);
    /// Makes or names a temporary object.
    pub const TEMPORARY: Self = Self(1 << 2);
    /// Takes or gives back an advisory (named) lock.
    pub const ADVISORY_LOCK: Self = Self(1 << 3);
    /// Takes or gives back locks on whole tables: `LOCK TABLE`, `LOCK TABLES`.
    pub const TABLE_LOCK: Self = Self(1 << 4);
    /// Subscribes to notifications or ends a subscription.
    pub const LISTEN: Self = Self(1 << 5);
    /// Opens, reads or closes a cursor or a handler.
    pub const CURSOR: Self = Self(1 << 6);
    /// Makes, runs or drops a statement prepared by text.
    pub const PREPARED: Self = Self(1 << 7);
    /// Asks for a value that belongs to one connection, often to its previous statement: `currval()`, `LAST_INSERT_ID()`.
    pub const SESSION_VALUE: Self = Self(1 << 8);
    /// Reads or sets a user variable: `@a`.
    pub const USER_VARIABLE: Self = Self(1 << 9);
    /// Uses large object descriptors, which live as long as their transaction.
    pub const LARGE_OBJECT: Self = Self(1 << 10);
    /// Changes the current database: `USE`.
    pub const DATABASE: Self = Self(1 << 11);
    /// Leaves in the server process of the connection what no command takes out again: a library (`LOAD`), a backup under way, a
    /// connection of `dblink`.
    pub const LOAD: Self = Self(1 << 12);
    /// Speaks the copy protocol, which only a copy call of the driver can carry on.
    pub const COPY: Self = Self(1 << 13);
    /// Reaches outside the database: a file or a program of the server, another server, other sessions.
    pub const OUTSIDE: Self = Self(1 << 14);

    /// What ends with its statement and binds it to no connection.
    const PASSING: Self = Self(Self::COPY.0 | Self::OUTSIDE.0);

    /// What needs its connection but leaves nothing in it.
    const ASKING: Self = Self(Self::PASSING.0 | Self::SESSION_VALUE.0);

    /// Whether the set has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every effect of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any effect of `other` is in the set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The effects of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The effects of this set that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the statement must run on one certain connection, or changes the one it runs on.
    #[must_use]
    pub const fn binds_session(self) -> bool {
        self.0 & !Self::PASSING.0 != 0
    }

    /// Whether something stays in the connection when the statement is done, so that the
    /// connection must be kept for its caller or be reset before another one gets it.
    #[must_use]
    pub const fn outlives_statement(self) -> bool {
        self.0 & !Self::ASKING.0 != 0
    }

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The set as a number; the bits are stable within one version of the crate.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// The effects in the set, one by one.
    pub fn iter(self) -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(effect, _)| *effect).filter(move |effect| self.contains(*effect))
    }

    /// The lower-case names of the effects in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(effect, _)| self.contains(*effect)).map(|(_, name)| *name)
    }

    /// The effect of that name, as [`names`](Self::names) gives it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(effect, _)| *effect)
    }
}

impl BitOr for Effects {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for Effects {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

impl FromIterator<Self> for Effects {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        sets.into_iter().fold(Self::NONE, Self::union)
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Effects(")?;
        fmt::Display::fmt(self, f)?;
        f.write_str(")")
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, name) in self.names().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_effect_has_a_name_that_leads_back_to_it() {
        for (effect, name) in NAMES {
            assert_eq!(Effects::from_name(name), Some(effect));
            assert_eq!(effect.to_string(), name);
        }
        assert_eq!(Effects::from_name("none"), None);
        let some = Effects::COPY | Effects::SETTING;
        assert_eq!(some.iter().collect::<Vec<_>>(), [Effects::SETTING, Effects::COPY]);
        assert_eq!(some.iter().collect::<Effects>(), some);
    }

    #[test]
    fn copy_and_session_values_leave_nothing_behind() {
        assert!(!Effects::COPY.outlives_statement());
        assert!(!Effects::COPY.binds_session());
        assert!(!Effects::SESSION_VALUE.outlives_statement());
        assert!(Effects::SESSION_VALUE.binds_session());
        assert!((Effects::COPY | Effects::SETTING).outlives_statement());
    }
}
