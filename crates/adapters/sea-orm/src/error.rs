//! sqlx's errors, as sea-orm has them.

use millpond_cluster::Error;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};

/// What a statement that changes something failed with.
pub(crate) fn in_execution(error: sqlx::Error) -> DbErr {
    before_it_ran(error, DbErr::Exec)
}

/// What a statement that gives rows failed with.
pub(crate) fn in_query(error: sqlx::Error) -> DbErr {
    before_it_ran(error, DbErr::Query)
}

/// What a connection, or a transaction, could not be had for.
pub(crate) fn in_acquire(error: sqlx::Error) -> DbErr {
    before_it_ran(error, DbErr::Conn)
}

fn before_it_ran(error: sqlx::Error, of: fn(RuntimeErr) -> DbErr) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => of(RuntimeErr::SqlxError(error.into())),
    }
}

/// What the routing said, where an error of sea-orm's is one of that: no primary, no connection before the deadline, too many callers. See
/// [`millpond_sqlx::routing_error`].
///
/// ```
/// # fn status(error: &sea_orm::DbErr) -> u16 {
/// match millpond_sea_orm::routing_error(error).map(|error| error.kind()) {
///     Some(millpond_sea_orm::ErrorKind::Overloaded | millpond_sea_orm::ErrorKind::NoPrimary) => 503,
///     _ => 500,
/// }
/// # }
/// ```
#[must_use]
pub fn routing_error(error: &DbErr) -> Option<&Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => millpond_sqlx::routing_error(error),
        _ => None,
    }
}
