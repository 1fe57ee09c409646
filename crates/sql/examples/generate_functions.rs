//! Makes `src/functions/postgres_generated.rs`, the list of PostgreSQL's own functions that only read.
//!
//! Ask servers of every version that is to be covered, one after another, and hand over all answers at once:
//!
//! ```sh
//! ask="select proname, provolatile from pg_proc where pronamespace = 'pg_catalog'::regnamespace
//!      union select typname, 'i' from pg_type where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm')
//!          and typname not like '\\_%' and typrelid = 0"
//! for server in "port=5415" "port=5418"; do
//!     psql -d "$server" -AtF ' ' -c "select '#', current_setting('server_version')" -c "$ask"
//! done | cargo run -p millpond-sql --example generate_functions > crates/sql/src/functions/postgres_generated.rs
//! ```
//!
//! A name is kept when every version calls every function of that name immutable or stable. The names of types are among them, since
//! `inet(x)` is another spelling of `x::inet`. What is volatile and harmless,
//! and what is called stable and is not, stands in the tables that people keep, in `src/functions/postgres.rs`.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};

fn main() -> io::Result<()> {
    let mut versions = Vec::new();
    let mut names: BTreeMap<String, bool> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("#", version)) => {
                versions.push(version.split(' ').next().unwrap_or_default().to_owned());
            }
            Some((name, volatility)) => {
                *names.entry(name.to_owned()).or_insert(true) &= matches!(volatility, "i" | "s");
            }
            None => return Err(io::Error::other(format!("not `name volatility`: {line:?}"))),
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "//! PostgreSQL's functions that every version calls immutable or stable.")?;
    writeln!(out, "//!")?;
    writeln!(
        out,
        "//! Made by `examples/generate_functions.rs` from PostgreSQL {}; not to be edited.",
        versions.join(" and ")
    )?;
    writeln!(out)?;
    writeln!(out, "#[rustfmt::skip]")?;
    writeln!(out, "pub(super) const READS: &[&str] = &[")?;
    for (name, _) in names.iter().filter(|(_, reads)| **reads) {
        writeln!(out, "    {name:?},")?;
    }
    writeln!(out, "];")
}
