//! What a checkout, a wait and a place in the pool cost in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use millpond_pool::{Lease, Manager, Pool, Returned};
use tokio::runtime::Runtime;

/// What a connection of the test takes itself.
const OWN: i64 = 8;

/// What the README says of a machine of 64 bits.
const README: &str = include_str!("../README.md");

struct Numbers;

impl Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    fn is_open(&self, _: &u64) -> bool {
        true
    }

    fn returned(&self, _: &mut u64) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What a future gives at its first poll.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A pool of so many connections, all open, in a runtime that goes on by itself.
fn pool(size: usize) -> (Runtime, Pool<Numbers>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    filled(runtime, size)
}

fn filled(runtime: Runtime, size: usize) -> (Runtime, Pool<Numbers>) {
    let pool = runtime.block_on(async {
        let pool = Pool::builder(Numbers).max_size(size).build().unwrap();
        let mut leases: Vec<Lease<Numbers>> = Vec::new();
        for _ in 0..size {
            leases.push(pool.acquire().await.unwrap());
        }
        pool
    });
    (runtime, pool)
}

#[test]
fn a_checkout_and_its_return_allocate_nothing() {
    let (_runtime, pool) = pool(4);
    let turn = || {
        let (first, second) = (at_once(pool.acquire()).unwrap(), at_once(pool.acquire()).unwrap());
        assert!(first.is_ok() && second.is_ok());
    };
    turn();
    let found = measure(|| (0..100).for_each(|_| turn()));
    assert_eq!(found.count_total, 0);
}

#[test]
fn a_wait_is_one_small_allocation() {
    let (_runtime, pool) = pool(1);
    let turn = || {
        let held = at_once(pool.acquire()).unwrap().unwrap();
        let mut waits = pin!(pool.acquire());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        drop(held);
        assert!(waits.as_mut().poll(&mut context).is_ready());
    };
    turn();
    let found = measure(|| (0..100).for_each(|_| turn()));
    assert_eq!(found.count_total, 100);
    let bytes = found.bytes_total / 100;
    let said = format!("a wait {bytes} bytes once");
    assert!(README.contains(&said), "the README has to say: {said}");
}

#[test]
fn an_idle_connection_takes_what_the_readme_says() {
    let mut kept = Vec::with_capacity(2);
    // All in this thread, where it is counted.
    let here = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let found = measure(|| kept.push(filled(here(), 1001)));
    let one = measure(|| kept.push(filled(here(), 1)));
    let bytes = (found.bytes_current - one.bytes_current) / 1000;
    let said = format!("an idle connection takes {} bytes beside itself", bytes - OWN);
    assert!(README.contains(&said), "the README has to say: {said}");
}
