//! Sessions, as those see them who begin one for each request or job.

use std::future::Future;

use millpond_core::TokenError;
use tokio::time::Instant;

use crate::{Backend, Handle};

/// What begins sessions: a handle, or a pool that has one. For layers that give each request or job a session of its own, and hand its token on.
pub trait Sessions: Clone + Send + Sync + 'static {
    /// A session.
    type Session: Clone + Send + Sync + 'static;

    /// Begins one; its calls end at that time, if there is one.
    fn begin_session(&self, deadline: Option<Instant>) -> Self::Session;

    /// Its reads show what the token in `text` asks for from here on; if it cannot be used, all that had been written when it came. Gives what was wrong
    /// with it.
    fn take_token(session: &Self::Session, text: &str) -> impl Future<Output = Option<TokenError>> + Send;

    /// What a reader elsewhere must be able to see to see what was written in it; nothing where there are no tokens, as in a test.
    fn give_token(session: &Self::Session) -> Option<String>;

    /// Runs a future in which plain handles of the same cluster act as the session; as long as that has written and was told
    /// nothing, they show what the process has written, as ever.
    fn run_in<F>(session: &Self::Session, future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send,
        F::Output: Send;
}

impl<B: Backend> Sessions for Handle<B> {
    type Session = Self;

    fn begin_session(&self, deadline: Option<Instant>) -> Self {
        let session = self.session();
        match deadline {
            Some(deadline) => session.with_deadline(deadline),
            None => session,
        }
    }

    async fn take_token(session: &Self, text: &str) -> Option<TokenError> {
        session.see_or_latest(text).await
    }

    fn give_token(session: &Self) -> Option<String> {
        Some(session.token().to_string())
    }

    fn run_in<F>(session: &Self, future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        session.scope(future)
    }
}
