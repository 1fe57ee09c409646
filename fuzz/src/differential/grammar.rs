//! Statements made by a grammar of PostgreSQL: mostly reads, with something in them now and then that is none.

mod expression;
mod query;

use super::schema::{EFFECTS, NAMES, TABLES};
use super::standby::Function;
use super::tape::Tape;

/// How deep queries and expressions are put into each other.
const DEEP: usize = 3;

/// One text, in rare cases of two statements.
pub(super) fn statement(tape: &mut Tape<'_>, functions: &[Function]) -> String {
    let mut maker = Maker { tape, functions, depth: 0 };
    let first = maker.statement();
    if maker.tape.one_in(24) {
        let second = maker.statement();
        return format!("{first}; {second}");
    }
    first
}

/// A call of a function of the server, as a statement's mutation may put it anywhere.
pub(super) fn call(tape: &mut Tape<'_>, functions: &[Function]) -> String {
    let mut maker = Maker { tape, functions, depth: DEEP };
    if maker.tape.one_in(3) { maker.effect() } else { maker.call() }
}

struct Maker<'m, 't> {
    tape: &'m mut Tape<'t>,
    functions: &'m [Function],
    depth: usize,
}

impl Maker<'_, '_> {
    fn statement(&mut self) -> String {
        match self.tape.below(16) {
            0 => format!("explain {} {}", self.explain_options(), self.explained()),
            1 => self.copy(),
            2 => self.utility(),
            3 => self.write(),
            4 => format!("({})", self.query()),
            _ => self.query(),
        }
    }

    fn explain_options(&mut self) -> String {
        let options: &[&str] = &[
            "",
            "",
            "analyze",
            "verbose",
            "analyze verbose",
            "(analyze)",
            "(analyze off)",
            "(costs off, analyze 0)",
            "(\"analyze\" true)",
            "(analyze 'false')",
            "(format json)",
            "(analyze, buffers)",
            "(verbose, settings)",
            "(analyze false, analyze)",
            "(analyze, analyze false)",
            "(ANALYZE 00)",
            "(analyze +0)",
            "(wal, analyze 1)",
        ];
        (*self.tape.pick(options)).to_owned()
    }

    fn explained(&mut self) -> String {
        match self.tape.below(8) {
            0 => self.write(),
            1 => format!("create table {} as {}", self.name(), self.query()),
            2 => format!("declare {} cursor for {}", self.name(), self.query()),
            3 => "refresh materialized view summary".to_owned(),
            _ => self.query(),
        }
    }

    fn copy(&mut self) -> String {
        let source = match self.tape.below(4) {
            0 => (*self.tape.pick(TABLES)).to_owned(),
            1 => format!("item ({})", self.tape.pick(&["id", "id, name", "doc"])),
            2 => format!("({})", self.write()),
            _ => format!("({})", self.query()),
        };
        let options: &[&str] =
            &["", "csv", "with (format csv, header)", "(format binary)", "with csv force quote *"];
        let target = self.tape.pick(&["to stdout", "to stdout", "TO STDOUT", "from stdin", "to stdin"]);
        format!("copy {source} {target} {}", self.tape.pick(options))
    }

    fn utility(&mut self) -> String {
        let texts: &[&str] = &[
            "show all",
            "show work_mem",
            "show time zone",
            "show transaction isolation level",
            "show session authorization",
            "begin",
            "begin read only",
            "start transaction isolation level serializable",
            "commit",
            "rollback",
            "end",
            "savepoint a",
            "set work_mem = '1MB'",
            "set local work_mem = '1MB'",
            "reset all",
            "discard all",
            "listen a",
            "unlisten *",
            "notify a",
            "lock table item",
            "lock item in access share mode",
            "prepare a as select 1",
            "execute a",
            "deallocate all",
            "declare c cursor with hold for select 1",
            "fetch c",
            "close all",
            "checkpoint",
            "vacuum",
            "analyze",
            "analyze item",
            "load 'plpgsql'",
            "do 'begin perform touch(); end'",
            "call run()",
            "set transaction read write",
            "set session characteristics as transaction read only",
            "",
            ";",
            "set role reader",
            "set constraints all deferred",
            "refresh materialized view summary",
            "reindex table item",
            "comment on table item is 'a'",
            "security label on table item is 'a'",
            "grant select on item to reader",
            "create temp table x (a int)",
            "create view y as select 1",
            "drop table item",
            "truncate item",
            "alter table item add q int",
            "import foreign schema a from server b into public",
            "cluster",
            "reassign owned by reader to postgres",
        ];
        (*self.tape.pick(texts)).to_owned()
    }

