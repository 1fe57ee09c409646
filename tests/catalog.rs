//! What the catalog of a real database says of statements, against what a real standby does with them.

use std::collections::HashSet;
use std::time::Duration;

use millpond::postgres::tokio_postgres::error::SqlState;
use millpond::postgres::tokio_postgres::{self, Client, NoTls};
use millpond::postgres::{CatalogSetting, Db};
use millpond::{Event, Role};
use millpond_lab::{Lab, Node};
use millpond_postgres::load_catalog;
use millpond_sql::{Classifier, Dialect, ReasonKind, Route};
use millpond_tests::{Cluster, Events, builder, reads_on_replica, until, with_events};

#[path = "catalog/statements.rs"]
mod statements;

use statements::{HAZARDS, OVERCAUTIOUS, READS, Standby};

const SCHEMA: &str = include_str!("catalog/schema.sql");

const READ_ONLY: &str = "25006";

async fn client(node: &Node) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&node.url("postgres"), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// What the standby says to a statement, as a role that row security holds for, and whether it leaves its session as it
/// found it.
async fn outcome(client: &Client, sql: &str) -> Result<Left, String> {
    client.batch_execute("set role reader").await.expect("the role");
    let before = state(client, SESSION).await;
    let answer = client.simple_query(sql).await;
    let after = state(client, SESSION).await;
    client.batch_execute("discard all").await.expect("a clean session");
    match answer {
        Ok(_) if before == after => Ok(Left::Nothing),
        Ok(_) => Ok(Left::Something),
        Err(error) => Err(error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())),
    }
}

/// What a statement left in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

/// What a session can be left with.
const SESSION: &str = "select concat_ws(' ',
    (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    (select count(*) from pg_prepared_statements), (select count(*) from pg_cursors),
    (select count(*) from pg_listening_channels()), current_setting('a.b', true),
    (select md5(string_agg(name || setting, ',' order by name)) from pg_settings where source = 'session'))";

/// What a primary can be left with.
const DATABASE: &str = "select concat_ws(' ',
    (select string_agg(sequencename || ' ' || last_value, ', ' order by sequencename) from pg_sequences),
    (select count(*) from item), (select count(*) from pg_class), (select count(*) from pg_largeobject_metadata))";

async fn state(client: &Client, question: &str) -> String {
    client.query_one(question, &[]).await.expect("the state").get(0)
}

/// A classifier with what a node's database holds, which is told to whoever reads a failure.
async fn knowing(node: &Client) -> Classifier {
    let classifier = Classifier::new(Dialect::Postgres);
    let catalog = load_catalog(node, &classifier).await.expect("a catalog");
    catalog.hazards().for_each(|hazard| println!("{hazard}"));
    classifier.with_catalog(catalog.into())
}

struct Servers {
    lab: Lab,
    primary: Client,
    standby: Client,
}

impl Servers {
    async fn up() -> Self {
        let lab = Lab::builder().replicas(1).up().await.expect("the lab comes up");
        let primary = client(lab.primary()).await;
        primary.batch_execute(SCHEMA).await.expect("a schema");
        lab.caught_up().await.expect("the replica catches up");
        let standby = client(lab.node("db-1").expect("a replica")).await;
        Self { lab, primary, standby }
    }

    /// What statements can leave on the primary, and in the standby's folder.
    async fn state(&self) -> [String; 2] {
        let files = "select string_agg(name, ' ' order by name) from pg_ls_dir('.') as name";
        [state(&self.primary, DATABASE).await, state(&self.standby, files).await]
    }
}

