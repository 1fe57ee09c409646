//! What the catalog of a real database says of statements, against what a real standby does with them.

use std::time::Duration;

use millpond::Event;
use millpond::postgres::CatalogSetting;
use millpond::postgres::tokio_postgres::{self, Client, NoTls};
use millpond_lab::{Lab, Node};
use millpond_postgres::load_catalog;
use millpond_sql::{Catalog, Classifier, Dialect, ReasonKind, Route};
use millpond_tests::{Cluster, Events, builder, until};

const SCHEMA: &str = r#"
create table item (id int primary key, name text);
insert into item values (1, 'pond');
create sequence numbers;
create schema far;

create function reads_though_volatile(n int) returns bigint language sql volatile
    as 'select count(*) from item where id = n';
create function reads_atomic(n int) returns bigint language sql volatile
    begin atomic select count(*) from item where id = n; end;
create function returns_atomic(n int) returns int language sql return n + 1;
create function reads_in_plpgsql(n int) returns bigint language plpgsql stable as $$
declare found_rows bigint;
begin
    if (n > 0) then select count(*) into found_rows from item where id in (n); end if;
    return (found_rows + reads_though_volatile(n));
end $$;
create function writes(n int) returns bigint language sql volatile
    as 'insert into item values (n + 100) on conflict do nothing; select 1::bigint';
create function draws(n int) returns bigint language plpgsql volatile
    as $$ begin return nextval('public.numbers'); end $$;
create function draws_for_a_stable_one(n int) returns bigint language plpgsql stable
    as $$ begin return public.draws(n); end $$;
create function draws_in_text(n int) returns bigint language plpgsql stable
    as $$ declare x bigint; begin execute 'select nextval(''public.numbers'')' into x; return x; end $$;
create function far.draws_too(n int) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create function lower(n int) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create function of_item(i item) returns bigint language sql volatile as 'select nextval(''public.numbers'')';
create function box_of_item(i item) returns box language plpgsql volatile
    as $$ begin perform nextval('public.numbers'); return null; end $$;

create view good_view as select id, name, reads_atomic(id) as n from item where name ~ '^p';
create view good_over as
    with w as (select g.id, g.n, row_number() over (partition by g.name order by g.id) from good_view g)
    select w.id, coalesce(w.n, 0)::numeric(10, 2) as n, extract(year from now()) as y,
           case when exists (select from item where item.id = w.id) then 'x' || w.id else null end as c
    from w left join lateral (select max(id) from item) m on true group by grouping sets ((1, 2), (3, 4));
create view ticket as select nextval('numbers') as n;
create view over_ticket as select n + 1 as n from (select * from ticket) as t;
create view far.ticket_too as select draws(1) as n;
create view writing_view as select writes(id) as n from item;
create materialized view kept as select draws(1) as n;

create function add_up(total bigint, n int) returns bigint language sql immutable as 'select total + n';
create function add_up_and_draw(total bigint, n int) returns bigint language plpgsql volatile
    as $$ begin return total + nextval('public.numbers'); end $$;
create aggregate good_sum(int) (sfunc = add_up, stype = bigint, initcond = '0');
create aggregate bad_sum(int) (sfunc = add_up_and_draw, stype = bigint, initcond = '0');

create function plus_draw(a int, b int) returns bigint language plpgsql volatile
    as $$ begin return nextval('public.numbers'); end $$;
create function plus(a int, b int) returns int language sql immutable as 'select a + b';
create operator @+ (function = plus_draw, leftarg = int, rightarg = int);
create operator @* (function = plus, leftarg = int, rightarg = int);
create operator far.@- (function = plus, leftarg = int, rightarg = int);

create domain good_domain as int check (value > 0 and returns_atomic(value) > 0);
create domain bad_domain as int check (draws(value) > 0);
create type pair as (a int, b bad_domain);
create function takes_domain(d bad_domain) returns int language plpgsql immutable as 'begin return 1; end';
create cast (item as box) with function box_of_item(item);

create table guarded (id int, owner text);
insert into guarded values (1, 'a');
alter table guarded enable row level security;
create policy reads on guarded using (owner = current_user or reads_atomic(id) >= 0);
create table trapped (id int);
insert into trapped values (1);
alter table trapped enable row level security;
create policy draws on trapped using (draws(id) > 0);

create unlogged table scratch (id int);
create table parted (id int) partition by list (id);
create table parted_1 partition of parted for values in (1);
create unlogged table parted_2 partition of parted for values in (2);
create table wholly (id int) partition by list (id);
create table wholly_1 partition of wholly for values in (1);

