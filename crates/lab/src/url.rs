//! URLs in libpq's form.

use std::fmt::Write as _;

use crate::host::Shared;

/// `postgres://user[:password]@127.0.0.1:port,…/database?sslmode=…`
pub(crate) fn of(
    shared: &Shared,
    user: &str,
    password: Option<&str>,
    ports: impl Iterator<Item = u16>,
    database: &str,
) -> String {
    let hosts: Vec<String> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
    let mut login = encoded(user);
    if let Some(password) = password {
        let _ = write!(login, ":{}", encoded(password));
    }
    let mode = if shared.tls.is_some() { "require" } else { "disable" };
    format!("postgres://{login}@{}/{}?sslmode={mode}", hosts.join(","), encoded(database))
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_part_of_a_url_is_encoded() {
        assert_eq!(encoded("p@ss:w/rd é"), "p%40ss%3Aw%2Frd%20%C3%A9");
    }
}
