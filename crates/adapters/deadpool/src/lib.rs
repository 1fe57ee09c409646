#![doc = include_str!("../README.md")]

#[cfg(feature = "postgres")]
mod postgres;

#[cfg(feature = "postgres")]
pub use postgres::{FollowPrimary, FollowReplica, primary, replica, verifies_role};

use std::error::Error as StdError;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, RecycleError};
use millpond_pool::{Builder, Pool, Returned};

/// A builder over a manager of deadpool's. Every object is recycled when it comes back, before anybody else gets it, and once more
/// before it is used again if it rested; [`check_after`](Builder::check_after) says for how long it may rest without.
#[must_use]
pub fn builder<M>(manager: M) -> Builder<Managed<M>>
where
    M: Manager + 'static,
    M::Type: 'static,
    M::Error: StdError + Send + Sync + 'static,
{
    Pool::builder(Managed(manager)).check_after(Some(Duration::ZERO))
}

/// A manager of deadpool's, as one of millpond's.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is the manager and nothing else")]
pub struct Managed<M>(
    /// The manager.
    pub M,
);

/// An object of a manager's, with what deadpool tells the manager of it.
pub struct Object<T> {
    value: T,
    metrics: Metrics,
}

impl<T> Object<T> {
    /// When it was created, and how often it was recycled.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Object<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

/// Why an object could not be created or recycled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E: StdError + 'static> {
    /// What the manager said when it was to create one.
    #[error(transparent)]
    Create(E),
    /// What it said when it was to recycle one.
    #[error("recycling failed")]
    Recycle(#[source] RecycleError<E>),
}

impl<M> millpond_pool::Manager for Managed<M>
where
    M: Manager + 'static,
    M::Type: 'static,
    M::Error: StdError + Send + Sync + 'static,
{
    type Connection = Object<M::Type>;
    type Error = Error<M::Error>;

    async fn connect(&self) -> Result<Object<M::Type>, Self::Error> {
        let value = self.0.create().await.map_err(Error::Create)?;
        Ok(Object { value, metrics: Metrics::default() })
    }

    /// Only [`Manager::recycle`] knows.
    fn is_open(&self, _: &Object<M::Type>) -> bool {
        true
    }

    /// Not counted: it was recycled for this use already, when it came back.
    async fn check(&self, object: &mut Object<M::Type>) -> Result<(), Self::Error> {
        self.0.recycle(&mut object.value, &object.metrics).await.map_err(Error::Recycle)?;
        object.metrics.recycled = Some(Instant::now());
        Ok(())
    }

    /// Nobody but [`Manager::recycle`] knows what its user left in it.
    fn returned(&self, _: &mut Object<M::Type>) -> Returned {
        Returned::Soiled
    }

    async fn reset(&self, object: &mut Object<M::Type>) -> Result<(), Self::Error> {
        self.check(object).await?;
        object.metrics.recycle_count += 1;
        Ok(())
    }

    fn detached(&self, object: &mut Object<M::Type>) {
        self.0.detach(&mut object.value);
    }

    fn closing(&self, object: &mut Object<M::Type>) {
        self.0.detach(&mut object.value);
    }
}
