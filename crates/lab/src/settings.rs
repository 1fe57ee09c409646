//! The settings of the servers, and their text.

use std::fmt::Write as _;

use crate::LabError;

/// Whether a commit waits for a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replication {
    /// A commit waits for nobody; what the primary has not sent is lost with it.
    #[default]
    Asynchronous,
    /// A commit waits until any one replica has it (`ANY 1 (*)`).
    Synchronous,
}

/// Settings that the lab itself needs to set.
const OURS: [&str; 8] = [
    "cluster_name",
    "data_directory",
    "hba_file",
    "listen_addresses",
    "logging_collector",
    "port",
    "primary_conninfo",
    "unix_socket_directories",
];

/// Fast and small: what is lost with the machine does not matter, what is lost with a process does.
const COMMON: &str = "
listen_addresses = '127.0.0.1'
fsync = off
autovacuum = off
shared_buffers = 16MB
max_connections = 100
max_worker_processes = 4
max_parallel_workers = 0
max_logical_replication_workers = 0
# A server that is killed cannot clean up; files in its folder go with the folder.
dynamic_shared_memory_type = mmap
logging_collector = off
log_min_messages = warning
wal_level = replica
# A replica that was away finds what it missed. A slot would also do, and be in the way after a failover.
wal_keep_size = 256MB
max_wal_size = 128MB
min_wal_size = 32MB
max_wal_senders = 16
max_replication_slots = 16
# pg_rewind needs it.
wal_log_hints = on
hot_standby = on
hot_standby_feedback = on
max_standby_streaming_delay = 2s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
";

/// A name and a value, as a line of `postgresql.conf` has them.
pub(crate) type Setting = (String, String);

/// Refuses what would break the lab or the file.
pub(crate) fn check(name: &str, value: &str) -> Result<(), LabError> {
    let refuse =
        |reason: &str| Err(LabError::Setting { setting: name.to_owned(), reason: reason.to_owned() });
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if name.is_empty() || !name.chars().all(plain) {
        return refuse("a name of a PostgreSQL setting holds letters, digits, `_` and `.` only");
    }
    if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        return refuse("the lab sets it itself; leave it out");
    }
    if value.contains(['\n', '\r', '\0']) {
        return refuse("the value must be one line");
    }
    Ok(())
}

/// The part of `postgresql.conf` that all nodes share. It survives copies between nodes, so what differs is in
/// a file beside the data folder.
pub(crate) fn common(sockets: &str, replication: Replication, extra: &[Setting]) -> String {
    let mut text = COMMON.to_owned();
    line(&mut text, "unix_socket_directories", sockets);
    if replication == Replication::Synchronous {
        line(&mut text, "synchronous_standby_names", "ANY 1 (*)");
    }
    for (name, value) in extra {
        line(&mut text, name, value);
    }
    text.push_str("include '../node.conf'\n");
    text
}

/// The settings of one node.
pub(crate) fn node(name: &str, port: u16, upstream: u16, extra: &[Setting], tls: bool) -> String {
    let mut text = String::new();
    line(&mut text, "port", &port.to_string());
    line(&mut text, "cluster_name", name);
    let conninfo = format!(
        "host=127.0.0.1 port={upstream} user=postgres application_name={name} sslmode=disable gssencmode=disable"
    );
    line(&mut text, "primary_conninfo", &conninfo);
    if tls {
        line(&mut text, "ssl", "on");
        line(&mut text, "ssl_cert_file", "../server.crt");
        line(&mut text, "ssl_key_file", "../server.key");
    }
    for (name, value) in extra {
        line(&mut text, name, value);
    }
    text
}

/// Everybody is trusted but the users that have a password.
pub(crate) fn access<'a>(users: impl Iterator<Item = &'a str>) -> String {
    let mut text = "local all all trust\n".to_owned();
    for user in users {
        let _ = writeln!(text, "host all {} 127.0.0.1/32 scram-sha-256", identifier(user));
    }
    text.push_str("host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n");
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name} = {}", literal(value));
}

/// A quoted SQL literal, or the value of a setting. A backslash is doubled and means itself in both.
pub(crate) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A quoted identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_lab_sets_itself_is_refused_by_name() {
        let error = check("Port", "5432").unwrap_err().to_string();
        assert!(error.contains("`Port`") && error.contains("leave it out"), "{error}");
        check("work_mem", "4MB").unwrap();
        check("work_mem", "4MB\nport = 1").unwrap_err();
        check("a b", "1").unwrap_err();
    }

    #[test]
    fn quotes_in_values_and_names_are_doubled() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert!(access(["app"].into_iter()).contains("host all \"app\" 127.0.0.1/32 scram-sha-256\n"));
    }
}
