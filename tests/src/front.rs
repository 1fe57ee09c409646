use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A name that stands for other servers: a port whose connections lead to those that it is set to, each to the next one, as a balancer's do.
#[derive(Debug)]
pub struct Front {
    port: u16,
    servers: Arc<Mutex<Vec<u16>>>,
    /// Aborted with it.
    _accepting: JoinSet<()>,
}

impl Front {
    /// One that leads to these ports of this machine.
    ///
    /// # Panics
    ///
    /// When there is no port.
    pub async fn to(ports: &[u16]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let servers = Arc::new(Mutex::new(ports.to_vec()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&servers)));
        Self { port, servers, _accepting: accepting }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Leads elsewhere from now on; what is open stays.
    pub fn leads_to(&self, ports: &[u16]) {
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = ports.to_vec();
    }
}

async fn accept(listener: TcpListener, servers: Arc<Mutex<Vec<u16>>>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let next = {
            let mut servers = servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.rotate_left(1);
            servers.last().copied()
        };
        let Some(port) = next else { continue };
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
