//! Which server reads the text.

use std::fmt;
use std::str::FromStr;

/// Which server reads the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// PostgreSQL 14 to 18.
    Postgres,
    /// MySQL 8.0 to 9.
    MySql,
    /// MariaDB 10.6 to 11.
    MariaDb,
}

impl Dialect {
    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = ParseDialectError;

    /// Reads what [`as_str`](Self::as_str) gives, in any case, and the schemes of PostgreSQL's URLs and tools: `postgresql`,
    /// `pg`.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if ["postgresql", "pg"].iter().any(|other| name.eq_ignore_ascii_case(other)) {
            return Ok(Self::Postgres);
        }
        let all = [Self::Postgres, Self::MySql, Self::MariaDb];
        let found = all.into_iter().find(|dialect| name.eq_ignore_ascii_case(dialect.as_str()));
        found.ok_or(ParseDialectError(()))
    }
}

/// A word is no [`Dialect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such dialect: there are postgres, mysql and mariadb")]
pub struct ParseDialectError(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_dialect() {
        for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::MariaDb] {
            assert_eq!(dialect.as_str().parse(), Ok(dialect));
        }
        assert_eq!("MySQL".parse(), Ok(Dialect::MySql));
        assert_eq!("PostgreSQL".parse(), Ok(Dialect::Postgres));
        assert!("oracle".parse::<Dialect>().is_err());
    }
}