create role reader;
grant usage on schema public, far to reader;
grant select on all tables in schema public, far to reader;
grant usage, select on all sequences in schema public to reader;
"#;

/// Reads, which a standby runs.
const READS: &[&str] = &[
    "select * from item",
    "select i.name, i.ticket from (select id, name, 1 as ticket from public.item) as i",
    "select reads_though_volatile(1), public.reads_atomic(1), returns_atomic(1), reads_in_plpgsql(1)",
    "select * from good_view",
    "select * from good_over",
    "select n from kept",
    "select last_value from numbers",
    "select good_sum(id) from item",
    "select 1 @* 2, 1 operator(public.@*) 2, 1 operator(far.@-) 2",
    "select 1::good_domain, cast(2 as good_domain), good_domain '3'",
    "select * from guarded",
    "select * from wholly",
    "select upper(name) from item",
];

/// What hides more: the kind of reason, and what a standby says.
const HAZARDS: &[(&str, ReasonKind, &str)] = &[
    ("select * from ticket", ReasonKind::HiddenView, READ_ONLY),
    ("select * from over_ticket", ReasonKind::HiddenView, READ_ONLY),
    ("select * from far.ticket_too", ReasonKind::HiddenView, READ_ONLY),
    ("select count(n) from writing_view", ReasonKind::HiddenView, READ_ONLY),
    ("select writes(1)", ReasonKind::HiddenFunction, READ_ONLY),
    ("select draws(1)", ReasonKind::HiddenFunction, READ_ONLY),
    ("select draws_for_a_stable_one(1)", ReasonKind::HiddenFunction, READ_ONLY),
    ("select draws_in_text(1)", ReasonKind::HiddenFunction, READ_ONLY),
    ("select far.draws_too(1)", ReasonKind::HiddenFunction, READ_ONLY),
    ("select lower(1)", ReasonKind::HiddenFunction, READ_ONLY),
    ("select i.of_item from item i", ReasonKind::HiddenFunction, READ_ONLY),
    ("select bad_sum(id) from item", ReasonKind::HiddenFunction, READ_ONLY),
    ("select takes_domain(1)", ReasonKind::HiddenFunction, READ_ONLY),
    ("select 1 @+ 2", ReasonKind::HiddenOperator, READ_ONLY),
    ("select 1::bad_domain", ReasonKind::HiddenType, READ_ONLY),
    ("select cast(1 as public.bad_domain)", ReasonKind::HiddenType, READ_ONLY),
    ("select bad_domain '1'", ReasonKind::HiddenType, READ_ONLY),
    ("select '(1,2)'::pair", ReasonKind::HiddenType, READ_ONLY),
    ("select i::box from item i", ReasonKind::HiddenType, READ_ONLY),
    ("select * from trapped", ReasonKind::RowSecurity, READ_ONLY),
    ("select table_to_xml('ticket', true, true, '')", ReasonKind::HiddenFunction, READ_ONLY),
    ("select * from scratch", ReasonKind::UnloggedTable, UNSUPPORTED),
    ("select * from parted", ReasonKind::UnloggedTable, UNSUPPORTED),
    ("explain select * from parted", ReasonKind::UnloggedTable, UNSUPPORTED),
];

const READ_ONLY: &str = "25006";
const UNSUPPORTED: &str = "0A000";

