//! Lines of calls whose reads show their own writes.

use std::ops::Deref;
use std::time::Duration;

use millpond_cluster::Handle;
use millpond_postgres::{Token, TokenError};

use crate::{Error, Pool};

/// A line of calls whose reads show its own writes: a [`Pool`], with a token. Clones are the same session.
#[derive(Clone, Debug)]
pub struct Session {
    pool: Pool,
}

impl Session {
    pub(crate) const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// What a reader elsewhere must be able to see to see what was written here. Behind a connection that was [taken for
    /// writing](Pool::write), and while one is out, that is everything that was written until now; a [transaction](Pool::transaction) has a place.
    #[must_use]
    pub fn token(&self) -> Token {
        self.pool.handle().token()
    }

    /// Reads show what `token` asks for from here on.
    ///
    /// # Errors
    ///
    /// A token of another cluster.
    pub fn see(&self, token: Token) -> Result<(), Error> {
        Ok(self.pool.handle().see(token)?)
    }

    /// Reads show what the token in `text` asks for from here on, if it can be used; if it cannot, all that had been written when it came. Gives what was
    /// wrong with it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn see_or_latest(&self, text: &str) -> Option<TokenError> {
        self.pool.handle().see_or_latest(text).await
    }

    /// The same session, for reads that never show less than one of its earlier ones did.
    #[must_use]
    pub fn monotonic(&self) -> Self {
        Self { pool: self.pool.with_handle(Handle::with_monotonic_reads) }
    }

    /// The same session, for reads that may be so old; they still show its own writes.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { pool: self.pool.within(limit) }
    }

    /// The same session, for reads from any replica that has its own writes.
    #[must_use]
    pub fn any(&self) -> Self {
        Self { pool: self.pool.any() }
    }

    /// The same session, for reads from the primary.
    #[must_use]
    pub fn latest(&self) -> Self {
        Self { pool: self.pool.latest() }
    }
}

impl Deref for Session {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}
