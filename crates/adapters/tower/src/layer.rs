//! The layer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use millpond_cluster::{Sessions, was_turned_away};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::carrier::{Brought, Carrier, HEADER};

/// Gives each request a session of its own. Its token comes with the request, in a header or a signed cookie, and what the session has to show then
/// goes back with the response. Plain handles of the same cluster act as the session while the request is served, so that handlers need not know of
/// it; [`CurrentSession`] among the request's extensions is the session itself.
///
/// Responses are answered by 503 with `Retry-After` where a call was turned away, there being too many, and the handler made a server error of it.
///
/// What is read while the body of a response is sent, behind the handler's end, is not in the session; nor is a task that the handler spawns, unless the session
/// is brought there. Of two requests of one client at the same time, the token that its client keeps is that of the answer that came last: what the other wrote is
/// not in it, unless the client keeps both.
pub struct SessionLayer<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    sessions: S,
    settings: Settings,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Settings {
    carrier: Carrier,
    unusable: UnusableToken,
    deadline: Option<HeaderName>,
    retry_after: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    missing: AtomicU64,
    unusable: AtomicU64,
    turned_away: AtomicU64,
}

/// What is done with a token that is no use here: forged, truncated, of another cluster, or of a timeline that no node is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusableToken {
    /// The request is served, and shows all that had been written when it came.
    ShowLatest,
    /// The request is answered by 400.
    Refuse,
}

/// When a request has to be answered: among its extensions, calls of its session end then.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is a time and nothing else")]
pub struct Deadline(
    /// The time.
    pub Instant,
);

/// The session of a request, among its extensions.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is a session and nothing else")]
pub struct CurrentSession<T>(
    /// The session.
    pub T,
);

/// What a layer has counted since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCounts {
    /// Requests whose token was taken.
    pub taken: u64,
    /// Requests without one.
    pub missing: u64,
    /// Requests with one that was no use.
    pub unusable: u64,
    /// Responses that were made 503, since a call was turned away.
    pub turned_away: u64,
}

impl<S: Sessions> SessionLayer<S> {
    /// One with tokens in the header `millpond-token`, which any client may write: where that is not to be trusted, have them in a
    /// [signed cookie](Self::signed_cookie).
    #[must_use]
    pub fn new(sessions: S) -> Self {
        let settings = Settings {
            carrier: Carrier::Header(HEADER),
            unusable: UnusableToken::ShowLatest,
            deadline: None,
            retry_after: Duration::from_secs(1),
        };
        Self { shared: Arc::new(Shared { sessions, settings, counts: Counts::default() }) }
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        let sessions = self.shared.sessions.clone();
        Self { shared: Arc::new(Shared { sessions, settings, counts: Counts::default() }) }
    }

    /// With tokens in another header.
    #[must_use]
    pub fn header(self, name: HeaderName) -> Self {
        self.with(|settings| settings.carrier = Carrier::Header(name))
    }

    /// With tokens in a cookie of this name, which nobody can make up who does not have the key. It is sent over TLS alone.
    #[cfg(feature = "cookie")]
    #[must_use]
    pub fn signed_cookie(self, name: &str, key: cookie::Key) -> Self {
        let cookie = crate::carrier::SignedCookie { name: name.to_owned(), key, is_secure: true };
        self.with(|settings| settings.carrier = Carrier::Cookie(Box::new(cookie)))
    }

    /// Sends the [cookie](Self::signed_cookie) without TLS, too, as for a test on this machine.
    #[cfg(feature = "cookie")]
    #[must_use]
    pub fn insecure_cookie(self) -> Self {
        self.with(|settings| {
            if let Carrier::Cookie(cookie) = &mut settings.carrier {
                cookie.is_secure = false;
            }
        })
    }

    /// What is done with a token that is no use. Default [`UnusableToken::ShowLatest`].
    #[must_use]
    pub fn unusable_token(self, then: UnusableToken) -> Self {
        self.with(|settings| settings.unusable = then)
    }

    /// A header in which a request says how many milliseconds its client waits: the calls of its session end then. Whatever it says, a
    /// [`Deadline`] among the extensions that is earlier counts.
    #[must_use]
    pub fn deadline_header(self, name: HeaderName) -> Self {
        self.with(|settings| settings.deadline = Some(name))
    }