async fn client(node: &Node) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&node.url("postgres"), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// What the standby says to a statement, as a role that row security holds for.
async fn refusal(client: &Client, sql: &str) -> Option<String> {
    client.batch_execute("set role reader").await.expect("the role");
    let answer = client.simple_query(sql).await;
    client.batch_execute("reset role").await.expect("the owner");
    answer.err().map(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
}

/// For whoever reads a failure.
fn tell(catalog: &Catalog) {
    catalog.hazards().for_each(|hazard| println!("{hazard}"));
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
}

#[tokio::test]
async fn what_the_catalog_calls_a_read_a_standby_runs_and_the_rest_it_refuses() {
    let servers = Servers::up().await;
    // It can be asked of either.
    for node in [&servers.primary, &servers.standby] {
        let catalog = load_catalog(node).await.unwrap();
        tell(&catalog);
        let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
        for sql in READS {
            let answer = classifier.classify(sql);
            assert_eq!(answer.route(), Route::Replica, "{sql}: {}", answer.reason().display(sql));
            assert_eq!(refusal(&servers.standby, sql).await, None, "{sql}");
        }
        for (sql, kind, code) in HAZARDS {
            let answer = classifier.classify(sql);
            assert_eq!(answer.route(), Route::Primary, "{sql}");
            assert_eq!(answer.reason().kind(), *kind, "{sql}: {}", answer.reason().display(sql));
            assert_eq!(refusal(&servers.standby, sql).await.as_deref(), Some(*code), "{sql}");
        }
    }
}

#[tokio::test]
async fn extensions_and_foreign_tables_are_in_the_catalog() {
    let servers = Servers::up().await;
    let is_there = |extension: &str| {
        let sql = format!("select 1 from pg_available_extensions where name = '{extension}'");
        let primary = &servers.primary;
        async move { !primary.query(&sql, &[]).await.unwrap().is_empty() }
    };
    let mut reads = Vec::new();
    let mut hazards = Vec::new();
    if is_there("citext").await {
        servers.primary.batch_execute("create extension citext").await.unwrap();
        reads.push("select 'a'::citext = 'A'::citext, replace('a'::citext, 'b', 'c'), max('x'::citext)");
    } else {
        println!("skipped: citext is not installed");
    }
    if is_there("tablefunc").await {
        servers.primary.batch_execute("create extension tablefunc").await.unwrap();
        hazards.push("select * from crosstab('select 1, 1, nextval(''numbers'')') as c (a int, b bigint)");
    } else {
        println!("skipped: tablefunc is not installed");
    }
    if is_there("postgres_fdw").await {
        let foreign =
            "create extension postgres_fdw; create server elsewhere foreign data wrapper postgres_fdw;
            create foreign table remote (id int) server elsewhere;
            create table mixed (id int); create foreign table mixed_1 () inherits (mixed) server elsewhere";
        servers.primary.batch_execute(foreign).await.unwrap();
        hazards.extend(["select * from remote", "select * from mixed"]);
    } else {
        println!("skipped: postgres_fdw is not installed");
    }
    servers.lab.caught_up().await.unwrap();
    let catalog = load_catalog(&servers.standby).await.unwrap();
    tell(&catalog);
    let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
    for sql in reads {
        let answer = classifier.classify(sql);
        assert_eq!(answer.route(), Route::Replica, "{sql}: {}", answer.reason().display(sql));
        assert_eq!(refusal(&servers.standby, sql).await, None, "{sql}");
    }
    for sql in hazards {
        assert_eq!(classifier.classify(sql).route(), Route::Primary, "{sql}");
    }
}

#[tokio::test]
async fn code_that_runs_unnamed_keeps_every_statement_off_the_standby() {
    let servers = Servers::up().await;
    let cast = "create type celsius as (degrees int);
        create function draw(c celsius) returns int language plpgsql volatile
            as $$ begin return nextval('public.numbers'); end $$;
        create cast (celsius as int) with function draw(celsius) as implicit;
        create view weather as select row(1)::celsius as degrees;
        grant select on weather to reader";
    servers.primary.batch_execute(cast).await.unwrap();
    servers.lab.caught_up().await.unwrap();
    let sql = "select abs(degrees) from weather";
    let catalog = load_catalog(&servers.standby).await.unwrap();
    let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
    assert_eq!(classifier.classify(sql).reason().kind(), ReasonKind::HiddenCode);
    assert_eq!(refusal(&servers.standby, sql).await.as_deref(), Some(READ_ONLY));
}

const VIEW: &str = "create sequence s; create view v as select nextval('s') as n";

#[tokio::test]
async fn a_handle_knows_from_the_start_what_a_view_hides() {
    let servers = Servers::up().await;
    let db = builder(&servers.lab, &Events::default()).connect().await.unwrap();
    let explained = db.explain("select n from over_ticket").to_string();
    assert!(explained.starts_with("primary: over_ticket is a view"), "{explained}");
    let first: i64 = db.query_one("select n from ticket", &[]).await.unwrap().get(0);
    let second: i64 = db.query_one("select n from ticket", &[]).await.unwrap().get(0);
    assert_eq!((first + 1, db.status().healed), (second, 0));
    assert_eq!(db.query("select reads_though_volatile(1)", &[]).await.unwrap().len(), 1);
    let without = builder(&servers.lab, &Events::default()).catalog(CatalogSetting::Off);
    let explained = without.connect().await.unwrap().explain("select reads_though_volatile(1)").to_string();
    assert!(explained.contains("is not a known function"), "{explained}");
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
