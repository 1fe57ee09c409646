//! A primary and its hot standby, and the session that statements are sent to.

use std::{fmt, io};

use anyhow::{Context as _, Result, ensure};
use millpond_lab::{Lab, Node};

use super::schema;
use super::wire::{Answer, Connection, ServerError};

/// So given they are no settings of the session. Nothing may run for long, or fill a disk.
const OPTIONS: &str = "-c statement_timeout=150ms -c lock_timeout=100ms -c temp_file_limit=10MB -c jit=off \
                       -c max_parallel_workers_per_gather=0";

/// What a session holds that a plain read cannot leave there; empty when there is nothing.
const LEFT_BEHIND: &str = "select concat_ws(', ',
    (select 'setting ' || string_agg(name, ' ') from pg_settings where source = 'session'),
    (select 'advisory lock' from pg_locks where locktype = 'advisory' limit 1),
    (select 'listens to ' || string_agg(c, ' ') from pg_listening_channels() c),
    (select 'prepared statement ' || string_agg(name, ' ') from pg_prepared_statements),
    (select 'cursor ' || string_agg(name, ' ') from pg_cursors where name <> ''),
    (select 'temporary schema' where pg_my_temp_schema() <> 0))";

/// The server ended the statement, since its time was over.
const TOO_LATE: &str = "57014";

/// The server's own functions with the types of their arguments.
const FUNCTIONS: &str =
    "select proname || coalesce((select string_agg('|' || format_type(t, null), '' order by n)
        from unnest(proargtypes) with ordinality as a (t, n)), '')
    from pg_proc where pronamespace = 'pg_catalog'::regnamespace and prokind <> 'p'
    and prorettype not in ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
    and not 'internal'::regtype = any (proargtypes) and proname !~ '^pg_sleep' order by oid";

/// A function of the server.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

/// A statement that was taken for a plain read and is none.
#[derive(Debug)]
pub(super) struct Finding {
    sql: String,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "taken for a plain read: {}\nthe standby: {}", self.sql, self.what)
    }
}

/// How many statements were made, sent, run to their end, and refused for their form.
#[derive(Debug, Default)]
struct Counts {
    made: u64,
    sent: u64,
    done: u64,
    malformed: u64,
}

pub(super) struct Standby {
    node: Node,
    connection: Connection,
    functions: Vec<Function>,
    counts: Counts,
    /// The servers end with it, and with this process.
    _lab: Lab,
}

impl Standby {
    /// Starts the servers with the schema.
    pub(super) fn up() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lab = runtime.block_on(async {
            let lab = Lab::builder().replicas(1).up().await?;
            lab.primary().ask("postgres", schema::DEFINITIONS).await?;
            lab.caught_up().await?;
            Ok::<_, anyhow::Error>(lab)
        })?;
        let node = lab.node("db-1")?.clone();
        let mut connection = open(&node)?;
        let functions = functions(&mut connection)?;
        Ok(Self { node, connection, functions, counts: Counts::default(), _lab: lab })
    }

    pub(super) fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Sends plain reads, which are those out of `made` statements.
    pub(super) fn check(&mut self, made: usize, reads: &[String]) -> Result<(), Finding> {
        self.count(made, reads.len());
        if reads.is_empty() {
            return Ok(());
        }
        let together = match self.ask(reads) {
            Ok(None) => return Ok(()),
            Ok(Some(what)) => what,
            Err(error) => error.to_string(),
        };
        // One of them did something: each alone, in a session of its own, says which.
        for sql in reads {
            self.connection = self.reopened(sql)?;
            let found = self.ask(std::slice::from_ref(sql));
            let what = found.unwrap_or_else(|error| Some(format!("the connection ended: {error}")));
            if let Some(what) = what {
                self.connection = self.reopened(sql)?;
                return Err(Finding { sql: sql.clone(), what });
            }
        }
        self.connection = self.reopened(&reads.join("\n"))?;
        Err(Finding { sql: reads.join("\n"), what: format!("{together}, and not for one of them alone") })
    }

    fn reopened(&self, sql: &str) -> Result<Connection, Finding> {
        let gone =
            |error| Finding { sql: sql.to_owned(), what: format!("it takes no connections: {error:#}") };
        open(&self.node).map_err(gone)
    }

    /// What is wrong with the answers, if anything is.
    fn ask(&mut self, reads: &[String]) -> io::Result<Option<String>> {
        let answers = self.connection.ask(reads.iter().map(String::as_str))?;
        let state = self.state()?;
        for answer in &answers {
            self.counts.note(answer);
        }
        let wrong = answers.iter().find_map(wrong);
        Ok(wrong.or_else(|| match (state.rows.first(), state.error) {
            (Some(left), _) if !left.is_empty() => Some(format!("holds {left}")),
            (_, Some(error)) => Some(format!("asked for its state, {}", shown(&error))),
            _ => None,
        }))
    }

    /// What the session holds; asked again where the machine was too busy for the time that a statement has.
    fn state(&mut self) -> io::Result<Answer> {
        let mut tries = 0;
        loop {
            let state = self.connection.ask([LEFT_BEHIND].into_iter())?.pop().unwrap_or_default();
            tries += 1;
            let is_late = state.error.as_ref().is_some_and(|error| error.code == TOO_LATE);
            if !is_late || tries == 10 {
                return Ok(state);
            }
        }
    }

    fn count(&mut self, made: usize, sent: usize) {
        let before = self.counts.made;
        self.counts.made += u64::try_from(made).unwrap_or(0);
        self.counts.sent += u64::try_from(sent).unwrap_or(0);
        if before.checked_ilog2() < self.counts.made.checked_ilog2() {
            eprintln!("{}", self.counts());
        }
    }

    pub(super) fn counts(&self) -> String {
        let Counts { made, sent, done, malformed } = self.counts;
        format!(
            "{made} statements, {sent} plain reads sent, {done} run to their end, {malformed} with errors of syntax"
        )
    }
}

