//! What the pools connect to: nothing but counts and faults, in this process.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

/// How a step goes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step {
    /// At once.
    Well,
    /// After so long.
    Slowly(Duration),
    /// It is refused.
    Refused,
    /// It never ends.
    Never,
}

/// Why a step did not end well.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
#[non_exhaustive]
pub struct Refused(pub String);

impl From<&str> for Refused {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The words of a refusal, by which a pool's own error is told from the cause.
pub const WORDS: &str = "the server said no";

/// A server.
#[derive(Clone, Debug)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connect: Mutex<Step>,
    check: Mutex<Step>,
    /// Those who were let in, and those who tried.
    accepted: AtomicUsize,
    tried: AtomicUsize,
    alive: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Server {
    fn default() -> Self {
        Self(Arc::new(Inner {
            connect: Mutex::new(Step::Well),
            check: Mutex::new(Step::Well),
            accepted: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }))
    }
}

async fn go(step: Step) -> Result<(), Refused> {
    match step {
        Step::Well => Ok(()),
        Step::Slowly(time) => {
            sleep(time).await;
            Ok(())
        }
        Step::Refused => Err(WORDS.into()),
        Step::Never => std::future::pending().await,
    }
}

fn of(step: &Mutex<Step>) -> Step {
    *step.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Lets a client in, or not.
    ///
    /// # Errors
    ///
    /// As [`set_connect`](Self::set_connect) said.
    pub async fn connect(&self) -> Result<Connection, Refused> {
        self.0.tried.fetch_add(1, Ordering::SeqCst);
        go(of(&self.0.connect)).await?;
        self.0.accepted.fetch_add(1, Ordering::SeqCst);
        let alive = self.0.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(alive, Ordering::SeqCst);
        Ok(Connection { server: self.clone(), is_dead: AtomicBool::new(false) })
    }

    /// What the next connects do.
    pub fn set_connect(&self, step: Step) {
        *self.0.connect.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// What the next checks do.
    pub fn set_check(&self, step: Step) {
        *self.0.check.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// How many were let in so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// How many tried to get in so far.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.0.tried.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    /// How many there were at once since this was asked last.
    pub fn take_most(&self) -> usize {
        self.0.most.swap(self.alive(), Ordering::SeqCst)
    }
}

/// A connection to a [`Server`].
#[derive(Debug)]
pub struct Connection {
    server: Server,
    is_dead: AtomicBool,
}

impl Connection {
    /// Asks whether the server is there.
    ///
    /// # Errors
    ///
    /// As [`Server::set_check`] said.
    pub async fn check(&self) -> Result<(), Refused> {
        let result = go(of(&self.server.0.check)).await;
        self.is_dead.store(result.is_err(), Ordering::SeqCst);
        result
    }

    /// Whether a check failed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}
