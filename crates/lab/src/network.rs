//! The network to a node: a small relay whose behaviour a test changes while it runs.

mod relay;

use std::{
    fmt, io,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

pub(crate) use relay::Target;

/// How a relay treats what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Everything passes at once.
    #[default]
    Clear,
    /// Everything passes this much later, each way, in order.
    Delayed(Duration),
    /// Connections are accepted and nothing passes.
    Stalled,
    /// Connections are reset.
    Reset,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("clear"),
            Self::Delayed(by) => write!(f, "delayed {} ms", by.as_millis()),
            Self::Stalled => f.write_str("stalled"),
            Self::Reset => f.write_str("reset"),
        }
    }
}

/// What the relay's tasks watch.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    condition: Condition,
    /// Counted, so that a reset that is followed at once by `restore` is still seen.
    resets: u64,
}

/// The way to a node: the relay in front of it, and the faults that it can make.
///
/// A fault holds for the connections that are open and for new ones until another one or
/// [`restore`](Self::restore) replaces it. It has taken effect when the method returns.
#[derive(Clone, Debug)]
pub struct Network {
    port: u16,
    order: Arc<watch::Sender<Order>>,
    open: Arc<AtomicUsize>,
}

impl Network {
    /// Takes over a bound listener. Nothing is accepted before [`run`](Self::run).
    pub(crate) fn new(listener: &TcpListener) -> io::Result<Self> {
        let port = listener.local_addr()?.port();
        Ok(Self { port, order: Arc::new(watch::Sender::default()), open: Arc::default() })
    }

    pub(crate) fn run(&self, handle: &Handle, listener: TcpListener, target: Target) {
        let (order, open) = (self.order.subscribe(), Arc::clone(&self.open));
        handle.spawn(relay::accept(listener, target, order, open));
    }

    /// The port of the relay.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets everything pass this much later, each way. Order and pipelining stay: a slow line, not a narrow
    /// one. The opening of a connection itself is the kernel's and takes no longer.
    pub fn delay(&self, by: Duration) {
        self.set(if by.is_zero() { Condition::Clear } else { Condition::Delayed(by) });
    }

    /// Accepts connections and holds every byte, either way: a peer that went silent. What was held passes
    /// after [`restore`](Self::restore).
    pub fn stall(&self) {
        self.set(Condition::Stalled);
    }

    /// Resets all connections (RST, not an orderly end) and every new one.
    pub fn reset(&self) {
        self.order.send_modify(|order| {
            order.condition = Condition::Reset;
            order.resets += 1;
        });
    }

    /// Ends the fault. Connections that were reset stay so.
    pub fn restore(&self) {
        self.set(Condition::Clear);
    }

    /// The fault of now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.order.borrow().condition
    }

    /// How many connections go through the relay now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Resets the connections that are open, and lets new ones pass as before.
    pub(crate) fn hang_up(&self) {
        self.order.send_modify(|order| order.resets += 1);
    }

    fn set(&self, condition: Condition) {
        self.order.send_modify(|order| order.condition = condition);
    }
}
