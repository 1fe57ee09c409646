//! The pool as sqlx's executor: each call is read, and runs where it may.

use async_stream::try_stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Execute, Executor, SqlStr};

use crate::operation::{DescribeText, Execute as ExecuteVerb, FetchAll, FetchOptional, Prepare};
use crate::pool::{Kind, PgPool, Session};
use crate::query::Query;

/// The same for what derefs to a pool.
macro_rules! executor {
    ($of:ty) => {
        impl<'p> Executor<'p> for &'_ $of {
            type Database = Postgres;

            fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, sqlx::Error>>
            where
                'p: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let pool = PgPool::clone(self);
                Box::pin(async move {
                    let routed = match pool.kind {
                        Kind::Routed(routed) => routed,
                        Kind::Plain(pool) => return pool.execute(query).await,
                    };
                    routed.run(ExecuteVerb(Query::of(query)?)).await
                })
            }

            fn fetch_many<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
            where
                'p: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let pool = PgPool::clone(self);
                Box::pin(try_stream! {
                    match pool.kind {
                        Kind::Routed(routed) => {
                            let (begun, _wrote) = routed.stream(Query::of(query)?).await?;
                            if let Some(first) = begun.first {
                                yield first;
                            }
                            let mut rest = begun.rest;
                            while let Some(item) = rest.try_next().await? {
                                yield item;
                            }
                        }
                        Kind::Plain(pool) => {
                            let mut items = pool.fetch_many(query);
                            while let Some(item) = items.try_next().await? {
                                yield item;
                            }
                        }
                    }
                })
            }

            fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, sqlx::Error>>
            where
                'p: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let pool = PgPool::clone(self);
                Box::pin(async move {
                    let routed = match pool.kind {
                        Kind::Routed(routed) => routed,
                        Kind::Plain(pool) => return pool.fetch_all(query).await,
                    };
                    routed.run(FetchAll(Query::of(query)?)).await
                })
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
            where
                'p: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let pool = PgPool::clone(self);
                Box::pin(async move {
                    let routed = match pool.kind {
                        Kind::Routed(routed) => routed,
                        Kind::Plain(pool) => return pool.fetch_optional(query).await,
                    };
                    routed.run(FetchOptional(Query::of(query)?)).await
                })
            }

            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [PgTypeInfo],
            ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
            where
                'p: 'e,
            {
                let pool = PgPool::clone(self);
                Box::pin(async move {
                    match pool.kind {
                        Kind::Routed(routed) => routed.run(Prepare { sql, parameters }).await,
                        Kind::Plain(pool) => pool.prepare_with(sql, parameters).await,
                    }
                })
            }

            fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
            where
                'p: 'e,
            {
                let pool = PgPool::clone(self);
                Box::pin(async move {
                    match pool.kind {
                        Kind::Routed(routed) => routed.run(DescribeText(sql)).await,
                        Kind::Plain(pool) => pool.describe(sql).await,
                    }
                })
            }
        }
    };
}

executor!(PgPool);
executor!(Session);
