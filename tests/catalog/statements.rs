//! Statements over the database of `schema.sql`, by what must become of them.

use millpond_sql::ReasonKind::{
    self, HiddenCode, HiddenFunction, HiddenOperator, HiddenType, HiddenView, RowSecurity, UnloggedTable,
};

/// Why a statement must not run on a replica: what a standby does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standby {
    /// Refuses it, with this code.
    Refuses(&'static str),
    /// Runs it, and has another state behind it: a lock, a setting.
    Changes,
}

use Standby::{Changes, Refuses};

const READ_ONLY: Standby = Refuses("25006");
const UNSUPPORTED: Standby = Refuses("0A000");

/// Reads, which a standby runs, and which leave nothing behind.
pub(crate) const READS: &[&str] = &[
    "select * from item",
    "select i.name, i.ticket from (select id, name, 1 as ticket from public.item) as i",
    "select reads_though_volatile(1), public.reads_atomic(1), returns_atomic(1), reads_in_plpgsql(1)",
    "select upper(name) from item",
    // Functions.
    "select has_default(1), has_default(1, 2), has_default(n => 3)",
    "select adds_all(1, 2), adds_all(variadic array[1, 2])",
    "select * from reads_set(1)",
    "select s.name from item i, lateral reads_set(i.id) s, rows from (reads_set(1), reads_set(2)) r",
    "select (reads_set(1)).name",
    "select has_settings(1)",
    // The server has its own, which is meant.
    "select gen_random_uuid() is not null",
    "select good_sum(id) from item",
    "select good_sum(id) filter (where id > 0) over (order by id) from item",
    // Views.
    "select * from good_view",
    "select * from good_over",
    "select n from kept",
    "select n from kept_over",
    "select n from over_kept",
    "select * from barred",
    "select * from ruled",
    "select name from settings where name = 'a.b'",
    "select * from sampled",
    "select * from good_steps",
    // Views of the server.
    "select count(*) from pg_catalog.pg_class, pg_stats",
    "select table_name from information_schema.tables where table_schema = 'public'",
    "select pg_get_viewdef('ticket'::regclass)",
    // Sequences, and what only writing does.
    "select id, n, doubled, checked, good from filled",
    "select id from child",
    "select * from wholly",
    "select * from grandparted_2",
    "select * from checked",
    "select * from indexed where id + returns_immutably(1) = 3",
    "select lo_get(424242)",
    // Row security.
    "select * from guarded",
    "select * from owned",
    // Operators and types.
    "select 1 @* 2, 1 operator(public.@*) 2, 1 operator(far.@-) 2",
    "select name @^ 'p', 'x' operator(public.@^) name from item",
    "select 1::good_domain, cast(2 as good_domain), good_domain '3', '{4}'::good_domain[]",
    "select 'abc'::good_text, x.a from json_to_record('{\"a\": \"b\"}') as x (a good_text)",
    "select t::circle from tenant t",
    // Names.
    "select * from \"Plain\"",
    "select n as draws, id as \"Ticket\" from (select 1 as n, 2 as id) as t",
    "select 'select n from ticket', $$ticket$$ from item /* ticket */ -- ticket",
];

