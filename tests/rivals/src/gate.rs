//! A relay in front of a real server, that is as slow, deaf or closed as a scenario says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::select;

use crate::server::{Connection, Server, Step};

/// Opens the gate, on a thread of its own that a scenario cannot hold up. It stays until the process ends.
pub(crate) fn open(server: &Server, upstream: SocketAddr) -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let server = server.clone();
    thread::spawn(move || {
        let ended = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            serve(&server, listener, address, upstream).await
        });
        if let Err(error) = ended {
            eprintln!("the gate at {address} is gone: {error}");
        }
    });
    Ok(address)
}

async fn serve(
    server: &Server,
    listener: TcpListener,
    address: SocketAddr,
    upstream: SocketAddr,
) -> io::Result<()> {
    let mut connects = server.connects();
    let mut open = Some(listener);
    loop {
        if matches!(*connects.borrow_and_update(), Step::Refused) {
            // So that the system refuses, as it does where no server runs.
            open = None;
        } else if open.is_none() {
            open = Some(TcpListener::bind(address).await?);
        }
        let Some(listener) = &open else {
            let _ = connects.changed().await;
            continue;
        };
        select! {
            accepted = listener.accept() => {
                let (client, server) = (accepted?.0, server.clone());
                tokio::spawn(async move {
                    // Whoever is connected sees its end.
                    let _ = relay(&server, client, upstream).await;
                });
            }
            _ = connects.changed() => {}
        }
    }
}

async fn relay(server: &Server, mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let Ok(connection) = server.connect().await else { return client.set_zero_linger() };
    let mut upstream = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), upstream.split());
    select! {
        ended = pass(&connection, from_client, to_server, true) => ended,
        ended = pass(&connection, from_server, to_client, false) => ended,
    }
}

/// Passes on what comes, until it ends. What is meant for a deaf server is read and lost, so that the end is still seen.
async fn pass(
    connection: &Connection,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    is_asking: bool,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        if connection.is_deaf() {
            if count == 0 && !is_asking {
                // A deaf server does not even close.
                tokio::time::sleep(Duration::MAX).await;
            }
        } else if is_asking && count > 0 && connection.check().await.is_err() {
            return Ok(());
        } else if count > 0 {
            to.write_all(&bytes[..count]).await?;
        }
        if count == 0 {
            return Ok(());
        }
    }
}
