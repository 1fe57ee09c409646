//! The relay: a TCP connection to us is carried to a server and back.

use std::{
    collections::VecDeque,
    fmt, io,
    net::{Ipv4Addr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{Condition, Order};

/// Bytes under way that a delayed direction holds before it stops reading, as a full window would.
const UNDER_WAY: usize = 4 << 20;

/// Where a relay leads. Asked anew for every connection, since a server may come back on another port.
#[derive(Clone)]
pub(crate) struct Target(Arc<dyn Fn() -> u16 + Send + Sync>);

impl Target {
    pub(crate) fn new(port: impl Fn() -> u16 + Send + Sync + 'static) -> Self {
        Self(Arc::new(port))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.0())
    }
}

/// Goes up with a connection and down with it.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Accepts for as long as the lab's thread runs.
pub(super) async fn accept(
    listener: StdListener,
    target: Target,
    order: watch::Receiver<Order>,
    open: Arc<AtomicUsize>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (order, target, counted) = (order.clone(), target.clone(), Counted::new(&open));
                tokio::spawn(async move {
                    carry(client, &target, order).await;
                    drop(counted);
                });
            }
            // Out of file handles, most likely: a connection that ends gives one back.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn carry(mut client: TcpStream, target: &Target, mut order: watch::Receiver<Order>) {
    let born = order.borrow().resets;
    let mut watcher = order.clone();
    let cut = async move {
        // An error means that the lab is gone, and then the connection is cut as well.
        let _ = watcher.wait_for(|now| now.condition == Condition::Reset || now.resets != born).await;
    };
    tokio::pin!(cut);
    let connect = async {
        let _ = order.wait_for(|now| now.condition != Condition::Stalled).await;
        TcpStream::connect((Ipv4Addr::LOCALHOST, (target.0)())).await
    };
    let connected = tokio::select! {
        biased;
        () = &mut cut => return abort(&client),
        connected = connect => connected,
    };
    let Ok(mut server) = connected else { return abort(&client) };
    // The client or the server decides what goes out together, not we.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let forth = pump(from_client, to_server, order.clone());
        let back = pump(from_server, to_client, order);
        tokio::select! {
            biased;
            () = &mut cut => Err(io::ErrorKind::ConnectionReset.into()),
            ended = async { tokio::try_join!(forth, back) } => ended,
        }
    };
    // What one side saw, the other sees: a reset is passed on as a reset.
    if ended.is_err() {
        abort(&client);
        abort(&server);
    }
}

/// With no time to linger, closing sends RST.
fn abort(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// One direction. Without a fault a chunk is written as it is read; with a delay it waits in a queue with the
/// time it is due, so that many can be under way at once. An empty chunk is the end of the stream.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut order: watch::Receiver<Order>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut queue: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let (mut held, mut at_end) = (0, false);
    loop {
        let condition = order.borrow_and_update().condition;
        let due = match condition {
            Condition::Stalled => None,
            Condition::Delayed(_) => queue.front().map(|(due, _)| *due),
            Condition::Clear | Condition::Reset => queue.front().map(|_| Instant::now()),
        };
        let reads = condition != Condition::Stalled && !at_end && held < UNDER_WAY;
        tokio::select! {
            biased;
            changed = order.changed() => if changed.is_err() { return Ok(()) },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let (_, chunk) = queue.pop_front().unwrap_or_else(|| (Instant::now(), Vec::new()));
                held -= chunk.len();
                if chunk.is_empty() {
                    return to.shutdown().await;
                }
                to.write_all(&chunk).await?;
            }
            read = from.read(&mut buffer), if reads => {
                let chunk = &buffer[..read?];
                at_end = chunk.is_empty();
                // Asked again: the fault may have come between the two lines above.
                let wait = match order.borrow().condition {
                    Condition::Clear | Condition::Reset if queue.is_empty() => None,
                    Condition::Delayed(by) => Some(by),
                    _ => Some(Duration::ZERO),
                };
                match wait {
                    Some(wait) => {
                        held += chunk.len();
                        queue.push_back((Instant::now() + wait, chunk.to_vec()));
                    }
                    None if at_end => return to.shutdown().await,
                    None => to.write_all(chunk).await?,
                }
            }
        }
    }
}