    fn write(&mut self) -> String {
        let name = self.name();
        let returning = self.tape.pick(&["", " returning *", " returning id"]);
        match self.tape.below(8) {
            0 => format!("insert into item (id) {}{returning}", self.query()),
            1 => format!(
                "insert into item as {name} (id) values ({}) on conflict (id) do nothing{returning}",
                self.expression()
            ),
            2 => format!("update item set id = {}{returning}", self.expression()),
            3 => format!("update only part_1 {name} set k = 1{returning}"),
            4 => format!("delete from item where {}{returning}", self.condition()),
            5 => "merge into item using part on k = id when matched then delete".to_owned(),
            6 => format!("select {} into {name} from item", self.expression()),
            _ => format!("create table {name} as {}", self.query()),
        }
    }

    fn name(&mut self) -> String {
        let plain = self.tape.below(2) == 0;
        (*self.tape.pick(if plain { &["x", "y", "z"] } else { NAMES })).to_owned()
    }

    /// Something that no plain read has, in one of its spellings.
    fn effect(&mut self) -> String {
        let call = *self.tape.pick(EFFECTS);
        let (name, arguments) = call.split_once('(').unwrap_or((call, ")"));
        self.spelled(name, arguments)
    }

    /// `name(arguments`, in a spelling that means the same to the server.
    fn spelled(&mut self, name: &str, arguments: &str) -> String {
        match self.tape.below(20) {
            0 => format!("pg_catalog.{name}({arguments}"),
            1 => format!("\"{name}\"({arguments}"),
            2 => format!("{}({arguments}", name.to_uppercase()),
            3 => format!("{name} /* a */ ({arguments}"),
            4 => format!("{name}\n--a\n({arguments}"),
            5 => format!("\"pg_catalog\" . \"{name}\" ({arguments}"),
            6 => format!("U&\"{}\"({arguments}", escaped(name)),
            7 => format!("postgres.pg_catalog.{name}({arguments}"),
            8 => format!("PG_CATALOG.{name}({arguments}"),
            9 => format!("pg_catalog.U&\"{}\"({arguments}", escaped(name)),
            _ => format!("{name}({arguments}"),
        }
    }

    /// Runs `deeper` one level down, or `flat` where the depth is reached.
    fn down(
        &mut self,
        deeper: impl FnOnce(&mut Self) -> String,
        flat: impl FnOnce(&mut Self) -> String,
    ) -> String {
        if self.depth >= DEEP {
            return flat(self);
        }
        self.depth += 1;
        let text = deeper(self);
        self.depth -= 1;
        text
    }

    /// Up to `most` of them with commas between.
    fn list(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> String) -> String {
        let count = 1 + self.tape.below(most);
        (0..count).map(|_| one(self)).collect::<Vec<_>>().join(", ")
    }

    /// The clause made by `clause`, or nothing in all but one of `n` cases.
    fn maybe(&mut self, n: usize, clause: impl FnOnce(&mut Self) -> String) -> String {
        if self.tape.one_in(n) { clause(self) } else { String::new() }
    }
}

/// The first letter as an escape.
fn escaped(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| format!("\\{:04x}{}", u32::from(first), letters.as_str()))
}
