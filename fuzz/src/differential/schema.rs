//! The tables and names that statements are made of.

/// Run on the primary.
pub(super) const DEFINITIONS: &str = r#"
create type pair as (x int, y text);
create table item (id int primary key, name text, price numeric, tags text[], doc jsonb, made timestamptz, p pair);
create table "Order" (id bigint generated always as identity, item int, "for" text, "update" int, share text);
create table part (k int, v text) partition by range (k);
create table part_1 partition of part for values from (0) to (10);
create table old () inherits (item);
create view cheap as select id, name from item where price < 10;
create materialized view summary as select count(*) as n from item;
create sequence counter;
create role reader;
create function add(a int, b int) returns int immutable language sql as 'select a + b';
create function touch() returns int volatile language sql as 'insert into part values (1, null) returning k';
create procedure run() language sql as 'delete from part';
select lo_create(4242);
insert into item select n, 'item ' || n, n, array['a', 'b'], '{"a": [1, 2]}', now(), row(n, 'y'::text)::pair
    from generate_series(1, 5) n;
insert into "Order" (item, "for", "update") values (1, 'f', 2), (2, 'g', 3);
insert into part values (1, 'one'), (2, 'two');
refresh materialized view summary;
"#;

/// What can stand behind FROM.
pub(super) const TABLES: &[&str] = &[
    "item",
    "\"Order\"",
    "part",
    "part_1",
    "only item",
    "item *",
    "cheap",
    "summary",
    "counter",
    "public.item",
    "pg_class",
    "pg_catalog.pg_type",
    "information_schema.tables",
    "pg_stat_activity",
    "pg_locks",
    "pg_settings",
    "nowhere",
];

pub(super) const COLUMNS: &[&str] = &[
    "id",
    "id",
    "name",
    "price",
    "tags",
    "doc",
    "made",
    "p",
    "(p).x",
    "(item.p).y",
    "item.id",
    "tags[1]",
    "tags[1:2]",
    "doc -> 'a'",
    "item.ctid",
    "item.xmin",
    "item.tableoid",
    "item",
    "\"for\"",
    "k",
];

/// What may be the name of a column, a table or an alias: many are words of the language too.
pub(super) const NAMES: &[&str] = &[
    "x",
    "y",
    "\"X y\"",
    "share",
    "update",
    "of",
    "nowait",
    "skip",
    "key",
    "no",
    "values",
    "set",
    "row",
    "cube",
    "rollup",
    "sets",
    "zone",
    "second",
    "varying",
    "first",
    "next",
    "materialized",
    "conflict",
    "by",
    "nothing",
    "nextval",
    "setval",
    "set_config",
    "over",
    "filter",
    "within",
    "ordinality",
    "lateral",
    "insert",
    "delete",
    "merge",
    "copy",
    "begin",
    "commit",
    "lock",
    "e",
    "u",
    "n",
    "b",
    "_a$b",
    "é",
    "U&\"\\0061\"",
    "replace",
    "temp",
    "pg_temp",
];

/// Calls and clauses that no plain read has.
pub(super) const EFFECTS: &[&str] = &[
    "nextval('counter')",
    "setval('counter', 7)",
    "txid_current()",
    "pg_current_xact_id()",
    "lo_create(0)",
    "lo_unlink(4242)",
    "lo_from_bytea(0, 'a')",
    "set_config('work_mem', '1MB', false)",
    "pg_advisory_lock(7)",
    "pg_try_advisory_lock_shared(1, 2)",
    "pg_notify('a', 'b')",
    "currval('counter')",
    "lastval()",
    "touch()",
    "query_to_xml('delete from part', true, true, '')",
    "pg_export_snapshot()",
    "setseed(0.5)",
    "pg_create_restore_point('a')",
    "pg_switch_wal()",
    "pg_current_wal_lsn()",
    "pg_logical_emit_message(true, 'a', 'b')",
    "lo_open(4242, 393216)",
    "pg_create_physical_replication_slot('a')",
    "ts_stat('delete from part returning v')",
    "pg_replication_origin_create('a')",
    "brin_summarize_new_values('item_pkey')",
    "pg_stat_reset()",
    "pg_walfile_name('0/0')",
    "gin_clean_pending_list('item_pkey')",
    "pg_import_system_collations('public')",
];
