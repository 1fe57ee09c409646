//! The whole pool under a model checker, which runs its threads in random orders, down to each lock and atomic.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p millpond-pool --test shuttle --release`. Time stands still here, so whoever is
//! forgotten waits for ever, and the checker reports a deadlock.

#![cfg(shuttle)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use millpond_pool::{AcquireOptions, Manager, Pool, Returned, Status};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{check_random, thread};

/// Counts how many connections are alive, and how many are handed out.
#[derive(Clone, Default)]
struct Server {
    alive: Arc<AtomicUsize>,
}

struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Manager for Server {
    type Connection = Connection;
    type Error = Infallible;

    async fn connect(&self) -> Result<Connection, Infallible> {
        yield_now().await;
        self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Connection(Arc::clone(&self.alive)))
    }

    fn is_open(&self, _: &Connection) -> bool {
        true
    }

    fn returned(&self, _: &mut Connection) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, _: &mut Connection) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A server whose connections die, have to be reset, and do not always stand it.
#[derive(Clone, Default)]
struct Rough {
    alive: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

struct Numbered {
    number: usize,
    /// How often it was asked whether it is open.
    asked: AtomicUsize,
    _counted: Connection,
}

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

/// The one that dies before anybody has it, and the one that cannot be reset.
const DEAD: usize = 1;
const STUBBORN: usize = 3;

impl Manager for Rough {
    type Connection = Numbered;
    type Error = No;

    async fn connect(&self) -> Result<Numbered, No> {
        yield_now().await;
        self.alive.fetch_add(1, Ordering::SeqCst);
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let counted = Connection(Arc::clone(&self.alive));
        Ok(Numbered { number, asked: AtomicUsize::new(0), _counted: counted })
    }

    /// It is alive when it is opened: what is dead then is tried again after a pause, and here time stands still.
    fn is_open(&self, connection: &Numbered) -> bool {
        connection.asked.fetch_add(1, Ordering::SeqCst) == 0 || connection.number != DEAD
    }

    fn returned(&self, connection: &mut Numbered) -> Returned {
        if connection.number.is_multiple_of(3) { Returned::Soiled } else { Returned::Clean }
    }

