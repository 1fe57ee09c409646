//! LISTEN and NOTIFY, wherever the primary is.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use millpond_cluster::{Handle, NodeKey};
use postgres_protocol::escape::escape_identifier;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection, Notification};

use crate::backend::Source;
use crate::connector::Connector;
use crate::frame::Kind;
use crate::{Db, DriverError, Error, ErrorKind, Outcome, Postgres, Result};

/// What a [`Listener`] heard.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "whoever listens has to say what it does about a gap")]
pub enum Heard {
    /// A notification.
    Notification(Notification),
    /// Notifications may have been missed before this: look at what they would have told of, as at the start. The channels are listened
    /// to again.
    Gap {
        /// Why.
        cause: Arc<str>,
    },
}

/// Hears notifications, over a connection of its own to whichever node is the primary. Made by [`Db::listener`].
///
/// When the connection breaks, or another node becomes the primary, it connects anew, listens to the same channels, and says
/// that there was a [gap](Heard::Gap). What is sent while nobody calls [`recv`](Listener::recv) waits here, up to 1,024 notifications;
/// what comes on top is dropped, and is a gap too: a listener that does not read holds up neither the server nor the process.
///
/// ```
/// # use millpond_postgres::{Db, Heard, Result};
/// # async fn work(db: &Db) -> Result<()> { Ok(()) }
/// # async fn run(db: &Db) -> Result<()> {
/// let mut listener = db.listener();
/// listener.listen("jobs").await?;
/// work(db).await?; // what was there before
/// loop {
///     match listener.recv().await? {
///         Heard::Notification(_) | Heard::Gap { .. } => work(db).await?,
///     }
/// }
/// # }
/// ```
pub struct Listener {
    handle: Handle<Postgres>,
    channels: BTreeSet<String>,
    open: Option<Open>,
    /// Why there was a gap, until it is told.
    gap: Option<Arc<str>>,
    /// What comes behind a gap that is told.
    next: Option<Notification>,
    /// Counts the tries since the last connection.
    tries: u32,
}

/// A connection that listens.
struct Open {
    node: NodeKey,
    name: Arc<str>,
    client: Client,
    inbox: mpsc::Receiver<Item>,
    /// Whether notifications were dropped since the last one in the inbox, which was full.
    is_overfull: Arc<AtomicBool>,
    /// When something was heard last.
    heard: Instant,
}

/// A notification in an inbox.
pub(crate) struct Item {
    notification: Notification,
    /// Whether others were dropped before it.
    is_behind_gap: bool,
}

/// So many notifications wait for their reader.
const INBOX: usize = 1024;

/// After so long without a notification the server is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(10);

/// How long it may take to answer, and to take the channels of a new connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Db {
    /// Hears notifications of the primary. Connects with the first [`listen`](Listener::listen).
    #[must_use]
    pub fn listener(&self) -> Listener {
        let handle = self.handle().clone();
        Listener { handle, channels: BTreeSet::new(), open: None, gap: None, next: None, tries: 0 }
    }
}

/// What a wait of [`Listener::recv`] ended with.
enum Next {
    Notification(Option<Item>),
    Replaced,
    Quiet,
}

impl Listener {
    /// Listens to a channel; its name is taken as it is, upper case and all. Behind the answer nothing that is sent is missed without a
    /// gap being told.
    ///
    /// # Errors
    ///
    /// No primary, no connection to it, or what it says; the channel is then not listened to. Behind a pooler, and in a test's transaction, nobody can listen.
    ///
    /// # Cancel safety
    ///
    /// A dropped call leaves it open whether the channel is listened to.
    pub async fn listen(&mut self, channel: &str) -> Result<()> {
        self.change(channel, true).await
    }

    /// Listens to a channel no longer. Notifications that came before are still heard.
    ///
    /// # Errors
    ///
    /// As [`listen`](Listener::listen).
    ///
    /// # Cancel safety
    ///
    /// As [`listen`](Listener::listen).
    pub async fn unlisten(&mut self, channel: &str) -> Result<()> {
        self.change(channel, false).await
    }

