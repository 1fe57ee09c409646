//! What is refused before it is sent: a text that its handle, transaction or lease cannot run.

use millpond_cluster::Handle;
use millpond_cluster::sql::{Classification, Dialect, Effects, ReasonKind, TransactionVerb, classify, split};

use crate::frame::Kind;
use crate::{Error, ErrorKind, Outcome, Postgres, Result};

/// Refuses a text that a routed handle cannot run as one statement: it has no connection of its own, and the protocol of
/// prepared statements takes one at a time.
pub(crate) fn admit(handle: &Handle<Postgres>, sql: &str) -> Result<Classification> {
    let classification = handle.classify(sql);
    one_statement(&classification)?;
    refuse(sql, &classification)?;
    Ok(classification)
}

pub(crate) fn refuse(sql: &str, classification: &Classification) -> Result<()> {
    let effects = classification.effects();
    keeps_literals(sql, classification)?;
    if effects.contains(Effects::COPY) {
        return Err(copy_refused());
    }
    if effects.binds_session() && classification.statements() < 2 {
        return Err(session_statement(sql, classification));
    }
    Ok(())
}

/// Refuses what changes where literals end: texts would hide what they do from then on, the end of a transaction among it.
pub(crate) fn keeps_literals(sql: &str, classification: &Classification) -> Result<()> {
    let is_named = || sql.to_ascii_lowercase().contains("standard_conforming_strings");
    if !classification.effects().contains(Effects::SETTING) || !is_named() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::SessionStatement,
        Outcome::NotSent,
        "standard_conforming_strings stays on: texts are read as the standard has them; write E'…' for backslashes",
    ))
}

/// Refuses several statements where one is asked for.
pub(crate) fn one_statement(classification: &Classification) -> Result<()> {
    let count = classification.statements();
    if count < 2 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::SeveralStatements,
        Outcome::NotSent,
        format!("the text has {count} statements, and this call takes one: use batch_execute()"),
    ))
}

fn session_statement(sql: &str, classification: &Classification) -> Error {
    let effects = classification.effects();
    let instead = if effects.contains(Effects::TRANSACTION) {
        "use begin()"
    } else if effects == Effects::LISTEN {
        "use listener()"
    } else if effects.contains(Effects::SESSION_VALUE) {
        "it asks for a value of its own connection, as pg_backend_pid() and currval() do: use a lease from get(), or a transaction from \
         begin()"
    } else if effects.contains(Effects::SETTING) {
        "use with_settings(), a transaction from begin(), or a lease from get()"
    } else {
        "use a lease from get(), or a transaction from begin()"
    };
    let reason = classification.reason();
    // What makes it no read can be something else, and would mislead here.
    let why = match reason.kind() {
        ReasonKind::SessionVerb
        | ReasonKind::SessionName
        | ReasonKind::SessionFunction
        | ReasonKind::Transaction => format!(": {}", reason.display(sql)),
        _ => String::new(),
    };
    Error::new(
        ErrorKind::SessionStatement,
        Outcome::NotSent,
        format!("the statement needs one connection for itself ({effects}){why}; {instead}"),
    )
}

/// Refuses what would end the transaction that a text runs in.
pub(crate) fn transaction_commands(sql: &str, classification: &Classification) -> Result<()> {
    if classification.effects().contains(Effects::TRANSACTION) {
        for part in split(sql, Dialect::Postgres) {
            transaction_command(&sql[part])?;
        }
    }
    Ok(())
}

fn transaction_command(statement: &str) -> Result<()> {
    use TransactionVerb::{Release, RollbackTo, Savepoint, SetModes};
    let classification = classify(statement, Dialect::Postgres);
    match classification.transaction().map(millpond_cluster::sql::Transaction::verb) {
        Some(RollbackTo | Savepoint | Release | SetModes) => {}
        None if !classification.effects().contains(Effects::TRANSACTION) => {}
        _ => {
            return Err(Error::new(
                ErrorKind::SessionStatement,
                Outcome::NotSent,
                "the text begins or ends a transaction inside a transaction: use commit() or rollback(), \
                 or a lease from get() for a script with transactions of its own",
            ));
        }
    }
    Ok(())
}

/// Refuses what would stay in a server connection that a pooler gives to somebody else next.
pub(crate) fn behind_pooler(kind: Kind, sql: &str, classification: &Classification) -> Result<()> {
    if kind != Kind::Pooled || !classification.effects().intersects(STAYS.union(Effects::CURSOR)) {
        return Ok(());
    }
    let Some(part) = split(sql, Dialect::Postgres).find(|part| stays(&sql[part.clone()])) else {
        return Ok(());
    };
    let effects = classify(&sql[part], Dialect::Postgres).effects();
    let text = format!(
        "the statement would stay in a connection that the pooler gives to others ({effects}): use with_settings(), or what ends with a \
         transaction"
    );
    Err(Error::new(ErrorKind::SessionStatement, Outcome::NotSent, text))
}

/// What stays in a connection.
const STAYS: Effects = Effects::SETTING
    .union(Effects::TEMPORARY)
    .union(Effects::ADVISORY_LOCK)
    .union(Effects::LISTEN)
    .union(Effects::PREPARED)
    .union(Effects::LOAD);

/// Whether something of one statement stays behind the end of its transaction.
fn stays(statement: &str) -> bool {
    const SETTING: u32 = Effects::SETTING.bits();
    const TEMPORARY: u32 = Effects::TEMPORARY.bits();
    const ADVISORY_LOCK: u32 = Effects::ADVISORY_LOCK.bits();
    let effects = classify(statement, Dialect::Postgres).effects();
    let words = statement.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    match effects.bits() & STAYS.bits() {
        0 => effects.contains(Effects::CURSOR) && words.contains("with hold"),
        SETTING => !words.starts_with("set local "),
        TEMPORARY => !words.contains("on commit drop"),
        // Not `pg_advisory_xact_lock` and its like.
        ADVISORY_LOCK => words.contains("advisory_lock"),
        _ => true,
    }
}

/// Refuses what is no copy of that direction.
pub(crate) fn admit_copy(handle: &Handle<Postgres>, sql: &str, copies: Copies) -> Result<Classification> {
    let classification = handle.classify(sql);
    is_copy(sql, &classification, copies)?;
    Ok(classification)
}

/// Which way rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    In,
    Out,
}

/// Refuses what does not speak the copy protocol, or speaks it the other way: the driver would wait for an answer that does not come.
pub(crate) fn is_copy(sql: &str, classification: &Classification, copies: Copies) -> Result<()> {
    let is_one = classification.statements() == 1 && classification.effects().contains(Effects::COPY);
    let (other, wants) = match copies {
        Copies::In => ("to stdout", "copy_in() takes one COPY … FROM STDIN"),
        Copies::Out => ("from stdin", "copy_out() takes one COPY … TO STDOUT"),
    };
    let words = sql.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    // What stands in quotes, comments or parentheses says nothing of the direction.
    let is_clear = !words.contains(['\'', '"', '(']) && !words.contains("--") && !words.contains("/*");
    if is_one && !(is_clear && words.contains(other)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::SessionStatement, Outcome::NotSent, wants))
}

/// The words for a text that speaks the copy protocol.
pub(crate) fn copy_refused() -> Error {
    Error::new(
        ErrorKind::SessionStatement,
        Outcome::NotSent,
        "the text copies rows through the connection: use copy_in() or copy_out()",
    )
}
