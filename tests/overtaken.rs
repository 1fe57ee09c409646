//! A cancel that arrives before the statement that it is for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use millpond::postgres::tokio_postgres::types::{ToSql, Type};
use millpond_lab::Lab;
use millpond_tests::{Events, until, with_events};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A line that can be held up while connections that are opened meanwhile pass.
struct Line {
    port: u16,
    is_open: watch::Sender<bool>,
    /// What came while it was held up.
    held: Arc<AtomicUsize>,
    /// Connections that were opened then, and are through.
    passed: Arc<AtomicUsize>,
}

impl Line {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            is_open: watch::Sender::new(true),
            held: Arc::default(),
            passed: Arc::default(),
        };
        let (is_open, held, passed) =
            (line.is_open.subscribe(), Arc::clone(&line.held), Arc::clone(&line.passed));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let (is_open, held, passed) = (is_open.clone(), Arc::clone(&held), Arc::clone(&passed));
                tokio::spawn(pass(client, server, is_open, held, passed));
            }
        });
        line
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    mut is_open: watch::Receiver<bool>,
    held: Arc<AtomicUsize>,
    passed: Arc<AtomicUsize>,
) {
    let passes = !*is_open.borrow();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let back = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut chunk = vec![0; 8192];
    while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
        if !passes && !*is_open.borrow() {
            held.fetch_add(1, Ordering::Relaxed);
            is_open.wait_for(|is_open| *is_open).await.unwrap();
        }
        to_server.write_all(&chunk[..length]).await.unwrap();
    }
    drop(to_server);
    let _ = back.await;
    passed.fetch_add(usize::from(passes), Ordering::Relaxed);
}

#[tokio::test]
async fn a_statement_is_cancelled_though_the_cancel_overtook_it() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let line = Line::to(lab.primary().direct_port()).await;
    let url = lab.primary().url("postgres");
    let url = url.replace(&lab.primary().port().to_string(), &line.port.to_string());
    let builder = with_events(millpond::postgres::Db::builder(&url).unwrap(), &Events::default());
    let db = builder.max_size(1).connect().await.unwrap();
    // Once, so that the driver knows the types of its columns.
    let sql = "select count(*) from generate_series(1, $1)";
    db.query_typed(sql, &[(&1_i64, Type::INT8)]).await.unwrap();

    let endless: [(&(dyn ToSql + Sync), Type); 1] = [(&100_000_000_000_i64, Type::INT8)];
    line.is_open.send_replace(false);
    {
        let mut call = pin!(db.query_typed(sql, &endless));
        until("it is on its way", async || {
            assert!(call.as_mut().now_or_never().is_none());
            line.held.load(Ordering::Relaxed) == 1
        })
        .await;
    }
    until("the cancel is through", async || line.passed.load(Ordering::Relaxed) == 1).await;
    line.is_open.send_replace(true);
    let log = lab.primary().log_file();
    let is_cancelled = async || {
        let log = tokio::task::spawn_blocking({
            let log = log.clone();
            move || std::fs::read_to_string(log)
        });
        log.await.unwrap().unwrap().contains("canceling statement due to user request")
    };
    until("it is cancelled", is_cancelled).await;
    let next = tokio::time::timeout(Duration::from_secs(5), db.query_typed("select 1", &[])).await;
    next.unwrap().unwrap();
}
