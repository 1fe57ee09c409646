//! One word for all that takes statements.

use std::future::Future;
use std::sync::Arc;

use futures_util::Stream;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::verb::OneRow;
use crate::{
    BorrowedRowStream, Db, Error, ErrorKind, Outcome, Result, RowStream, Savepoint, Session, Transaction,
};

/// The values for a statement's parameters.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The values for a statement's parameters, each with its type.
pub type TypedParams<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// What takes statements: a [`Db`], a [`Session`], a [`Transaction`], a [`Lease`](crate::Lease), and references to them. Code that is generic over it
/// runs on all of them. Open: implement it for what wraps one.
///
/// On a [`Lease`](crate::Lease) these are the verbs whose text is seen; its own methods, which are those of the driver's client, are not. Where this trait
/// is in scope, `lease.query(…)` is the one that is seen, and `(*lease).query(…)` is the driver's.
///
/// # Cancel safety
///
/// Of the implementor's own methods.
pub trait GenericClient: Send + Sync {
    /// Rows as they come.
    type RowStream<'a>: Stream<Item = Result<Row>> + Send
    where
        Self: 'a;

    /// The rows of a statement.
    fn query(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// The rows of a statement as they come.
    fn query_raw(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Self::RowStream<'_>>> + Send;

    /// The rows of a statement whose parameters are of the types that stand beside them.
    fn query_typed(
        &self,
        sql: &str,
        params: TypedParams<'_>,
    ) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// The same as a stream.
    fn query_typed_raw(
        &self,
        sql: &str,
        params: TypedParams<'_>,
    ) -> impl Future<Output = Result<Self::RowStream<'_>>> + Send;

    /// Runs a statement; the number of rows it affected.
    fn execute(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<u64>> + Send;

    /// Runs a statement whose parameters are of the types that stand beside them; the number of rows it affected.
    fn execute_typed(&self, sql: &str, params: TypedParams<'_>) -> impl Future<Output = Result<u64>> + Send;

    /// Runs statements without parameters, separated by semicolons.
    fn batch_execute(&self, sql: &str) -> impl Future<Output = Result<()>> + Send;

    /// The same, and their rows as text.
    fn simple_query(&self, sql: &str) -> impl Future<Output = Result<Vec<SimpleQueryMessage>>> + Send;

    /// Runs many statements without waiting in between. What came of each, in their order.
    fn batch(
        &self,
        statements: &[(&str, Params<'_>)],
    ) -> impl Future<Output = Result<Vec<Result<Vec<Row>>>>> + Send;

    /// The one row of a statement. An error when it gives none or more.
    fn query_one(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<Row>> + Send {
        async { one_row(only(self.query(sql, params).await?)) }
    }

    /// The row of a statement, if it gives one. An error when it gives more.
    fn query_opt(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<Option<Row>>> + Send {
        async { row_or_none(only(self.query(sql, params).await?)) }
    }

    /// The one row of a statement whose parameters are of the types that stand beside them.
    fn query_typed_one(
        &self,
        sql: &str,
        params: TypedParams<'_>,
    ) -> impl Future<Output = Result<Row>> + Send {
        async { one_row(only(self.query_typed(sql, params).await?)) }
    }

    /// The row of a statement whose parameters are of the types that stand beside them, if it gives one.
    fn query_typed_opt(
        &self,
        sql: &str,
        params: TypedParams<'_>,
    ) -> impl Future<Output = Result<Option<Row>>> + Send {
        async { row_or_none(only(self.query_typed(sql, params).await?)) }
    }

    /// The first column of the rows of a statement.
    fn query_scalar<T: FromSqlOwned + Send>(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        async { self.query(sql, params).await?.iter().map(scalar).collect() }
    }

    /// The first column of the one row of a statement.
    fn query_one_scalar<T: FromSqlOwned + Send>(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<T>> + Send {
        async { scalar(&self.query_one(sql, params).await?) }
    }

    /// The first column of the row of a statement, if it gives one.
    fn query_opt_scalar<T: FromSqlOwned + Send>(
        &self,
        sql: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Option<T>>> + Send {
        async { self.query_opt(sql, params).await?.as_ref().map(scalar).transpose() }
    }
}

/// The verbs that follow from [`GenericClient::query`] and [`GenericClient::query_typed`], as a type's own.
macro_rules! derived_verbs {
    ($client:ty) => {
        impl $client {
            /// The one row of a statement.
            ///
            /// # Errors
            ///
            /// As [`query`](Self::query); and no, or more than one, row.
            ///
            /// # Cancel safety
            ///
            /// As [`query`](Self::query).
            pub async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
                $crate::client::one_row(self.one(sql, $crate::verb::Values::Inferred(params)).await?)
            }

            /// The row of a statement, if it gives one.
            ///
            /// # Errors
            ///
            /// As [`query`](Self::query); and more than one row.
            ///
            /// # Cancel safety
            ///
            /// As [`query`](Self::query).
            pub async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
                $crate::client::row_or_none(self.one(sql, $crate::verb::Values::Inferred(params)).await?)
            }

            /// [`query_one`](Self::query_one), with the types of the parameters beside them.
            ///
            /// # Errors
            ///
            /// As [`query_one`](Self::query_one).
            ///
            /// # Cancel safety
            ///
            /// As [`query`](Self::query).
            pub async fn query_typed_one(&self, sql: &str, params: TypedParams<'_>) -> Result<Row> {
                $crate::client::one_row(self.one(sql, $crate::verb::Values::Typed(params)).await?)
            }

            /// [`query_opt`](Self::query_opt), with the types of the parameters beside them.
            ///
            /// # Errors
            ///
            /// As [`query_opt`](Self::query_opt).
            ///
            /// # Cancel safety
            ///
            /// As [`query`](Self::query).
            pub async fn query_typed_opt(&self, sql: &str, params: TypedParams<'_>) -> Result<Option<Row>> {
                $crate::client::row_or_none(self.one(sql, $crate::verb::Values::Typed(params)).await?)
            }

            /// The first column of the rows of a statement.
            ///
            /// # Errors
            ///
            /// As [`query`](Self::query); and a column of another type.
            ///
            /// # Cancel safety
            ///
            /// As [`query`](Self::query).
            pub async fn query_scalar<T>(&self, sql: &str, params: Params<'_>) -> Result<Vec<T>>
            where
                T: $crate::tokio_postgres::types::FromSqlOwned,
            {
                self.query(sql, params).await?.iter().map($crate::client::scalar).collect()
            }

            /// The first column of the one row of a statement.
            ///
            /// # Errors
            ///
            /// As [`query_one`](Self::query_one); and a column of another type.
            ///
            /// # Cancel safety
            ///
            /// As [`query`](Self::query).
            pub async fn query_one_scalar<T>(&self, sql: &str, params: Params<'_>) -> Result<T>
            where
                T: $crate::tokio_postgres::types::FromSqlOwned,
            {
                $crate::client::scalar(&self.query_one(sql, params).await?)
            }

            /// The first column of the row of a statement, if it gives one.
            ///
            /// # Errors
            ///
            /// As [`query_opt`](Self::query_opt); and a column of another type.
            ///
            /// # Cancel safety
            ///
            /// As [`query`](Self::query).
            pub async fn query_opt_scalar<T>(&self, sql: &str, params: Params<'_>) -> Result<Option<T>>
            where
                T: $crate::tokio_postgres::types::FromSqlOwned,
            {
                self.query_opt(sql, params).await?.as_ref().map($crate::client::scalar).transpose()
            }
        }
    };
}
pub(crate) use derived_verbs;

/// A type's own methods, as those of the trait.
macro_rules! generic_client {
    ($client:ty, $stream:ty, $own:ty) => {
        impl GenericClient for $client {
            type RowStream<'a> = $stream;

            async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
                <$own>::query(self, sql, params).await
            }

            async fn query_raw(&self, sql: &str, params: Params<'_>) -> Result<Self::RowStream<'_>> {
                <$own>::query_raw(self, sql, params).await
            }

            async fn query_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<Vec<Row>> {
                <$own>::query_typed(self, sql, params).await
            }

            async fn query_typed_raw(
                &self,
                sql: &str,
                params: TypedParams<'_>,
            ) -> Result<Self::RowStream<'_>> {
                <$own>::query_typed_raw(self, sql, params).await
            }

            async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
                <$own>::execute(self, sql, params).await
            }

            async fn execute_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<u64> {
                <$own>::execute_typed(self, sql, params).await
            }

            async fn batch_execute(&self, sql: &str) -> Result<()> {
                <$own>::batch_execute(self, sql).await
            }

            async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
                <$own>::simple_query(self, sql).await
            }

            async fn batch(&self, statements: &[(&str, Params<'_>)]) -> Result<Vec<Result<Vec<Row>>>> {
                <$own>::batch(self, statements).await
            }

            async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
                <$own>::query_one(self, sql, params).await
            }

            async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
                <$own>::query_opt(self, sql, params).await
            }
        }
    };
}

generic_client!(Db, RowStream, Db);
generic_client!(Session, RowStream, Db);
generic_client!(Transaction, BorrowedRowStream<'a>, Transaction);

/// What leads to a client is one.
macro_rules! forward {
    ($(($($generics:tt)*) $client:ty => $target:ty,)*) => {$(
        impl<$($generics)*> GenericClient for $client {
        type RowStream<'a>
            = <$target as GenericClient>::RowStream<'a>
        where
            Self: 'a;

        async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
            <$target as GenericClient>::query(self, sql, params).await
        }

        async fn query_raw(&self, sql: &str, params: Params<'_>) -> Result<Self::RowStream<'_>> {
            <$target as GenericClient>::query_raw(self, sql, params).await
        }

        async fn query_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<Vec<Row>> {
            <$target as GenericClient>::query_typed(self, sql, params).await
        }

        async fn query_typed_raw(&self, sql: &str, params: TypedParams<'_>) -> Result<Self::RowStream<'_>> {
            <$target as GenericClient>::query_typed_raw(self, sql, params).await
        }

        async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64> {
            <$target as GenericClient>::execute(self, sql, params).await
        }

        async fn execute_typed(&self, sql: &str, params: TypedParams<'_>) -> Result<u64> {
            <$target as GenericClient>::execute_typed(self, sql, params).await
        }

        async fn batch_execute(&self, sql: &str) -> Result<()> {
            <$target as GenericClient>::batch_execute(self, sql).await
        }

        async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
            <$target as GenericClient>::simple_query(self, sql).await
        }

        async fn batch(&self, statements: &[(&str, Params<'_>)]) -> Result<Vec<Result<Vec<Row>>>> {
            <$target as GenericClient>::batch(self, statements).await
        }

        async fn query_one(&self, sql: &str, params: Params<'_>) -> Result<Row> {
            <$target as GenericClient>::query_one(self, sql, params).await
        }

        async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
            <$target as GenericClient>::query_opt(self, sql, params).await
        }
        }
    )*};
}

forward! {
    (C: GenericClient) &C => C,
    (C: GenericClient) &mut C => C,
    (C: GenericClient) Box<C> => C,
    (C: GenericClient) Arc<C> => C,
    () Savepoint<'_> => Transaction,
}

pub(crate) fn one_row(row: OneRow) -> Result<Row> {
    row_or_none(row)?.ok_or_else(|| wrong_row_count(0))
}

pub(crate) fn row_or_none(row: OneRow) -> Result<Option<Row>> {
    match row {
        OneRow::None => Ok(None),
        OneRow::One(row) => Ok(Some(row)),
        OneRow::More(count) => Err(wrong_row_count(count)),
    }
}

/// The same of a list, for clients that have no better way.
fn only(mut rows: Vec<Row>) -> OneRow {
    match rows.len() {
        0 => OneRow::None,
        1 => rows.pop().map_or(OneRow::None, OneRow::One),
        count => OneRow::More(count),
    }
}

fn wrong_row_count(count: usize) -> Error {
    // The statement ran: only its answer is not what was asked for.
    Error::new(
        ErrorKind::RowCount,
        Outcome::MayHaveRun,
        format!("one row was asked for, the statement gave {count}"),
    )
}

pub(crate) fn scalar<T: FromSqlOwned>(row: &Row) -> Result<T> {
    // Here too it ran.
    let wrong = |error: tokio_postgres::Error| {
        let text = match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        Error::new(ErrorKind::Conversion, Outcome::MayHaveRun, text)
    };
    row.try_get(0).map_err(wrong)
}