/// What hides more: the kind of reason, and why it must go to the primary.
pub(crate) const HAZARDS: &[(&str, ReasonKind, Standby)] = &[
    // Functions.
    ("select writes(1)", HiddenFunction, READ_ONLY),
    ("select draws(1)", HiddenFunction, READ_ONLY),
    ("select draws(n => 1)", HiddenFunction, READ_ONLY),
    ("select draws_for_a_stable_one(1)", HiddenFunction, READ_ONLY),
    ("select draws_in_text(1)", HiddenFunction, READ_ONLY),
    ("select draws_though_immutable(1)", HiddenFunction, READ_ONLY),
    ("select writes_though_stable(1)", HiddenFunction, UNSUPPORTED),
    ("select draws_atomic(1)", HiddenFunction, READ_ONLY),
    ("select draws_returned(1)", HiddenFunction, READ_ONLY),
    ("select locks(1)", HiddenFunction, READ_ONLY),
    ("select locks_out(1)", HiddenFunction, Changes),
    ("select sets(1)", HiddenFunction, Changes),
    ("select makes(1)", HiddenFunction, READ_ONLY),
    ("select unlocks_writes(1)", HiddenFunction, Refuses("25001")),
    ("select far.draws_too(1)", HiddenFunction, READ_ONLY),
    ("select lower(1)", HiddenFunction, READ_ONLY),
    ("select overloaded('a'::text)", HiddenFunction, READ_ONLY),
    ("select draws_by_default(1)", HiddenFunction, READ_ONLY),
    ("select draws_for_all(1, 2)", HiddenFunction, READ_ONLY),
    ("select draws_for_all(variadic array[1])", HiddenFunction, READ_ONLY),
    ("select bad_sum(id) from item", HiddenFunction, READ_ONLY),
    ("select bad_sum(id) over () from item", HiddenFunction, READ_ONLY),
    ("select takes_domain(1)", HiddenFunction, READ_ONLY),
    // In every place.
    ("select * from draws_set(2)", HiddenFunction, READ_ONLY),
    ("select * from item i, lateral draws_set(i.id) s", HiddenFunction, READ_ONLY),
    ("select * from rows from (generate_series(1, 2), draws_set(2)) as r", HiddenFunction, READ_ONLY),
    ("select id from item where draws(id) > 0", HiddenFunction, READ_ONLY),
    ("select id from item order by draws(id)", HiddenFunction, READ_ONLY),
    ("select id from item limit draws(1)", HiddenFunction, READ_ONLY),
    ("select id from item group by id having draws(1) > 0", HiddenFunction, READ_ONLY),
    ("with w as materialized (select draws(1) as n) select n from w", HiddenFunction, READ_ONLY),
    ("select case when draws(1) > 0 then 1 end", HiddenFunction, READ_ONLY),
    ("select array(select draws(1))", HiddenFunction, READ_ONLY),
    ("select from item tablesample bernoulli (draws(1))", HiddenFunction, READ_ONLY),
    ("values (draws(1))", HiddenFunction, READ_ONLY),
    ("explain analyze select draws(1)", HiddenFunction, READ_ONLY),
    ("explain select draws_though_immutable(1)", HiddenFunction, READ_ONLY),
    // In the spelling of a column.
    ("select i.of_item from item i", HiddenFunction, READ_ONLY),
    ("select (i).of_item from item i", HiddenFunction, READ_ONLY),
    ("select g.of_number from generate_series(1, 2) g", HiddenFunction, READ_ONLY),
    ("select (1).of_number", HiddenFunction, READ_ONLY),
    ("select i.\"of_item\" from item i", HiddenFunction, READ_ONLY),
    // Views.
    ("select * from ticket", HiddenView, READ_ONLY),
    ("select * from over_ticket", HiddenView, READ_ONLY),
    ("select * from far.ticket_too", HiddenView, READ_ONLY),
    ("select count(n) from writing_view", HiddenView, READ_ONLY),
    ("table ticket", HiddenView, READ_ONLY),
    ("select * from barred_ticket", HiddenView, READ_ONLY),
    ("select * from turned", HiddenView, READ_ONLY),
    ("select * from steps", HiddenView, READ_ONLY),
    ("select * from my_locks order by 1", HiddenView, READ_ONLY),
    ("select * from locking", HiddenView, READ_ONLY),
    ("select * from locked_out", HiddenView, Changes),
    ("select * from setting", HiddenView, Changes),
    ("select * from defaulting", HiddenView, READ_ONLY),
    ("select * from postgres.public.ticket", HiddenView, READ_ONLY),
    ("select t.n from item i join lateral (select n from ticket) t on true", HiddenView, READ_ONLY),
    ("select id from item where id in (select n from ticket)", HiddenView, READ_ONLY),
    ("select id from item union all select n from ticket", HiddenView, READ_ONLY),
    ("select table_to_xml('ticket', true, true, '')", HiddenFunction, READ_ONLY),
    // Names.
    ("select * from \"Ticket\"", HiddenView, READ_ONLY),
    ("select * from \"select\"", HiddenView, READ_ONLY),
    ("select * from \"tick\"\"et\"", ReasonKind::NotUnderstood, READ_ONLY),
    ("select * from U&\"t\\0069cket\"", ReasonKind::NotUnderstood, READ_ONLY),
    ("select * from shadow.pg_class", HiddenView, READ_ONLY),
    ("select shadow.initcap('a')", HiddenFunction, READ_ONLY),
    ("select public.gen_random_uuid()", HiddenFunction, READ_ONLY),
    ("select ascii(letter => 'a')", HiddenFunction, READ_ONLY),
    ("select md5()", HiddenFunction, READ_ONLY),
    ("select i::real[] from item i", HiddenType, READ_ONLY),
    ("select cast(i as float4 array) from item i", HiddenType, READ_ONLY),
    ("explain insert into defaulting_table (id) values (1)", HiddenCode, READ_ONLY),
    (
        "explain with w as (insert into defaulting_table (id) values (1) returning n) select from w",
        HiddenCode,
        READ_ONLY,
    ),
    ("select asserts()", HiddenFunction, READ_ONLY),
    ("select domain_sum(id) from item", HiddenFunction, READ_ONLY),
    ("select '{1}'::___worse_domain", HiddenType, READ_ONLY),
    // Tables.
    ("select * from scratch", UnloggedTable, UNSUPPORTED),
    ("select * from parted", UnloggedTable, UNSUPPORTED),
    ("explain select * from parted", UnloggedTable, UNSUPPORTED),
    ("select * from parent", UnloggedTable, UNSUPPORTED),
    ("select * from grandparted", UnloggedTable, UNSUPPORTED),
    ("select * from drawing_index", HiddenCode, READ_ONLY),
    ("select * from drawing_predicate where id = 1", HiddenCode, READ_ONLY),
    ("select id, n from drawing_statistics group by id, n", HiddenCode, READ_ONLY),
    ("select * from drawing_check where id > 3", HiddenCode, READ_ONLY),
    ("select * from drawing_parts where id > 3", HiddenCode, READ_ONLY),
    // Row security.
    ("select * from trapped", RowSecurity, READ_ONLY),
    ("select * from trapped_twice", RowSecurity, READ_ONLY),
    // Operators.
    ("select 1 @+ 2", HiddenOperator, READ_ONLY),
    ("select 1 @>=@ any (array[1])", HiddenOperator, READ_ONLY),
    ("select !@ 1", HiddenOperator, READ_ONLY),
    ("select operator(public.!@) 1", HiddenOperator, READ_ONLY),
    ("select from item where not (id @<@ 5)", HiddenOperator, READ_ONLY),
    // Types.
    ("select 1::bad_domain", HiddenType, READ_ONLY),
    ("select cast(1 as public.bad_domain)", HiddenType, READ_ONLY),
    ("select bad_domain '1'", HiddenType, READ_ONLY),
    ("select bad_domain(1)", HiddenType, READ_ONLY),
    ("select (1).bad_domain", HiddenType, READ_ONLY),
    ("select g.bad_domain from generate_series(1, 2) g", HiddenType, READ_ONLY),
    ("select domain_in('1', 'bad_domain'::regtype, -1)", HiddenFunction, READ_ONLY),
    ("select array_in('{1}', 'bad_domain'::regtype, -1)", HiddenFunction, READ_ONLY),
    ("select '[1,2]'::bad_range", HiddenType, READ_ONLY),
    ("select bad_range(1, 2)", HiddenType, READ_ONLY),
    ("select '{[1,2]}'::bad_ranges", HiddenType, READ_ONLY),
    ("select '{1}'::bad_domain[]", HiddenType, READ_ONLY),
    ("select null::over_bad", HiddenType, READ_ONLY),
    ("select '(1,2)'::pair", HiddenType, READ_ONLY),
    ("select row(row(1, 2))::deep", HiddenType, READ_ONLY),
    ("select * from json_to_record('{\"a\": 1}') as x (a bad_domain)", HiddenType, READ_ONLY),
    (
        "select * from xmltable('/a' passing '<a>1</a>' columns a bad_domain path '.') x",
        HiddenType,
        READ_ONLY,
    ),
    ("select json_populate_record(w, '{\"d\": 1}') from with_bad_domain w", HiddenType, READ_ONLY),
    ("select i::box from item i", HiddenType, READ_ONLY),
    ("select i::pg_catalog.box from item i", HiddenType, READ_ONLY),
    ("select i::box_domain from item i", HiddenType, READ_ONLY),
    ("select row(i)::box_row from item i", HiddenType, READ_ONLY),
    ("select row(array[i])::box_list from item i", HiddenType, READ_ONLY),
];