#[tokio::test]
async fn what_the_catalog_calls_a_read_a_standby_runs_and_the_rest_it_refuses() {
    let servers = Servers::up().await;
    let before = servers.state().await;
    let mut wrong = Vec::new();
    // It can be asked of either.
    for node in [&servers.primary, &servers.standby] {
        let classifier = knowing(node).await;
        for sql in READS {
            let answer = classifier.classify(sql);
            let found = (answer.route(), outcome(&servers.standby, sql).await);
            if found != (Route::Replica, Ok(Left::Nothing)) {
                wrong.push(format!("{sql}: {found:?}, {}", answer.reason().display(sql)));
            }
        }
        for (sql, kind, standby) in HAZARDS {
            let answer = classifier.classify(sql);
            let expected = match standby {
                Standby::Refuses(code) => Err((*code).to_owned()),
                Standby::Changes => Ok(Left::Something),
            };
            let found = (answer.route(), answer.reason().kind(), outcome(&servers.standby, sql).await);
            if found != (Route::Primary, *kind, expected) {
                wrong.push(format!("{sql}: {found:?}"));
            }
        }
        for (sql, why) in OVERCAUTIOUS {
            let found = (classifier.classify(sql).route(), outcome(&servers.standby, sql).await);
            if found != (Route::Primary, Ok(Left::Nothing)) {
                wrong.push(format!("{sql} ({why}): {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(servers.state().await, before);
}

const QUERY: &str = include_str!("../crates/postgres/src/catalog.sql");

/// The most rows that one node of a plan touched: all it gave or passed over, each time it was run.
fn most_work(plan: &[String]) -> u64 {
    let number = |line: &str, before: &str| -> Option<u64> {
        let rest = line.split_once(before)?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let (mut loops, mut most) = (1, 0);
    for line in plan {
        loops = number(line, " loops=").unwrap_or(loops);
        let rows = number(line, "(actual rows=").or_else(|| number(line, "Rows Removed by Filter: "));
        let rows = rows.or_else(|| number(line, "Rows Removed by Join Filter: "));
        most = most.max(rows.unwrap_or_default() * loops);
    }
    most
}

#[tokio::test]
async fn no_part_of_the_catalogs_query_grows_faster_than_the_database() {
    let servers = Servers::up().await;
    let grow = "do $$ begin for i in 1..1500 loop execute format('create type t_%s as (a int)', i); end loop; end $$;
        analyze";
    servers.primary.batch_execute(grow).await.unwrap();
    let explain = format!("explain (analyze, timing off, costs off, summary off) {QUERY}");
    let plan = servers.primary.query(&explain, &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let objects = "select (select count(*) from pg_type) + (select count(*) from pg_proc)
        + (select count(*) from pg_attribute) + (select count(*) from pg_depend)";
    let objects: i64 = servers.primary.query_one(objects, &[]).await.unwrap().get(0);
    let most = most_work(&plan);
    assert!(most < 10 * u64::try_from(objects).unwrap(), "{most} rows for {objects}: {plan:#?}");
}

/// Extensions, with what is made of them, reads, and what hides more.
const EXTENSIONS: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "citext",
        "",
        &["select 'a'::citext = 'A'::citext, replace('a'::citext, 'b', 'c'), max('x'::citext)"],
        &[],
    ),
    (
        "hstore",
        "create table pairs_of (h hstore); grant select on pairs_of to reader",
        &["select to_json(h), h -> 'a', h::json, akeys(h), k.key from pairs_of, each(h) k"],
        &[],
    ),
    (
        "tablefunc",
        "",
        &[],
        &["select * from crosstab('select 1, 1, nextval(''numbers'')') as c (a int, b bigint)"],
    ),
    (
        "dblink",
        "",
        &[],
        &[
            "select * from dblink('host=127.0.0.1 port=PORT dbname=postgres', 'select draws(1)') as d (n bigint)",
        ],
    ),
    (
        "postgres_fdw",
        "create server elsewhere foreign data wrapper postgres_fdw
            options (host '127.0.0.1', port 'PORT', dbname 'postgres');
        create user mapping for postgres server elsewhere;
        create foreign table remote (n bigint) server elsewhere options (table_name 'ticket');
        create table mixed (n bigint); create foreign table mixed_1 () inherits (mixed) server elsewhere
            options (table_name 'ticket');
        create view over_remote as select n from remote",
        &[],
        &["select * from remote", "select * from mixed", "select * from over_remote"],
    ),
    (
        "file_fdw",
        "create server files foreign data wrapper file_fdw;
        create foreign table appended (line text) server files options (program 'echo 1 | tee a_program_ran')",
        &[],
        &["select * from appended"],
    ),
];

#[tokio::test]
async fn extensions_and_foreign_tables_are_in_the_catalog() {
    let servers = Servers::up().await;
    let port = servers.lab.primary().port().to_string();
    for (extension, set_up, reads, hazards) in EXTENSIONS {
        let is_there = "select from pg_available_extensions where name = $1";
        if servers.primary.query(is_there, &[extension]).await.unwrap().is_empty() {
            println!("skipped: {extension} is not installed");
            continue;
        }
        let set_up = format!("create extension {extension}; {set_up}").replace("PORT", &port);
        servers.primary.batch_execute(&set_up).await.unwrap();
        servers.lab.caught_up().await.unwrap();
        let classifier = knowing(&servers.standby).await;
        for sql in *reads {
            let answer = classifier.classify(sql);
            assert_eq!(answer.route(), Route::Replica, "{sql}: {}", answer.reason().display(sql));
            assert_eq!(outcome(&servers.standby, sql).await, Ok(Left::Nothing), "{sql}");
        }
        for sql in *hazards {
            let sql = sql.replace("PORT", &port);
            assert_eq!(classifier.classify(&sql).route(), Route::Primary, "{sql}");
            // A standby may run it: then the effect is elsewhere.
            let before = servers.state().await;
            let answer = servers.standby.simple_query(&sql).await;
            println!("{sql}: {answer:?}");
            let is_refused =
                answer.is_err_and(|error| error.code().is_some_and(|code| code.code() == READ_ONLY));
            assert!(is_refused || servers.state().await != before, "{sql}");
        }
    }
}

const UNNAMED_AND_HARMLESS: &str = "
    create table odd_pair (a int, b int);
    insert into odd_pair values (1, 2), (3, 4);
    grant select on odd_pair to reader;
    create function compare(x odd_pair, y odd_pair) returns int language sql immutable
        as 'select btint4cmp(($1).a, ($2).a)';
    create function hash(x odd_pair, seed bigint) returns bigint language sql immutable as 'select ($1).a + seed';
    create function number(x odd_pair) returns int language sql immutable as 'select ($1).a';
    create cast (odd_pair as int) with function number(odd_pair) as assignment;
    create operator class by_first for type odd_pair using btree as function 1 compare(odd_pair, odd_pair);
    create operator class hash_first for type odd_pair using hash as function 2 hash(odd_pair, bigint)";

/// Code that runs without being named: how it is made, a statement that runs it, and how it is dropped.
const UNNAMED: &[(&str, &str, &str)] = &[
    (
        "create type celsius as (degrees int);
        create function draw(c celsius) returns int language plpgsql volatile
            as $$ begin return nextval('public.numbers'); end $$;
        create cast (celsius as int) with function draw(celsius) as implicit;
        create view weather as select row(1)::celsius as degrees;
        grant select on weather to reader",
        "select abs(degrees) from weather",
        "drop view weather; drop type celsius cascade",
    ),
    (
        "create function draw(i item) returns int language plpgsql volatile
            as $$ begin return nextval('public.numbers'); end $$;
        create cast (item as int) with function draw(item) as assignment;
        create function number(i item) returns int language sql stable as 'select i'",
        "select number(i) from item i",
        "drop function draw(item), number(item) cascade",
    ),
    (
        "create function draw(i item) returns text language plpgsql volatile
            as $$ begin return nextval('public.numbers'); end $$;
        create cast (item as text) with function draw(item)",
        "select 'a' || i from item i",
        "drop function draw(item) cascade",
    ),
    (
        "create type mood as enum ('calm');
        create function draw(m mood) returns json language plpgsql volatile
            as $$ begin return nextval('public.numbers'); end $$;
        create cast (mood as json) with function draw(mood);
        create table feeling (m mood);
        insert into feeling values ('calm');
        grant select on feeling to reader",
        "select to_json(m), row_to_json(f) from feeling f",
        "drop table feeling; drop type mood cascade",
    ),
];

#[tokio::test]
async fn code_that_runs_unnamed_keeps_every_statement_off_the_standby() {
    let servers = Servers::up().await;
    // Harmless code of the same kind, which runs in its own body, does no such thing.
    servers.primary.batch_execute(UNNAMED_AND_HARMLESS).await.unwrap();
    for (set_up, sql, tear_down) in UNNAMED {
        servers.primary.batch_execute(set_up).await.unwrap();
        servers.lab.caught_up().await.unwrap();
        let classifier = knowing(&servers.standby).await;
        assert_eq!(classifier.classify(sql).reason().kind(), ReasonKind::HiddenCode, "{sql}");
        assert_eq!(outcome(&servers.standby, sql).await, Err(READ_ONLY.to_owned()), "{sql}");
        servers.primary.batch_execute(tear_down).await.unwrap();
        let classifier = knowing(&servers.primary).await;
        let sql = "select p = p, p::int from odd_pair p order by p";
        let answer = classifier.classify(sql);
        assert_eq!(answer.route(), Route::Replica, "{}", answer.reason().display(sql));
        assert_eq!(outcome(&servers.standby, sql).await, Ok(Left::Nothing));
    }
}

/// What shows how far a sequence has come.
const COUNTED: &[&str] = &[
    "select counts()",
    "select last_value from counter",
    "select public.counter.last_value from public.counter",
    "select n from counted",
    "select last_value from pg_sequences where sequencename = 'counter'",
    "select last_value from pg_catalog.pg_sequences where sequencename = 'counter'",
    "select pg_sequence_last_value('counter'::regclass)",
];

#[tokio::test]
async fn sequences_are_ahead_on_a_standby_and_read_on_the_primary() {
    let servers = Servers::up().await;
    let set_up = "create sequence counter; create view counted as select last_value as n from counter;
        create function counts() returns bigint language plpgsql stable
            as $$ begin return (select last_value from pg_sequences where sequencename = 'counter'); end $$;
        select nextval('counter')";
    servers.primary.batch_execute(set_up).await.unwrap();
    servers.lab.caught_up().await.unwrap();
    let classifier = knowing(&servers.standby).await;
    for sql in COUNTED {
        let answer = classifier.classify(sql);
        assert_eq!(answer.route(), Route::Primary, "{sql}: {}", answer.reason().display(sql));
        let asked = async |client: &Client| client.query_one(*sql, &[]).await.unwrap().get::<_, i64>(0);
        let (primary, standby) = (asked(&servers.primary).await, asked(&servers.standby).await);
        assert!(standby > primary, "{sql}: {standby} on the standby, {primary} on the primary");
    }
}

/// A type whose order is known by a symbol of its own, over a function that takes a lock.
const ORDERED: &str = "
    create type ordered as (n int);
    create function same(a ordered, b ordered) returns boolean language plpgsql volatile
        as $$ begin perform pg_advisory_lock(5); return a.n = b.n; end $$;
    create function less(a ordered, b ordered) returns boolean language sql immutable as 'select a.n < b.n';
    create function compares(a ordered, b ordered) returns int language sql immutable as 'select a.n - b.n';
    create operator @== (leftarg = ordered, rightarg = ordered, function = same);
    create operator @< (leftarg = ordered, rightarg = ordered, function = less);
    create operator class ordered_ops default for type ordered using btree
        as operator 1 @<, operator 3 @==, function 1 compares(ordered, ordered)";

#[tokio::test]
async fn operators_that_grouping_uses_run_without_being_named() {
    let servers = Servers::up().await;
    servers.primary.batch_execute(ORDERED).await.unwrap();
    servers.lab.caught_up().await.unwrap();
    let classifier = knowing(&servers.standby).await;
    let answer =
        classifier.classify("select distinct o from (values (row(1)::ordered), (row(1)::ordered)) v (o)");
    assert_eq!((answer.route(), answer.reason().kind()), (Route::Primary, ReasonKind::HiddenCode));
    assert!(
        classifier.catalog().unwrap().hazards().any(|hazard| hazard.is_unnamed() && hazard.name() == "same")
    );
}

#[tokio::test]
async fn a_backslash_ends_no_literal_whatever_the_database_says() {
    let servers = Servers::up().await;
    let off = "alter database postgres set standard_conforming_strings = off";
    if let Err(error) = servers.primary.batch_execute(off).await {
        // From PostgreSQL 19 on nobody can say so.
        assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{error}");
        return;
    }
    servers.lab.caught_up().await.unwrap();
    let db = Db::connect(&servers.lab.url("postgres")).await.unwrap();
    let show = "show standard_conforming_strings";
    for node in [db.latest(), db.any()] {
        let setting: String = node.query_one(show, &[]).await.unwrap().get(0);
        assert_eq!(setting, "on");
    }
    let lease = db.get().await.unwrap();
    lease.batch_execute("set standard_conforming_strings = off").await.unwrap();
    drop(lease);
    let setting: String = db.query_one(show, &[]).await.unwrap().get(0);
    assert_eq!(setting, "on", "a reset keeps it");
}

#[tokio::test]
async fn connections_with_another_search_path_go_when_it_changes() {
    let servers = Servers::up().await;
    let set_up = "create schema beside; create view beside.plain as select nextval('public.numbers') as n;
        create table public.plain as select 1::bigint as n;
        alter role postgres set search_path = beside, public";
    servers.primary.batch_execute(set_up).await.unwrap();
    servers.lab.caught_up().await.unwrap();
    let db = builder(&servers.lab, &Events::default()).connect().await.unwrap();
    let any = db.any();
    until("replicas are known", async || any.explain("select 1").role() == Some(Role::Replica)).await;
    assert_eq!(any.explain("select * from plain").role(), Some(Role::Primary));
    let path = async || any.query_one("show search_path", &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(path().await, "beside, public");
    db.execute("alter role postgres reset search_path", &[]).await.unwrap();
    servers.lab.caught_up().await.unwrap();
    until("the path is known", async || any.explain("select * from plain").role() == Some(Role::Replica))
        .await;
    assert_eq!(path().await, "\"$user\", public");
}

/// Functions that only read, though their text does not show it, and what calls them.
const CALLERS: &str = "
    create type celsius as (degrees int);
    create function degrees(c celsius) returns int language plpgsql volatile as $$ begin return c.degrees; end $$;
    create cast (celsius as int) with function degrees(celsius) as implicit;
    create view weather as select degrees(row(1)::celsius) as warm, upper('a') as letter";

#[tokio::test]
async fn what_the_user_says_of_functions_holds_for_what_calls_them() {
    let servers = Servers::up().await;
    servers.primary.batch_execute(CALLERS).await.unwrap();
    servers.lab.caught_up().await.unwrap();
    let events = Events::default();
    let is_told = || events.any(|event| matches!(event, Event::HiddenCode { .. }));
    let plain = builder(&servers.lab, &events).connect().await.unwrap();
    let explained = plain.any().explain("select 1").to_string();
    assert!(
        explained.starts_with("primary: every statement may run code of an implicit cast"),
        "{explained}"
    );
    assert!(explained.contains("public.degrees"), "{explained}");
    assert!(is_told());
    let hazards: Vec<_> = plain.catalog().unwrap().hazards().map(ToString::to_string).collect();
    assert!(hazards.iter().any(|hazard| hazard.starts_with("view public.weather")), "{hazards:#?}");

    let events = Events::default();
    let allowed = builder(&servers.lab, &events).allow_function("public.degrees").connect().await.unwrap();
    let sql = "select warm, letter, degrees(row(2)::celsius) from weather";
    until("a replica may read", async || allowed.any().explain(sql).role() == Some(Role::Replica)).await;
    assert_eq!(allowed.any().query(sql, &[]).await.unwrap().len(), 1);
    assert_eq!(allowed.status().healed, 0);
    assert!(!events.any(|event| matches!(event, Event::HiddenCode { .. })));

    let denying = builder(&servers.lab, &Events::default()).allow_function("degrees").deny_function("UPPER");
    let denied = denying.connect().await.unwrap();
    for sql in ["select pg_catalog.upper('a')", "select letter from weather"] {
        assert_eq!(denied.any().explain(sql).role(), Some(Role::Primary), "{sql}");
    }
    until("a replica may read", async || denied.any().explain("select 1").role() == Some(Role::Replica))
        .await;
}

#[tokio::test]
async fn what_a_handle_refuses_is_explained_as_that() {
    let cluster = Cluster::up(1).await;
    for sql in ["set work_mem = '1MB'", "begin", "copy item to stdout"] {
        let explanation = cluster.db.explain(sql);
        assert_eq!(explanation.role(), None, "{explanation}");
        assert_eq!(explanation.reason(), cluster.db.query(sql, &[]).await.unwrap_err().to_string());
    }
}

const VIEW: &str = "create sequence s; create view v as select nextval('s') as n";

#[tokio::test]
async fn a_handle_knows_from_the_start_what_a_view_hides() {
    let servers = Servers::up().await;
    let db = builder(&servers.lab, &Events::default()).connect().await.unwrap();
    let explained = db.explain("select n from over_ticket").to_string();
    assert!(explained.starts_with("primary: over_ticket is a view"), "{explained}");
    assert!(explained.contains("view public.over_ticket: ticket is a view"), "the cause: {explained}");
    assert!(explained.contains("declare its functions STABLE"), "what to do: {explained}");
    let first: i64 = db.query_one("select n from ticket", &[]).await.unwrap().get(0);
    let second: i64 = db.query_one("select n from ticket", &[]).await.unwrap().get(0);
    assert_eq!((first + 1, db.status().healed), (second, 0));
    assert_eq!(db.query("select reads_though_volatile(1)", &[]).await.unwrap().len(), 1);
    let without = builder(&servers.lab, &Events::default()).catalog(CatalogSetting::Off);
    let explained = without.connect().await.unwrap().explain("select reads_though_volatile(1)").to_string();
    assert!(explained.contains("is not a known function"), "{explained}");
}

#[tokio::test]
async fn names_are_looked_up_in_the_search_path_of_the_handle() {
    let servers = Servers::up().await;
    let far = "create view far.item as select nextval('public.numbers') as n";
    servers.primary.batch_execute(far).await.unwrap();
    // Another session's table is nobody else's.
    servers.primary.batch_execute("create temporary table tenant (id int)").await.unwrap();
    let plain = builder(&servers.lab, &Events::default()).connect().await.unwrap();
    let url = format!("{}&options=-c%20search_path%3Dfar,public", servers.lab.url("postgres"));
    let db = Db::connect(&url).await.unwrap();
    let is_replica = |db: &Db, sql| db.any().explain(sql).role() == Some(Role::Replica);
    until("replicas are known", async || is_replica(&plain, "select 1") && is_replica(&db, "select 1")).await;
    assert!(is_replica(&plain, "select * from item, tenant"));
    assert!(is_replica(&db, "select * from public.item, tenant"));
    let explained = db.explain("select * from item").to_string();
    assert!(explained.starts_with("primary: item is a view"), "{explained}");
}

#[tokio::test]
async fn a_definition_through_the_handle_is_known_soon() {
    let cluster = Cluster::up(1).await;
    cluster.db.batch_execute(VIEW).await.unwrap();
    // Before the catalog shows it nothing is taken for a read.
    let explanation = cluster.db.any().explain("select n from v").to_string();
    assert!(explanation.starts_with("primary"), "{explanation}");
    let is_known = || cluster.db.explain("select n from v").to_string().contains("v is a view");
    until("the view is known", async || is_known()).await;
    let transaction = cluster.db.begin().await.unwrap();
    transaction.batch_execute("create view w as select n from v").await.unwrap();
    transaction.commit().await.unwrap();
    until("the second view is known", async || {
        cluster.db.explain("select n from w").to_string().contains("w is a view")
    })
    .await;
    assert!(!cluster.events.any(|event| matches!(event, Event::Healed { .. })));
}

/// No replica reads a view before it is known to be one.
async fn becomes_known(db: &Db, view: &str) {
    let sql = format!("select n from {view}");
    let explained = db.any().explain(&sql).to_string();
    assert!(explained.starts_with("primary: what the database holds"), "{explained}");
    until("the view is known", async || db.explain(&sql).to_string().contains("is a view")).await;
}

#[tokio::test]
async fn definitions_that_are_hard_to_see_are_known_soon() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    db.batch_execute("create sequence s; create view a as select nextval('s') as n; select unheard()")
        .await
        .unwrap_err();
    db.batch_execute("create sequence s; create view a as select nextval('s') as n; select pg_sleep(0)")
        .await
        .unwrap();
    becomes_known(db, "a").await;
    db.batch_execute("do $$ begin execute 'create view b as select n from a'; end $$").await.unwrap();
    becomes_known(db, "b").await;
    // The first is committed before the second is refused.
    db.batch_execute("create view c as select n from a; commit; select unheard()").await.unwrap_err();
    becomes_known(db, "c").await;
    let lease = db.get().await.unwrap();
    lease.batch_execute("create view d as select n from a").await.unwrap();
    lease.defined();
    becomes_known(db, "d").await;
}

#[tokio::test]
async fn a_definition_without_an_answer_is_known_soon() {
    let cluster = Cluster::up(1).await;
    let db = cluster.db.clone();
    let text = format!("{VIEW}; commit; select pg_sleep(60)");
    let call = tokio::spawn(async move { db.batch_execute(&text).await });
    until("the view is there", async || {
        cluster.ask("db-0", "select count(*) from pg_views where viewname = 'v'").await == "1"
    })
    .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    becomes_known(&cluster.db, "v").await;
}

#[tokio::test]
async fn a_definition_of_somebody_else_is_known_within_the_interval() {
    let interval = CatalogSetting::Every(Duration::from_millis(100));
    let cluster = Cluster::up_with(1, |builder| builder.catalog(interval)).await;
    for statement in VIEW.split("; ") {
        cluster.lab.primary().ask("postgres", statement).await.unwrap();
    }
    let is_known = || cluster.db.explain("select n from v").to_string().contains("v is a view");
    until("the view is known", async || is_known()).await;
}

fn is_missing(event: &Event) -> bool {
    matches!(event, Event::CatalogMissing { .. })
}

/// Lets a role in that may read everything but one of the tables that the catalog is made of.
async fn shut_out(servers: &Servers) -> String {
    let role = "create role app login; grant reader to app; revoke select on pg_depend from public";
    servers.primary.batch_execute(role).await.expect("a role");
    servers.lab.caught_up().await.expect("the replica catches up");
    servers.lab.url_for("app", "", "postgres")
}

#[tokio::test]
async fn without_the_first_catalog_no_text_is_taken_for_a_read() {
    let servers = Servers::up().await;
    let url = shut_out(&servers).await;
    let events = Events::default();
    let db = with_events(Db::builder(&url).unwrap(), &events).connect().await.unwrap();
    let cause = "permission denied for table pg_depend; grant the role what the message names";
    assert!(events.any(|event| is_missing(event) && event.to_string().contains(cause)));
    // A transaction that says so itself reads on the replica all the same.
    until("the replica is fresh", async || {
        let transaction = db.begin_read_only().await.unwrap();
        transaction.query_one("select pg_is_in_recovery()", &[]).await.unwrap().get(0)
    })
    .await;
    for sql in ["select pg_is_in_recovery()", "select pg_is_in_recovery() from ticket"] {
        let explained = db.any().explain(sql).to_string();
        assert_eq!(explained, "primary: what the database holds is not known yet, or was changed since");
        let is_replica: bool = db.any().query_one(sql, &[]).await.unwrap().get(0);
        assert!(!is_replica);
    }
    assert_eq!(db.status().healed, 0);
    servers.primary.batch_execute("grant select on pg_depend to app").await.unwrap();
    until("a replica serves reads", async || reads_on_replica(&db.any()).await).await;
    assert!(events.any(|event| matches!(event, Event::CatalogLoaded)));
    assert_eq!(events.count(|event| is_missing(event)), 1);
    assert!(db.explain("select n from ticket").to_string().contains("ticket is a view"));
}

#[tokio::test]
async fn whoever_wants_no_catalog_does_not_wait_for_one() {
    let servers = Servers::up().await;
    let url = shut_out(&servers).await;
    let events = Events::default();
    let off = Db::builder(&url).unwrap().catalog(CatalogSetting::Off);
    let db = with_events(off, &events).connect().await.unwrap();
    until("a replica serves reads", async || reads_on_replica(&db.any()).await).await;
    assert!(!events.any(is_missing));
}

#[tokio::test]
async fn a_catalog_is_loaded_where_a_replica_is_and_nowhere_else() {
    let servers = Servers::up().await;
    let events = Events::default();
    shut_out(&servers).await;
    let primary = servers.lab.primary().url_for("app", "", "postgres");
    let alone = with_events(Db::builder(&primary).unwrap(), &events).connect().await.unwrap();
    assert_eq!(alone.query("select n from good_view", &[]).await.unwrap().len(), 1);
    // No position is asked behind a read, as it would be behind what is not known to be one.
    assert!(!alone.explain("select n from good_view").to_string().contains("not known"));
    assert!(!events.any(is_missing));

    let replica = servers.lab.node("db-1").unwrap().url("postgres");
    let alone = with_events(Db::builder(&replica).unwrap(), &events).connect().await.unwrap();
    assert!(alone.explain("select n from ticket").to_string().contains("ticket is a view"));
    until("the replica is known", async || {
        alone.any().explain("select n from good_view").role() == Some(Role::Replica)
    })
    .await;
    assert!(!events.any(is_missing));
}

#[tokio::test]
async fn a_catalog_that_takes_too_long_is_cancelled_and_tried_again() {
    let mut servers = Servers::up().await;
    // What the text of a view is made from cannot be read meanwhile.
    let migration = servers.primary.transaction().await.unwrap();
    migration.batch_execute("lock table item in access exclusive mode").await.unwrap();
    let events = Events::default();
    let impatient = builder(&servers.lab, &events).connect_timeout(Duration::from_millis(500));
    let db = impatient.connect().await.unwrap();
    assert!(
        events.any(|event| is_missing(event) && event.to_string().contains("connect_timeout is the limit"))
    );
    let observer = client(servers.lab.primary()).await;
    let (mut seen, mut most) = (HashSet::new(), 0);
    until("more tries", async || {
        let waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock'";
        let pids = observer.query(waiting, &[]).await.unwrap();
        most = most.max(pids.len());
        seen.extend(pids.iter().map(|row| row.get::<_, i32>(0)));
        seen.len() > 2
    })
    .await;
    assert!(most <= 2, "{most} servers wait for the lock");
    migration.rollback().await.unwrap();
    until("a replica serves reads", async || reads_on_replica(&db.any()).await).await;
}
