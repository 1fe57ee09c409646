//! Transactions that take a token when they commit.

use std::future::Future;

use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager as _};
use millpond_cluster::core::Access;
use millpond_cluster::{Answer, Handle, NodeLease, Operation, Purpose, Statement, Target};
use millpond_postgres::Lsn;
use millpond_postgres::foundation::{CommitError, OpenTransaction, prove};

use crate::Error;
use crate::driver::{Diesel, DieselDriver};
use crate::error::BackendError;
use crate::lease::Site;

/// What a closure gives that is given an argument: a future that can be sent. All async closures and functions are such; for bounds.
pub trait Callback<T, R>: FnOnce(T) -> Self::Future {
    /// What it gives.
    type Future: Future<Output = R> + Send;
}

impl<F, T, R, Fut> Callback<T, R> for F
where
    F: FnOnce(T) -> Fut,
    Fut: Future<Output = R> + Send,
{
    type Future = Fut;
}

/// Begins a transaction, where it may run.
struct Begin<'h> {
    handle: &'h Handle<Diesel>,
    access: Access,
}

impl Operation<Diesel> for Begin<'_> {
    type Output = (NodeLease<Diesel>, Purpose);

    async fn run(
        &mut self,
        mut lease: NodeLease<Diesel>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, BackendError> {
        let connection = lease.statements()?;
        let position = prove::<DieselDriver>(connection, &target).await?;
        let text = if self.access.is_read() {
            "BEGIN READ ONLY"
        } else {
            connection.refuse_writes(false);
            "BEGIN"
        };
        connection.given_out(self.handle);
        let begun = AnsiTransactionManager::begin_transaction_sql(connection.client_mut(), text).await;
        connection.answered(&begun);
        begun?;
        Ok(Answer::new((lease, target.purpose), position))
    }
}

/// Runs a callback in a transaction, and commits it if it gives a value.
pub(crate) async fn run<R, E, F>(
    handle: &Handle<Diesel>,
    access: Access,
    site: Site,
    callback: F,
) -> Result<R, E>
where
    for<'c> F: Callback<&'c mut AsyncPgConnection, Result<R, E>> + Send,
    R: Send,
    E: From<diesel::result::Error> + From<Error> + Send,
{
    let statement = Statement::connection(access).seen_as("begin");
    let begun = handle.run(statement, &mut Begin { handle, access }).await;
    let (lease, purpose) = begun.map_err(Error::from)?;
    let mut transaction = OpenTransaction::new(lease, purpose, access, handle, site);
    match callback(transaction.connection_mut().client_mut()).await {
        Ok(value) => match transaction.commit().await {
            Ok(()) => Ok(value),
            Err(CommitError::Driver(error)) => Err(error.into()),
            Err(CommitError::Routing(error)) => Err(Error::from(error).into()),
        },
        Err(error) => {
            // Dropped it is rolled back too, in the background: this waits for it. What the callback says is worth more than what the server says.
            let client = transaction.connection_mut().client_mut();
            let _ = AnsiTransactionManager::rollback_transaction(client).await;
            Err(error)
        }
    }
}
