use std::fmt;
use std::ops::Deref;

use futures_util::FutureExt as _;
use millpond_cluster::sql::Effects;

use crate::{Result, Transaction};

/// A part of a transaction that can be taken back by itself; made by [`Transaction::savepoint`]. Derefs to the transaction: its verbs are
/// those to use.
///
/// Dropped without [`commit`](Savepoint::commit), it is rolled back, in front of whatever the transaction runs next.
#[must_use = "dropped, it is rolled back"]
pub struct Savepoint<'t> {
    transaction: &'t Transaction,
    name: String,
    is_over: bool,
}

impl<'t> Savepoint<'t> {
    pub(crate) async fn begin(transaction: &'t Transaction, name: String) -> Result<Self> {
        transaction.batch_execute(&format!("SAVEPOINT {name}")).await?;
        Ok(Self { transaction, name, is_over: false })
    }

    /// Keeps what was done since. The transaction may still take it back.
    ///
    /// # Errors
    ///
    /// As [`Transaction::query`].
    ///
    /// # Cancel safety
    ///
    /// As [`Transaction::query`].
    pub async fn commit(mut self) -> Result<()> {
        // Whatever comes of it, taking it back behind it would be wrong.
        self.is_over = true;
        self.transaction.batch_execute(&format!("RELEASE SAVEPOINT {}", self.name)).await
    }

    /// Takes back what was done since, errors included: the transaction goes on as it was.
    ///
    /// # Errors
    ///
    /// As [`Transaction::query`].
    ///
    /// # Cancel safety
    ///
    /// As [`Transaction::query`].
    pub async fn rollback(mut self) -> Result<()> {
        self.is_over = true;
        self.transaction.batch_execute(&self.back()).await?;
        // What was in the way is over: what fails behind it fails for another reason.
        self.transaction.forget_conflict();
        Ok(())
    }

    fn back(&self) -> String {
        format!("ROLLBACK TO SAVEPOINT {0}; RELEASE SAVEPOINT {0}", self.name)
    }
}

impl Deref for Savepoint<'_> {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        self.transaction
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // The driver sends with the first poll, and throws the answer away that nobody waits for.
            let connection = self.transaction.connection();
            connection.soil(Effects::TRANSACTION);
            let client = connection.client();
            drop(client.batch_execute(&self.back()).now_or_never());
            self.transaction.forget_conflict();
        }
    }
}

impl fmt::Debug for Savepoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Savepoint").field("name", &self.name).finish_non_exhaustive()
    }
}