/// Reads that a standby runs without effect, and that go to the primary all the same, and why that is left so.
pub(crate) const OVERCAUTIOUS: &[(&str, &str)] = &[
    ("select reads_though_volatile_in_plpgsql()", "PL/pgSQL that promises nothing is not believed"),
    ("select overloaded(1)", "which of several functions is meant is not worked out"),
    ("select draws_by_default(1, 2)", "whether a default is used is not worked out"),
    ("select good_domain(1)", "a cast in the spelling of a call is an unknown function"),
    ("explain select * from ticket", "a plan does not run the view, but may run what it calls"),
    ("select name from cursors", "the state of one session is no plain read, and a view over it neither"),
    ("select count(*) from activity", "what one server does is no plain read, and a view over it neither"),
    ("select count(*) from tables", "what one server does is no plain read, and a view over it neither"),
    (
        "select count(*) from pg_stat_activity a join pg_stat_replication r on true",
        "what one server does is no plain read: a replica would tell of itself",
    ),
    ("select seeded()", "the seed that stays is seen by no table of the test"),
    ("select sequences_seen(), locks_seen()", "which of their columns is read is not worked out"),
    ("select * from over_trapped", "that its owner is free of row security is not worked out"),
    ("select id from only parent", "an unlogged part counts even where only the parent is read"),
    ("select * from parted where id = 1", "which partitions are read is not worked out"),
    ("select id from with_bad_domain", "where a row is made, and its domains are checked, is not worked out"),
    ("select ascii('a')", "the server's own is meant, unless the argument is named"),
    ("select initcap('a')", "a name that another schema has too, though none that is looked in"),
    ("select count(*) from pg_class", "a name that another schema has too, though none that is looked in"),
];
