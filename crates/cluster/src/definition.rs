//! Whether a text may change what the database holds, so that its catalog has to be loaded again.

use millpond_core::Access;
use millpond_sql::{Classification, Dialect, ReasonKind, classify, split};

/// Whether a text may define something, as far as the text shows. What a function or a procedure defines it does not.
#[inline]
pub(crate) fn may_define(sql: &str, whole: &Classification, dialect: Dialect) -> bool {
    // Inlined for those, which are most.
    !whole.access().is_read() && change_may_define(sql, whole, dialect)
}

fn change_may_define(sql: &str, whole: &Classification, dialect: Dialect) -> bool {
    match whole.statements() {
        0 | 1 => one_may_define(sql, whole),
        // Of several the strictest answer may be another's.
        _ => split(sql, dialect).any(|part| {
            let part = &sql[part];
            one_may_define(part, &classify(part, dialect))
        }),
    }
}

/// Whether the server runs it as several transactions, so that a part of it may stay when it is refused.
#[inline]
pub(crate) fn is_several_transactions(sql: &str, whole: &Classification) -> bool {
    !whole.access().is_read() && change_is_several_transactions(sql, whole)
}

fn change_is_several_transactions(sql: &str, whole: &Classification) -> bool {
    let verb = whole.reason().span().of(sql);
    let is_maintenance =
        ["vacuum", "cluster", "reindex"].iter().any(|maintenance| maintenance.eq_ignore_ascii_case(verb));
    let mut words = sql.split(|c: char| !c.is_ascii_alphabetic());
    let mut is_concurrent = || words.any(|word| word.eq_ignore_ascii_case("concurrently"));
    is_maintenance || (whole.access() == Access::Definition && is_concurrent())
}

fn one_may_define(sql: &str, classification: &Classification) -> bool {
    if is_temporary(sql) {
        // No text that is sent to a replica can name it.
        return false;
    }
    let reason = classification.reason();
    match (classification.access(), reason.kind()) {
        (Access::Definition, _) | (Access::Write, ReasonKind::Into) => true,
        (Access::Read | Access::Write, _) => false,
        // A block is mostly written for that, and a procedure is not.
        (Access::Unknown, ReasonKind::Routine) => !reason.span().of(sql).eq_ignore_ascii_case("call"),
        (Access::Unknown, ReasonKind::UnknownVerb | ReasonKind::Unterminated | ReasonKind::Nesting) => true,
        (Access::Unknown, ReasonKind::NotUnderstood) => !is_query(sql),
        (Access::Unknown, _) => false,
    }
}

/// Whether the text makes something that its session alone has.
fn is_temporary(sql: &str) -> bool {
    let mut words = sql.split_ascii_whitespace().map(str::to_ascii_lowercase);
    if words.next().as_deref() != Some("create") {
        return false;
    }
    let mut words = words.skip_while(|word| matches!(&**word, "or" | "replace" | "local" | "global"));
    words.next().is_some_and(|word| matches!(&*word, "temp" | "temporary"))
}

fn is_query(sql: &str) -> bool {
    let verb = sql.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let verbs = ["", "select", "with", "values", "table", "insert", "update", "delete", "merge"];
    verbs.iter().any(|query| query.eq_ignore_ascii_case(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(sql: &str) -> bool {
        may_define(sql, &classify(sql, Dialect::Postgres), Dialect::Postgres)
    }

    #[test]
    fn what_may_define_is_seen_in_every_place() {
        for sql in [
            "create view v as select 1",
            "drop function f",
            "do $$ begin execute 'create view v as select 1' end $$",
            "DO 'begin end'",
            "select 1 into unlogged t from s",
            "select 1; create view v as select unheard_of(1)",
            "create view v as select 1; select unheard_of(1)",
            "insert into t values (1); do $$ begin end $$",
            "update t set a = 1; commit; alter table t set unlogged",
            "conjure view v",
            "create table temp (a int)",
            "create or replace view temporary as select 1",
            "create view v as select U&\"a\" from t where (b",
        ] {
            assert!(may(sql), "{sql}");
        }
    }

    #[test]
    fn what_is_several_transactions_is_known_by_its_words() {
        let is_several = |sql| is_several_transactions(sql, &classify(sql, Dialect::Postgres));
        for sql in [
            "create unique index concurrently i on t (a)",
            "DROP INDEX CONCURRENTLY i",
            "alter table t detach partition p concurrently",
            "/* nightly */ vacuum (analyze) t",
            "reindex schema public",
            "cluster",
        ] {
            assert!(is_several(sql), "{sql}");
        }
        for sql in ["create index i on t (a)", "select 'concurrently'", "insert into t values ('vacuum')"] {
            assert!(!is_several(sql), "{sql}");
        }
    }

    #[test]
    fn what_only_reads_and_writes_defines_nothing() {
        for sql in [
            "select 1",
            "select unheard_of(1)",
            "select * from U&\"t\" where a = 1",
            "insert into t values (1) returning unheard_of(id)",
            "call proceed(1)",
            "truncate t",
            "create temp table t (a int) on commit drop",
            "CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1",
            "insert into t values (1); select unheard_of(1); call proceed(2)",
            "",
        ] {
            assert!(!may(sql), "{sql}");
        }
    }
}
