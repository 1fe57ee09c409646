//! Free ports for the servers.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

/// Ports given out in this process, so that labs that start at the same time do not meet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Listens on loopback: on `port`, or on one that the system chooses when it is 0.
///
/// What is bound here stays bound, so the system's choice cannot be taken by anybody.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A port that is free now and below the range of outgoing connections: the server binds it later, and again
/// after each restart, and an outgoing connection of anybody could have taken it meanwhile.
pub(crate) fn free() -> Option<u16> {
    let end = ephemeral_start();
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..500).map(|_| fastrand::u16(10_000..end)).find(|&port| {
        !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && given.insert(port)
    })
}

/// Lets a port go that a lab does not need any more.
pub(crate) fn release(port: u16) {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
}

fn ephemeral_start() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let low = text.split_whitespace().next().and_then(|low| low.parse::<u16>().ok());
    // Some machines start the range so low that there is nothing beneath it: then a retry has to do.
    low.filter(|&low| low > 12_000).unwrap_or(32_768)
}