    async fn reset(&self, connection: &mut Numbered) -> Result<(), No> {
        yield_now().await;
        if connection.number == STUBBORN { Err(No) } else { Ok(()) }
    }
}

fn pool(server: &Server, size: usize) -> Pool<Server> {
    let pool = Pool::builder(server.clone()).max_size(size).seed(1).build().unwrap();
    // What still runs at the end of a test is dropped outside of the model, where no lock may be taken: so not the pool.
    std::mem::forget(pool.clone());
    pool
}

/// How many orders are tried.
fn rounds() -> usize {
    std::env::var("SHUTTLE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2_000)
}

/// How the pool stands once no connection is being opened or closed: what nobody waits for any more goes on.
fn settled<M: Manager>(pool: &Pool<M>) -> Status {
    loop {
        let status = pool.status();
        if status.connecting + status.closing + status.resetting == 0 {
            return status;
        }
        thread::yield_now();
    }
}

/// Threads, each with an executor of its own, as the workers of a runtime are.
fn in_threads(pool: &Pool<Server>, threads: usize, what: impl Fn(Pool<Server>) + Clone + Send + 'static) {
    in_numbered_threads(pool, threads, move |_, pool| what(pool));
}

fn in_numbered_threads<M: Manager>(
    pool: &Pool<M>,
    threads: usize,
    what: impl Fn(usize, Pool<M>) + Clone + Send + 'static,
) {
    let all: Vec<_> = (0..threads)
        .map(|number| {
            let (pool, what) = (pool.clone(), what.clone());
            thread::spawn(move || what(number, pool))
        })
        .collect();
    all.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn everybody_is_served_and_there_are_never_too_many() {
    check_random(
        || {
            let server = Server::default();
            let pool = pool(&server, 2);
            let alive = Arc::clone(&server.alive);
            in_threads(&pool, 3, move |pool| {
                for _ in 0..3 {
                    let lease = block_on(pool.acquire()).unwrap();
                    assert!(alive.load(Ordering::SeqCst) <= 2, "more than may be");
                    thread::yield_now();
                    drop(lease);
                }
            });
            let status = settled(&pool);
            assert_eq!((status.waiting, status.in_use()), (0, 0));
            assert_eq!(status.idle, server.alive.load(Ordering::SeqCst));
        },
        rounds(),
    );
}

#[test]
fn one_connection_goes_round_whoever_leaves() {
    check_random(
        || {
            let server = Server::default();
            let pool = pool(&server, 1);
            in_threads(&pool, 3, |pool| {
                for _ in 0..2 {
                    // Asks, and is gone before or after it is served.
                    let mut leaves = pin!(pool.acquire());
                    let _ = leaves.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    thread::yield_now();
                    let _ = leaves.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                }
                drop(block_on(pool.acquire()).unwrap());
            });
            assert_eq!(pool.status().waiting, 0);
        },
        rounds(),
    );
}

#[test]
fn what_a_thread_keeps_at_hand_goes_to_whoever_waits() {
    check_random(
        || {
            let server = Server::default();
            let pool = pool(&server, 1);
            // Parked by this thread, which does nothing more.
            drop(block_on(pool.acquire()).unwrap());
            in_threads(&pool, 2, |pool| drop(block_on(pool.acquire()).unwrap()));
            assert_eq!(server.alive.load(Ordering::SeqCst), 1);
        },
        rounds(),
    );
}

#[test]
fn evicted_connections_are_never_handed_out_and_a_closed_pool_is_empty() {
    check_random(
        || {
            let server = Server::default();
            let pool = pool(&server, 2);
            let evicting = thread::spawn({
                let pool = pool.clone();
                move || {
                    pool.evict();
                    let before = pool.generation();
                    let lease = block_on(pool.acquire()).unwrap();
                    assert!(!lease.is_evicted() || pool.generation() > before);
                }
            });
            in_threads(&pool, 2, |pool| {
                for _ in 0..2 {
                    drop(block_on(pool.acquire()).unwrap());
                }
            });
            evicting.join().unwrap();
            let closing = spawn({
                let pool = pool.clone();
                async move { pool.close(std::time::Instant::now()).await }
            });
            assert!(block_on(closing).unwrap());
            assert_eq!((pool.status().size, server.alive.load(Ordering::SeqCst)), (0, 0));
        },
        rounds(),
    );
}

#[test]
fn a_pool_that_is_closed_meanwhile_serves_or_refuses_everybody() {
    check_random(
        || {
            let server = Server::default();
            let pool = pool(&server, 1);
            let closing = thread::spawn({
                let pool = pool.clone();
                move || block_on(pool.close(std::time::Instant::now()))
            });
            in_threads(&pool, 2, |pool| {
                for _ in 0..2 {
                    drop(block_on(pool.acquire()));
                }
            });
            closing.join().unwrap();
            let status = settled(&pool);
            assert_eq!((status.size, server.alive.load(Ordering::SeqCst)), (0, 0));
        },
        rounds(),
    );
}

#[test]
fn sizes_change_while_all_ask() {
    check_random(
        || {
            let server = Server::default();
            let pool = pool(&server, 2);
            let sizing = thread::spawn({
                let pool = pool.clone();
                move || {
                    pool.resize(1).unwrap();
                    pool.resize(3).unwrap();
                    pool.resize(1).unwrap();
                }
            });
            in_threads(&pool, 3, |pool| {
                for _ in 0..2 {
                    drop(block_on(pool.acquire()).unwrap());
                }
            });
            sizing.join().unwrap();
            let status = settled(&pool);
            assert_eq!((status.waiting, status.in_use()), (0, 0));
            assert!(status.size <= 1, "{status:?}");
        },
        rounds(),
    );
}

/// One thread leaves in the middle, one evicts and closes, and all get connections that die and have to be reset.
fn rough(classes: &'static [&'static str]) {
    check_random(
        move || {
            let server = Rough::default();
            let builder = Pool::builder(server.clone()).max_size(2).seed(1);
            let builder = classes.iter().fold(builder, |builder, class| builder.class(class, 1));
            let pool = builder.build().unwrap();
            std::mem::forget(pool.clone());
            let alive = Arc::clone(&server.alive);
            in_numbered_threads(&pool, 3, move |number, pool| {
                let class = classes.get(number).copied().unwrap_or("default");
                for turn in 0..3 {
                    let acquire = || pool.acquire_with(AcquireOptions::new().class(class));
                    if (number, turn) == (1, 1) {
                        let mut leaves = pin!(acquire());
                        let _ = leaves.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        thread::yield_now();
                        let _ = leaves.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        continue;
                    }
                    if (number, turn) == (2, 2) {
                        pool.evict();
                    }
                    let lease = block_on(acquire()).unwrap();
                    assert!(alive.load(Ordering::SeqCst) <= 2, "more than may be");
                    thread::yield_now();
                    if (number, turn) == (2, 0) { lease.close() } else { drop(lease) }
                }
            });
            let status = settled(&pool);
            assert_eq!((status.waiting, status.in_use()), (0, 0));
            assert_eq!(status.idle, server.alive.load(Ordering::SeqCst));
            let closing = spawn({
                let pool = pool.clone();
                async move { pool.close(std::time::Instant::now()).await }
            });
            assert!(block_on(closing).unwrap());
            assert_eq!((pool.status().size, server.alive.load(Ordering::SeqCst)), (0, 0));
        },
        rounds(),
    );
}

#[test]
fn connections_that_die_and_are_reset_reach_everybody() {
    rough(&[]);
}

#[test]
fn so_they_do_with_connections_kept_for_a_class() {
    rough(&["web"]);
}