    /// The channels that are listened to.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().map(String::as_str)
    }

    /// Waits for the next notification, or for a gap to tell of. While there is no primary, or no connection to it, it goes on trying.
    ///
    /// # Errors
    ///
    /// The handle was [closed](Db::close); or the server does not let us in (a wrong password, no such database), where calling again
    /// tries again.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn recv(&mut self) -> Result<Heard> {
        if let Some(notification) = self.next.take() {
            return Ok(Heard::Notification(notification));
        }
        loop {
            let Some(open) = &mut self.open else {
                self.reopen().await?;
                continue;
            };
            if let Ok(item) = open.inbox.try_recv() {
                return Ok(self.hear(item));
            }
            if let Some(cause) = self.gap.take() {
                return Ok(Heard::Gap { cause });
            }
            if open.is_overfull.swap(false, Ordering::AcqRel) {
                return Ok(overfull());
            }
            match open.next(&self.handle).await {
                Next::Notification(Some(item)) => return Ok(self.hear(item)),
                Next::Notification(None) => self.lost("the connection broke"),
                Next::Replaced => self.lost("the node went silent, or is not the primary any more"),
                Next::Quiet => {
                    let answer = timeout(PATIENCE, open.client.batch_execute("")).await;
                    open.heard = Instant::now();
                    if !matches!(answer, Ok(Ok(()))) {
                        self.lost("no answer");
                    }
                }
            }
        }
    }

    fn hear(&mut self, item: Item) -> Heard {
        if let Some(open) = &mut self.open {
            open.heard = Instant::now();
        }
        if !item.is_behind_gap {
            return Heard::Notification(item.notification);
        }
        self.next = Some(item.notification);
        overfull()
    }

    /// The connection is of no use any more, and what was sent since is missed.
    fn lost(&mut self, why: &str) {
        if let Some(open) = self.open.take() {
            self.gap = Some(format!("{}: {why}", open.name).into());
        }
    }

    async fn change(&mut self, channel: &str, is_wanted: bool) -> Result<()> {
        let mut channels = self.channels.clone();
        let (is_other, verb) = match is_wanted {
            true => (channels.insert(channel.to_owned()), "LISTEN"),
            false => (channels.remove(channel), "UNLISTEN"),
        };
        if !is_other && self.open.is_some() {
            return Ok(());
        }
        let Some(open) = self.open.take() else {
            let limit = self.handle.longest_wait();
            let opened = timeout(limit, self.connect(&channels)).await;
            self.open = Some(opened.unwrap_or_else(|_| Err(self.no_connection(limit)))?);
            self.channels = channels;
            return Ok(());
        };
        // Taken out meanwhile: should the call be dropped, the next one connects anew.
        let untold = self.gap.replace("a call to listen was given up".into());
        let text = format!("{verb} {}", escape_identifier(channel));
        let answer = timeout(PATIENCE, open.client.batch_execute(&text)).await;
        let backend = self.handle.cluster().backend();
        let result = match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::from_backend(backend, &open.name, "listening", error.into())),
            Err(_) => Err(self.no_connection(PATIENCE)),
        };
        self.gap = untold;
        match result {
            Ok(()) => {
                self.open = Some(open);
                self.channels = channels;
                Ok(())
            }
            Err(error) => {
                let is_refused = error.kind() == ErrorKind::Rejected;
                self.open = Some(open);
                if !is_refused {
                    self.lost("the connection broke");
                }
                Err(error)
            }
        }
    }

    fn no_connection(&self, limit: Duration) -> Error {
        let text = format!("no connection to a primary that listens within {limit:?}");
        Error::new(ErrorKind::Acquire, Outcome::NotSent, text)
    }

    /// Connects to the primary, and listens to the channels.
    async fn connect(&self, channels: &BTreeSet<String>) -> Result<Open> {
        let (node, name) = self.handle.primary().await?;
        let backend = self.handle.cluster().backend();
        let (Source::Opened(connector), Kind::Direct) = (&self.handle.address(node).0, backend.kind()) else {
            return Err(cannot_listen());
        };
        let opened = connect(connector, channels).await;
        let (client, inbox, is_overfull) = opened.map_err(|error| {
            // Whatever it was, the primary may be another.
            self.handle.look_again();
            Error::connecting(backend, &name, error)
        })?;
        Ok(Open { node, name, client, inbox, is_overfull, heard: Instant::now() })
    }

    /// Connects anew, with a pause behind each try in vain.
    async fn reopen(&mut self) -> Result<()> {
        if self.tries > 0 {
            let most = Duration::from_millis(50 << self.tries.min(10)).min(LONGEST_PAUSE);
            sleep(most.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
        self.tries = self.tries.saturating_add(1);
        let channels = self.channels.clone();
        match timeout(PATIENCE, self.connect(&channels)).await {
            Ok(Ok(open)) => {
                self.tries = 0;
                self.open = Some(open);
                Ok(())
            }
            Ok(Err(error)) if is_final(&error) => Err(error),
            Ok(Err(error)) => {
                tracing::debug!(target: "millpond", %error, "a listener has no connection");
                Ok(())
            }
            Err(_) => {
                self.handle.look_again();
                Ok(())
            }
        }
    }
}

impl Open {
    async fn next(&mut self, handle: &Handle<Postgres>) -> Next {
        let mut replaced = pin!(handle.until_replaced(self.node));
        // Not from this call on: a caller may look in every second, and give up each time.
        let mut quiet = pin!(sleep_until(self.heard + QUIET));
        poll_fn(|cx| {
            if let Poll::Ready(notification) = self.inbox.poll_recv(cx) {
                return Poll::Ready(Next::Notification(notification));
            }
            if replaced.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Replaced);
            }
            quiet.as_mut().poll(cx).map(|()| Next::Quiet)
        })
        .await
    }
}