impl Counts {
    fn note(&mut self, answer: &Answer) {
        match &answer.error {
            None => self.done += 1,
            Some(error) if error.code == "42601" => self.malformed += 1,
            Some(_) => {}
        }
    }
}

fn wrong(answer: &Answer) -> Option<String> {
    match &answer.error {
        Some(error) if error.is_refusal_of_a_standby() => Some(shown(error)),
        _ if answer.status != b'I' => Some("is left in a transaction".to_owned()),
        _ => None,
    }
}

fn shown(error: &ServerError) -> String {
    format!("{} {}", error.code, error.message)
}

fn open(node: &Node) -> Result<Connection> {
    Connection::open(node.direct_port(), OPTIONS).context("cannot connect to the standby")
}

fn functions(connection: &mut Connection) -> Result<Vec<Function>> {
    let answers = connection.ask([FUNCTIONS].into_iter())?;
    let rows = answers.iter().flat_map(|answer| &answer.rows);
    let functions: Vec<_> = rows
        .map(|row| {
            let mut words = row.split('|').map(str::to_owned);
            Function { name: words.next().unwrap_or_default(), arguments: words.collect() }
        })
        .collect();
    ensure!(functions.len() > 1000, "the server lists {} functions: {answers:?}", functions.len());
    Ok(functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(standby: &mut Standby, sql: &str) -> String {
        standby.check(1, &[sql.to_owned()]).map_or_else(|finding| finding.what, |()| "nothing".to_owned())
    }

    #[test]
    fn differential_checks_see_what_no_plain_read_does() {
        let standby = &mut Standby::up().expect("servers");
        for (sql, wanted) in [
            ("select 1", "nothing"),
            ("select syntax error", "nothing"),
            ("copy item to stdout", "nothing"),
            ("select 1 / 0", "nothing"),
            ("select nextval('counter')", "25006"),
            ("select pg_current_wal_lsn()", "recovery is in progress"),
            ("set default_transaction_isolation = serializable; select 1", "standby"),
            ("with x as (delete from item returning 1) select 1", "25006"),
            ("begin", "transaction"),
            ("set work_mem = '1MB'", "setting work_mem"),
            ("select pg_advisory_lock(1)", "advisory lock"),
            ("prepare a as select 1", "prepared statement a"),
            ("declare c cursor with hold for select 1", "cursor c"),
            ("select pg_terminate_backend(pg_backend_pid())", "ended"),
        ] {
            let found = what(standby, sql);
            assert!(found.contains(wanted), "{sql}: {found}");
        }
        let several = ["select 1", "select lo_create(0)", "select 2"].map(str::to_owned);
        assert_eq!(standby.check(3, &several).expect_err("a finding").sql, several[1]);
        assert_eq!(what(standby, "select 1"), "nothing");
    }
}
