//! Which server the pooled connections to a node lead to.
//!
//! What is known of a node is what one server said over its monitor's connection. A name may stand for another server by now, or for several; so each
//! connection that is opened is held against the one that was asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millpond_core::{NodeView, ServerId};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::Purpose;

/// The server behind a node's name.
#[derive(Debug)]
pub(crate) struct Identity {
    known: watch::Sender<Known>,
    /// Where a connection led instead, until the monitor takes it in.
    elsewhere: Mutex<Option<(Instant, ServerId)>>,
    /// Whether the monitor is to ask over a new connection.
    asks_anew: AtomicBool,
    /// The monitor's.
    nudged: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Known {
    server: Option<ServerId>,
    hides_many: bool,
}

impl Known {
    /// Whether a connection to this server is one to the node. What reads behind a name of many servers asks for no age.
    fn admits(self, server: ServerId, purpose: Purpose) -> bool {
        self.server.is_none_or(|known| known == server) || (self.hides_many && purpose == Purpose::Read)
    }
}

impl Identity {
    pub(crate) fn new(nudged: Arc<Notify>) -> Self {
        Self {
            known: watch::Sender::default(),
            elsewhere: Mutex::new(None),
            asks_anew: AtomicBool::new(false),
            nudged,
        }
    }

    /// Takes in what is known of the node. Before its pools are evicted for it: what is opened behind that is held against this.
    pub(crate) fn learn<P>(&self, view: &NodeView<P>) {
        let now = Known { server: view.server, hides_many: view.hides_many };
        self.known.send_if_modified(|known| std::mem::replace(known, now) != now);
    }

    /// Whether a connection that was begun to be opened then is one to the node. Where it leads elsewhere, the server may have been started
    /// anew, or the name have moved: so the monitor is heard first, for so long.
    pub(crate) async fn admits(
        &self,
        server: ServerId,
        begun: Instant,
        purpose: Purpose,
        patience: Duration,
    ) -> bool {
        if self.known.borrow().server.is_none_or(|known| known == server) {
            return true;
        }
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, server));
        self.nudged.notify_one();
        let mut known = self.known.subscribe();
        let admitted = known.wait_for(|known| known.admits(server, purpose));
        timeout(patience, admitted).await.is_ok_and(|known| known.is_ok())
    }

    /// Has the monitor ask over a new connection: the name may lead elsewhere than its connection does.
    pub(crate) fn ask_anew(&self) {
        self.asks_anew.store(true, Ordering::Relaxed);
        self.nudged.notify_one();
    }

    /// Whether that is wanted since the last time.
    pub(crate) fn take_asks_anew(&self) -> bool {
        self.asks_anew.swap(false, Ordering::Relaxed)
    }

    /// Where a connection led instead since the last time.
    pub(crate) fn take_elsewhere(&self) -> Option<(Instant, ServerId)> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests;