    /// What `Retry-After` says, in whole seconds. Default 1 s.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        self.with(|settings| settings.retry_after = pause)
    }

    /// What was counted since it was made; clones count together.
    #[must_use]
    pub fn counts(&self) -> SessionCounts {
        let Counts { taken, missing, unusable, turned_away } = &self.shared.counts;
        SessionCounts {
            taken: taken.load(Ordering::Relaxed),
            missing: missing.load(Ordering::Relaxed),
            unusable: unusable.load(Ordering::Relaxed),
            turned_away: turned_away.load(Ordering::Relaxed),
        }
    }
}

impl<S> Clone for SessionLayer<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for SessionLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl<S, T> Layer<T> for SessionLayer<S> {
    type Service = SessionService<S, T>;

    fn layer(&self, inner: T) -> SessionService<S, T> {
        SessionService { shared: Arc::clone(&self.shared), inner }
    }
}

/// A service whose requests have a session each; made by [`SessionLayer`].
pub struct SessionService<S, T> {
    shared: Arc<Shared<S>>,
    inner: T,
}

impl<S, T: Clone> Clone for SessionService<S, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), inner: self.inner.clone() }
    }
}

impl<S, T: fmt::Debug> fmt::Debug for SessionService<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, T, B, R> Service<Request<B>> for SessionService<S, T>
where
    S: Sessions,
    T: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    T::Future: Send,
    T::Error: Send,
    B: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, T::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready, not the clone.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        Box::pin(serve(Arc::clone(&self.shared), inner, request))
    }
}

async fn serve<S, T, B, R>(
    shared: Arc<Shared<S>>,
    mut inner: T,
    mut request: Request<B>,
) -> Result<Response<R>, T::Error>
where
    S: Sessions,
    T: Service<Request<B>, Response = Response<R>> + Send,
    T::Future: Send,
    T::Error: Send,
    B: Send,
    R: Default + Send,
{
    let Shared { sessions, settings, counts } = &*shared;
    let session = sessions.begin_session(deadline_of(settings, &request));
    let brought = settings.carrier.brought(request.headers());
    let trouble = match &brought {
        Brought::Nothing => {
            counts.missing.fetch_add(1, Ordering::Relaxed);
            None
        }
        Brought::Text(text) => S::take_token(&session, text).await.map(|error| error.to_string()),
        Brought::Rubbish => {
            // Whatever it was, its owner may have written.
            S::take_token(&session, "").await.map(|_| "it is no text, or signed by somebody else".to_owned())
        }
    };
    match trouble {
        None if brought != Brought::Nothing => {
            counts.taken.fetch_add(1, Ordering::Relaxed);
        }
        None => {}
        Some(why) => {
            counts.unusable.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(target: "millpond", %why, "a token is no use");
            if settings.unusable == UnusableToken::Refuse {
                let mut refused = Response::new(R::default());
                *refused.status_mut() = StatusCode::BAD_REQUEST;
                settings.carrier.forget(refused.headers_mut());
                return Ok(refused);
            }
        }
    }
    request.extensions_mut().insert(CurrentSession(session.clone()));
    let answering = inner.call(request);
    let (answer, is_turned_away) =
        S::run_in(&session, async move { (answering.await, was_turned_away()) }).await;
    let mut response = answer?;
    if is_turned_away && response.status().is_server_error() {
        counts.turned_away.fetch_add(1, Ordering::Relaxed);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(settings.retry_after.as_secs()));
    }
    if let Some(token) = S::give_token(&session) {
        settings.carrier.bring(&token, &brought, response.headers_mut());
    }
    Ok(response)
}

/// When a request has to be answered, if it says so.
fn deadline_of<B>(settings: &Settings, request: &Request<B>) -> Option<Instant> {
    let said = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
    let header = settings.deadline.as_ref().and_then(|name| request.headers().get(name));
    let millis = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let limit = millis.and_then(|millis| Instant::now().checked_add(Duration::from_millis(millis)));
    match (said, limit) {
        (Some(said), Some(limit)) => Some(said.min(limit)),
        (said, limit) => said.or(limit),
    }
}

/// Runs a job in a session that shows what the token of its payload asks for, if it brings one. What the job has written stands in the token that comes with
/// its answer, for the next.
pub async fn with_token<S, F>(sessions: &S, token: Option<&str>, job: F) -> (F::Output, Option<String>)
where
    S: Sessions,
    F: Future + Send,
    F::Output: Send,
{
    let session = sessions.begin_session(None);
    if let Some(token) = token
        && let Some(why) = S::take_token(&session, token).await
    {
        tracing::debug!(target: "millpond", %why, "a job's token is no use");
    }
    let output = S::run_in(&session, job).await;
    let token = S::give_token(&session);
    (output, token)
}