/// Whether trying again cannot help.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::SessionStatement | ErrorKind::Closed)
        || error.code().is_some_and(|code| code.starts_with("28") || code == "3D000")
}

fn overfull() -> Heard {
    Heard::Gap { cause: format!("more than {INBOX} notifications waited to be read").into() }
}

fn cannot_listen() -> Error {
    Error::new(
        ErrorKind::SessionStatement,
        Outcome::NotSent,
        "nobody can listen behind a pooler, or in the transaction of a test: connect to the server itself",
    )
}

type Listening = (Client, mpsc::Receiver<Item>, Arc<AtomicBool>);

async fn connect(
    connector: &Connector,
    channels: &BTreeSet<String>,
) -> std::result::Result<Listening, DriverError> {
    let (sender, inbox) = mpsc::channel(INBOX);
    let is_overfull = Arc::new(AtomicBool::new(false));
    let notes = Notes { sender, is_overfull: Arc::clone(&is_overfull) };
    let client = connector.connect_to_listen(notes).await?;
    let listens = channels.iter().map(|channel| format!("LISTEN {}", escape_identifier(channel)));
    client.batch_execute(&listens.collect::<Vec<_>>().join("; ")).await?;
    Ok((client, inbox, is_overfull))
}

/// Where a connection puts its notifications.
pub(crate) struct Notes {
    sender: mpsc::Sender<Item>,
    is_overfull: Arc<AtomicBool>,
}

impl Notes {
    /// Drives a connection until it ends, and never waits for a reader.
    pub(crate) async fn take<S, T>(self, mut connection: Connection<S, T>)
    where
        Connection<S, T>: Unpin,
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                let Ok(place) = self.sender.try_reserve() else {
                    self.is_overfull.store(true, Ordering::Release);
                    continue;
                };
                let is_behind_gap = self.is_overfull.swap(false, Ordering::AcqRel);
                place.send(Item { notification, is_behind_gap });
            }
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("channels", &self.channels)
            .field("is_open", &self.open.is_some())
            .finish_non_exhaustive()
    }
}
