//! What a catalog changes: one small database, and tables of statements over it.

use millpond_sql::catalog::{
    Arity, Builder, Cast, Function, FunctionKind, Operator, Persistence, Relation, RelationKind, UserType,
    Volatility,
};
use millpond_sql::{Catalog, Classifier, Dialect, ReasonKind};

fn function(name: &str, volatility: Volatility, language: &str, body: &str) -> Function {
    Function::new("public", name, FunctionKind::Function).volatility(volatility).body(language, body)
}

fn relation(name: &str, kind: RelationKind) -> Relation {
    Relation::new("public", name, kind)
}

fn view(name: &str, query: &str) -> Relation {
    relation(name, RelationKind::View).definition(query)
}

/// Functions `good*` and `bad*`, views, tables, operators and types over them.
fn shop() -> Builder {
    use Volatility::{Immutable, Stable, Volatile};
    Catalog::builder()
        .search_path(["public", "extra"])
        .function(function("good_c", Stable, "c", "x"))
        .function(function("bad_c", Volatile, "c", "x"))
        .function(function("good_sql", Volatile, "sql", "select count(*) from item; select good_c(1)"))
        .function(function("good_atomic", Volatile, "sql", "BEGIN ATOMIC\n SELECT good_c(1);\nEND"))
        .function(function("good_return", Volatile, "sql", "RETURN (good_c(1) + 1)"))
        .function(function("bad_sql", Immutable, "sql", "delete from item"))
        .function(function("bad_atomic", Stable, "sql", "BEGIN ATOMIC\n SELECT bad_c(1);\nEND"))
        .function(function("bad_empty", Stable, "sql", ""))
        .function(function(
            "good_recursive",
            Stable,
            "sql",
            "select good_recursive($1 - 1) + good_mutual($1)",
        ))
        .function(function("good_mutual", Stable, "plpgsql", "begin return good_recursive(1); end"))
        .function(function("bad_recursive", Stable, "sql", "select bad_recursive($1 - 1) + bad_mutual($1)"))
        .function(function("bad_mutual", Stable, "plpgsql", "begin return bad_recursive(bad_c(1)); end"))
        .function(function("good_pl", Stable, "plpgsql", GOOD_PL))
        .function(function("bad_pl_volatile", Volatile, "plpgsql", GOOD_PL))
        .function(function("bad_pl_call", Stable, "plpgsql", "begin return bad_c(1); end"))
        .function(function("bad_pl_view", Stable, "plpgsql", "begin return (select n from ticket); end"))
        .function(function("bad_pl_execute", Stable, "plpgsql", "begin execute 'select 1'; end"))
        .function(function("bad_pl_lock", Stable, "plpgsql", "begin perform 1 from item for share; end"))
        .function(function("bad_pl_column", Stable, "plpgsql", "begin return x.nextval from f x; end"))
        .function(function("bad_python", Immutable, "plpython3u", "return 1"))
        .function(function("lower", Stable, "plpgsql", "begin perform bad_c(1); end"))
        .function(function("upper", Stable, "c", "x"))
        .function(
            function("bad_setting", Stable, "sql", "select 1").settings("standard_conforming_strings=off"),
        )
        .function(function("bad_read_write", Stable, "sql", "select 1").settings("transaction_read_only=off"))
        .function(function("good_default", Stable, "sql", "select $1").defaults("1, good_c(2)"))
        .function(function("bad_default", Stable, "sql", "select $1").defaults("1, bad_c(2)"))
        .function(function("bad_domain_argument", Stable, "c", "x").uses_type("public", "bad_domain"))
        .function(function("bad_two", Volatile, "c", "x").arity(Arity::Other))
        .function(Function::new("other", "far", FunctionKind::Function))
        .function(Function::new("extra", "twice", FunctionKind::Function))
        .function(function("twice", Stable, "c", "x"))
        .function(
            Function::new("public", "routine", FunctionKind::Procedure).volatility(Stable).body("c", ""),
        )
        .function(
            Function::new("public", "good_sum", FunctionKind::Aggregate)
                .component("pg_catalog", "int4_sum")
                .component("public", "good_c"),
        )
        .function(Function::new("public", "bad_sum", FunctionKind::Aggregate).component("public", "bad_c"))
        .relation(relation("item", RelationKind::Table))
        .relation(relation("cached", RelationKind::MaterializedView))
        .relation(view("ticket", "SELECT nextval('s'::regclass) AS n"))
        .relation(view("over", "SELECT ticket.n FROM ticket"))
        .relation(view("good_view", "SELECT good_sql() AS n FROM item"))
        .relation(view("good_over", "SELECT good_view.n FROM good_view"))
        .relation(view("bad_view", "SELECT bad_sql() AS n"))
        .relation(relation("scratch", RelationKind::Table).persistence(Persistence::Unlogged))
        .relation(relation("mine", RelationKind::Table).persistence(Persistence::Temporary))
        .relation(relation("remote", RelationKind::ForeignTable))
        .relation(relation("grandparent", RelationKind::Table).child("public", "parent"))
        .relation(relation("parent", RelationKind::Table).child("public", "item").child("public", "scratch"))
        .relation(relation("whole", RelationKind::Table).child("public", "item"))
        .relation(relation("guarded", RelationKind::Table).policy("(owner = good_sql())"))
        .relation(relation("trapped", RelationKind::Table).policy("bad_sql()"))
        .relation(Relation::new("other", "hidden", RelationKind::View).definition("select bad_c(1)"))
        .relation(Relation::new("other", "thing", RelationKind::View).definition("select bad_c(1)"))
        .relation(relation("thing", RelationKind::Table))
        .operator(Operator::new("public", "@@>", "public", "bad_c"))
        .operator(Operator::new("public", "<->", "public", "good_c").or("pg_catalog", "int4eq"))
        .operator(Operator::new("public", "<~>", "public", "good_c").or("public", "bad_c"))
        .relation(relation("indexed", RelationKind::Table).plans_with("public", "good_c"))
        .relation(relation("badly_indexed", RelationKind::Table).plans_with("public", "bad_c"))
        .relation(relation("over_indexed", RelationKind::Table).child("public", "badly_indexed"))
        .cast(Cast::new("pg_catalog", "box", "public", "bad_c"))
        .user_type(UserType::new("public", "bad_box").cast_part("pg_catalog", "box"))
        .user_type(UserType::new("public", "good_circle").cast_part("pg_catalog", "circle"))
        .user_type(UserType::new("public", "good_domain").check("good_c(VALUE)"))
        .user_type(UserType::new("public", "bad_domain").check("(bad_c(VALUE) > 0)"))
        .user_type(UserType::new("public", "bad_row").part("public", "_bad_domain"))
}

const GOOD_PL: &str = "
declare n bigint; r record;
begin
    -- delete from item
    if (n > 0) then raise notice 'insert into (%)', n; end if;
    select count(*) into n from item where item.id in (1, 2);
    for r in (select * from good_over) loop n := n + coalesce(good_c(r.n), 0); end loop;
    return (n);
end";

fn classifier() -> Classifier {
    Classifier::new(Dialect::Postgres).with_catalog(shop().build().into())
}

const READS: &[&str] = &[
    "select * from item",
    "select * from public.item i join good_over using (n)",
    "select good_c(1), public.good_c(2), good_sql(), good_pl()",
    "select good_atomic(), good_return(), good_sum(n), upper('x') from cached",
    "select * from whole, guarded, thing, indexed",
    "select good_default(), x::good_circle from item",
    "select good_recursive(1), good_mutual(1)",
    "select 1 <-> 2, 1 operator(public.<->) 2, 1 operator(pg_catalog.+) 2",
    "select 1::good_domain, cast(2 as public.good_domain), good_domain 'x'",
    // A column or an alias with the name of something else is no relation.
    "select i.ticket, i.scratch from item i where i.remote = 1",
    "select id as scratch from item where remote > 1 order by trapped",
    "select i.bad_two from item i",
    "select 'ticket', $$ticket$$ /* ticket */ from item -- ticket",
    // Not in the catalog: as without one.
    "select * from newer, elsewhere.ticket",
];

#[test]
fn what_reaches_only_reads_is_a_read() {
    let classifier = classifier();
    for sql in READS {
        let answer = classifier.classify(sql);
        assert!(answer.is_plain_read(), "{sql}: {}", answer.reason().display(sql));
    }
}

const HAZARDS: &[(&str, ReasonKind, &str)] = &[
    ("select n from ticket", ReasonKind::HiddenView, "ticket"),
    ("select n from TICKET", ReasonKind::HiddenView, "TICKET"),
    ("select n from \"ticket\"", ReasonKind::HiddenView, "\"ticket\""),
    ("select n from public.ticket", ReasonKind::HiddenView, "public.ticket"),
    ("select n from shop.public.ticket", ReasonKind::HiddenView, "ticket"),
    ("select n from only (ticket)", ReasonKind::HiddenView, "ticket"),
    ("select n from item i, ticket", ReasonKind::HiddenView, "ticket"),
    ("select n from item join (ticket cross join item j) on true", ReasonKind::HiddenView, "ticket"),
    ("select (select n from ticket)", ReasonKind::HiddenView, "ticket"),
    ("table ticket", ReasonKind::HiddenView, "ticket"),
    ("explain select n from ticket", ReasonKind::HiddenView, "ticket"),
    ("copy (select n from ticket) to stdout", ReasonKind::HiddenView, "ticket"),
    ("copy public.scratch to stdout", ReasonKind::UnloggedTable, "scratch"),
    ("select n from U&\"ticket\"", ReasonKind::NotUnderstood, "U&\"ticket\""),
    ("select n from over", ReasonKind::HiddenView, "over"),
    ("select n from bad_view", ReasonKind::HiddenView, "bad_view"),
    ("select n from hidden", ReasonKind::HiddenView, "hidden"),
    ("select n from other.thing", ReasonKind::HiddenView, "other.thing"),
    ("select n from scratch", ReasonKind::UnloggedTable, "scratch"),
    ("select n from parent", ReasonKind::UnloggedTable, "parent"),
    ("select n from grandparent", ReasonKind::UnloggedTable, "grandparent"),
    ("select n from mine", ReasonKind::TemporaryTable, "mine"),
    ("select n from remote", ReasonKind::ForeignTable, "remote"),
    ("select n from trapped", ReasonKind::RowSecurity, "trapped"),
    ("select n from badly_indexed", ReasonKind::HiddenCode, "badly_indexed"),
    ("select n from over_indexed", ReasonKind::HiddenCode, "over_indexed"),
    ("select x::bad_box from item", ReasonKind::HiddenType, "bad_box"),
    ("select x.bad_row from f x", ReasonKind::HiddenType, "bad_row"),
    ("select (x).bad_domain from item", ReasonKind::HiddenType, "bad_domain"),
    ("select domain_in('1', 1, -1)", ReasonKind::HiddenFunction, "domain_in"),
    ("select pg_input_is_valid('1', 'bad_domain')", ReasonKind::HiddenFunction, "pg_input_is_valid"),
    ("select 1 <~> 2", ReasonKind::HiddenOperator, "<"),
    ("select bad_c(1)", ReasonKind::HiddenFunction, "bad_c"),
    ("select public.bad_sql()", ReasonKind::HiddenFunction, "public.bad_sql"),
    ("select bad_atomic()", ReasonKind::HiddenFunction, "bad_atomic"),
    ("select bad_empty()", ReasonKind::HiddenFunction, "bad_empty"),
    ("select bad_recursive(1)", ReasonKind::HiddenFunction, "bad_recursive"),
    ("select bad_mutual(1)", ReasonKind::HiddenFunction, "bad_mutual"),
    ("select bad_pl_volatile()", ReasonKind::HiddenFunction, "bad_pl_volatile"),
    ("select bad_pl_call()", ReasonKind::HiddenFunction, "bad_pl_call"),
    ("select bad_pl_view()", ReasonKind::HiddenFunction, "bad_pl_view"),
    ("select bad_pl_execute()", ReasonKind::HiddenFunction, "bad_pl_execute"),
    ("select bad_pl_lock()", ReasonKind::HiddenFunction, "bad_pl_lock"),
    ("select bad_pl_column()", ReasonKind::HiddenFunction, "bad_pl_column"),
    ("select bad_python()", ReasonKind::HiddenFunction, "bad_python"),
    ("select bad_setting()", ReasonKind::HiddenFunction, "bad_setting"),
    ("select bad_read_write()", ReasonKind::HiddenFunction, "bad_read_write"),
    ("select bad_default()", ReasonKind::HiddenFunction, "bad_default"),
    ("select bad_domain_argument('x')", ReasonKind::HiddenFunction, "bad_domain_argument"),
    ("select bad_sum(id) from item", ReasonKind::HiddenFunction, "bad_sum"),
    ("select routine()", ReasonKind::HiddenFunction, "routine"),
    ("select far(1)", ReasonKind::HiddenFunction, "far"),
    ("select unheard_of(1)", ReasonKind::UnknownFunction, "unheard_of"),
    ("select elsewhere.good_c(1)", ReasonKind::UnknownFunction, "elsewhere.good_c"),
    // In two schemas of the path, and beside one of the server's own.
    ("select twice(1)", ReasonKind::HiddenFunction, "twice"),
    ("select lower('x')", ReasonKind::HiddenFunction, "lower"),
    ("select nextval('s')", ReasonKind::WritingFunction, "nextval"),
    ("select i.bad_c from item i", ReasonKind::HiddenFunction, "bad_c"),
    ("select (i).bad_c from item i", ReasonKind::HiddenFunction, "bad_c"),
    ("select 1 @@> 2", ReasonKind::HiddenOperator, "@"),
    ("select 1 operator(public.@@>) 2", ReasonKind::HiddenOperator, "@"),
    ("select 1 operator(elsewhere.+) 2", ReasonKind::NotUnderstood, "elsewhere"),
    ("select 1::bad_domain", ReasonKind::HiddenType, "bad_domain"),
    ("select 1::public.bad_domain[]", ReasonKind::HiddenType, "public.bad_domain"),
    ("select cast(1 as bad_domain)", ReasonKind::HiddenType, "bad_domain"),
    ("select bad_domain 'x'", ReasonKind::HiddenType, "bad_domain"),
    ("select '(1)'::bad_row", ReasonKind::HiddenType, "bad_row"),
    ("select table_to_xml('item', true, true, '')", ReasonKind::HiddenFunction, "table_to_xml"),
];

#[test]
fn what_reaches_more_goes_to_the_primary_and_says_why() {
    let classifier = classifier();
    for (sql, kind, words) in HAZARDS {
        let answer = classifier.classify(sql);
        assert!(!answer.is_plain_read(), "{sql}");
        let reason = answer.reason();
        assert_eq!((reason.kind(), reason.span().of(sql)), (*kind, *words), "{sql}");
    }
}

#[test]
fn what_was_allowed_or_denied_by_name_goes_first() {
    let classifier = classifier().allow_function("bad_c").deny_function("good_c");
    assert!(classifier.classify("select bad_c(1), i.bad_c from item i").is_plain_read());
    assert!(!classifier.classify("select good_c(1)").is_plain_read());
}

#[test]
fn code_that_runs_unnamed_makes_every_statement_unknown() {
    let implied = shop().operator(Operator::new("public", "=", "public", "bad_c")).build();
    let cast = shop().unnamed_function("public", "bad_c").build();
    let harmless = shop()
        .operator(Operator::new("public", "=", "public", "good_c"))
        .unnamed_function("public", "good_c")
        // They run in their own bodies too, and in each other's.
        .unnamed_function("public", "good_sql")
        .unnamed_function("public", "good_pl")
        .build();
    let hidden_deeper =
        shop().unnamed_function("public", "good_sql").unnamed_function("public", "bad_sql").build();
    let kind = |catalog: Catalog| {
        let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
        classifier.classify("select 1 in (select id from item)").reason().kind()
    };
    assert_eq!(kind(implied), ReasonKind::HiddenCode);
    assert_eq!(kind(cast), ReasonKind::HiddenCode);
    assert_eq!(kind(hidden_deeper), ReasonKind::HiddenCode);
    assert_eq!(kind(harmless), ReasonKind::Reads);
}

#[test]
fn the_order_of_the_rows_does_not_matter() {
    let chain = |order: [usize; 3]| {
        let rows = [
            view("a", "select * from b"),
            view("b", "select * from c"),
            view("c", "select good_c(1) from item"),
        ];
        let catalog = order.iter().fold(shop(), |shop, at| shop.relation(rows[*at].clone())).build();
        Classifier::new(Dialect::Postgres).with_catalog(catalog.into()).classify("table a").is_plain_read()
    };
    assert!(chain([0, 1, 2]) && chain([2, 1, 0]) && chain([1, 0, 2]));
}

#[test]
fn hazards_are_told_with_the_reason() {
    let catalog = shop().build();
    let told: Vec<_> = catalog.hazards().map(ToString::to_string).collect();
    for line in [
        "view public.ticket: nextval() writes (bytes 7..14)",
        "view public.over: ticket is a view that is not known to only read (bytes 21..27)",
        "table public.scratch: unlogged",
        "function public.bad_pl_call: bad_c in its body is not known to read",
        "function public.bad_sum: public.bad_c is not known to read",
    ] {
        assert!(told.iter().any(|one| one == line), "{line}: {told:#?}");
    }
    assert!(!told.iter().any(|one| one.contains("good")), "{told:#?}");
}

#[test]
fn a_cast_to_a_type_of_the_server_is_found_under_all_its_names() {
    let catalog = shop().cast(Cast::new("pg_catalog", "int8", "public", "bad_c")).build();
    let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
    for sql in
        ["select x::bigint", "select cast(x as int8)", "select x::pg_catalog.int8", "select bigint '1'"]
    {
        assert_eq!(classifier.classify(sql).reason().kind(), ReasonKind::HiddenType, "{sql}");
    }
    assert!(classifier.classify("select x::integer").is_plain_read());
}

/// As `citext(boolean)` of the extension does.
#[test]
fn a_cast_may_call_a_function_that_has_the_type_as_its_result() {
    let made = Function::new("public", "folded", FunctionKind::Function).uses_type("public", "folded");
    let catalog = Catalog::builder()
        .function(made.volatility(Volatility::Immutable).body("internal", "text"))
        .cast(Cast::new("public", "folded", "public", "folded"))
        .build();
    let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
    assert!(classifier.classify("select true::folded, folded(true)").is_plain_read());
}

#[test]
fn another_dialect_keeps_no_catalog() {
    let classifier = Classifier::new(Dialect::MySql).with_catalog(shop().build().into());
    assert!(classifier.classify("select n from ticket").is_plain_read());
}

#[test]
fn a_text_that_is_cut_off_anywhere_is_no_trouble() {
    let classifier = classifier();
    for sql in READS.iter().copied().chain(HAZARDS.iter().map(|hazard| hazard.0)) {
        for (end, _) in sql.char_indices() {
            let answer = classifier.classify(&sql[..end]);
            assert!(answer.reason().span().end() <= end);
        }
    }
}

#[test]
fn broken_bodies_are_not_reads() {
    for body in ["select 'x", "begin return (1", "", "select 1; drop table item", "begin atomic select 1"] {
        let catalog = shop().function(function("odd", Volatility::Stable, "sql", body)).build();
        let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
        assert!(!classifier.classify("select odd()").is_plain_read(), "{body}");
    }
}

#[test]
fn a_function_named_like_a_later_construct_is_asked_for() {
    let volatile =
        |name| Function::new("public", name, FunctionKind::Function).volatility(Volatility::Volatile);
    let mut builder = Catalog::builder().search_path(["public"]);
    for name in ["json_value", "json_exists", "merge_action", "system_user"] {
        builder = builder.function(volatile(name));
    }
    let old = Classifier::new(Dialect::Postgres).with_catalog(builder.build().into());
    let new = Classifier::new(Dialect::Postgres)
        .with_catalog(Catalog::builder().search_path(["public"]).build().into());
    for sql in ["select json_value(a, '$.b') from t", "select json_exists(a, '$')", "select system_user(1)"] {
        assert!(!old.classify(sql).is_plain_read(), "{sql}");
        assert!(new.classify(sql).is_plain_read(), "{sql}");
    }
}

#[test]
fn a_function_in_the_spelling_of_a_field_is_asked_for_where_more_of_the_name_follows() {
    let function =
        Function::new("public", "parts_of", FunctionKind::Function).volatility(Volatility::Volatile);
    let catalog = Catalog::builder().search_path(["public"]).function(function).build();
    let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
    for sql in ["select (t).parts_of from t", "select (t).parts_of.a from t", "select (t).parts_of.* from t"]
    {
        assert!(!classifier.classify(sql).is_plain_read(), "{sql}");
    }
}

#[test]
fn a_list_of_tables_is_incomplete_where_the_catalog_knows_of_more_behind_a_name() {
    let catalog = Catalog::builder()
        .search_path(["public"])
        .relation(view("cheap", "select * from item"))
        .relation(relation("item", RelationKind::Table))
        .relation(relation("part", RelationKind::Table))
        .relation(relation("parted", RelationKind::Table).child("public", "part"))
        .relation(relation("guarded", RelationKind::Table).policy("owner in (select id from member)"))
        .build();
    let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
    let is_complete = |sql| classifier.analyze(sql).tables().is_complete();
    for sql in ["select * from item", "delete from part", "select * from other.cheap, unknown"] {
        assert!(is_complete(sql), "{sql}");
    }
    for sql in
        ["select * from cheap", "delete from public.parted", "select * from item join guarded using (id)"]
    {
        assert!(!is_complete(sql), "{sql}");
    }
}

#[test]
fn a_list_of_tables_is_closed_only_where_everything_behind_it_is_known() {
    let table = |name| relation(name, RelationKind::Table).written_alone(true);
    let builder = || {
        Catalog::builder()
            .search_path(["public"])
            .relation(table("item"))
            .relation(table("part"))
            .relation(relation("noted", RelationKind::Table))
            .relation(relation("sums", RelationKind::MaterializedView))
            .relation(view("cheap", "select * from item"))
            .relation(table("parted").child("public", "part"))
            .relation(Relation::new("other", "part", RelationKind::Table))
            .function(Function::new("public", "price", FunctionKind::Function).volatility(Volatility::Stable))
    };
    let closed = |builder: Builder, sql: &str| {
        let classifier = Classifier::new(Dialect::Postgres).with_catalog(builder.build().into());
        classifier.analyze(sql).tables().is_closed()
    };
    for sql in [
        "select lower(name) from item where id = 1",
        "select * from noted join sums using (id)",
        "insert into item select * from noted",
        "with gone as (delete from item returning id) insert into public.part select id from gone",
        "update item set sold = sold + 1; select count(*) from part",
        "select 1",
    ] {
        assert!(closed(builder().names_all_code(true), sql), "{sql}");
        assert!(!closed(builder(), sql), "what runs unnamed: {sql}");
        assert!(!Classifier::new(Dialect::Postgres).analyze(sql).tables().is_closed(), "no catalog: {sql}");
    }
    for sql in [
        "insert into noted values (1)",
        "with new as (insert into noted values (1) returning id) select * from item",
        "delete from part",
        "select * from cheap",
        "select * from parted",
        "select * from somewhere",
        "select * from pg_class",
        "select * from information_schema.tables",
        "select price(1)",
        "select item.price from item",
        "insert into item values (price(1))",
        "select nextval('s')",
        "select lo_get(1)",
        "insert into item values (lo_create(0))",
        "truncate item",
        "truncate item cascade",
        "create table item2 (a int)",
        "do $$ begin end $$",
        "call proceed()",
        "execute prepared",
        "select * from item where (",
    ] {
        let is_truncate = sql == "truncate item";
        assert_eq!(closed(builder().names_all_code(true), sql), is_truncate, "{sql}");
    }
}

#[test]
fn a_call_without_a_schema_means_the_servers_own_function_of_the_same_arguments() {
    let with = |path: &[&str], covered| {
        let function = Function::new("public", "gen_random_uuid", FunctionKind::Function).covered(covered);
        let catalog = Catalog::builder().search_path(path).function(function).build();
        Classifier::new(Dialect::Postgres).with_catalog(catalog.into())
    };
    let (own, others) = ("select gen_random_uuid()", "select public.gen_random_uuid()");
    for path in [&["pg_catalog", "public"][..], &["public"], &["pg_temp_3", "pg_catalog", "public"], &[]] {
        assert!(with(path, true).classify(own).is_plain_read(), "{path:?}");
        assert!(!with(path, false).classify(own).is_plain_read(), "{path:?}");
        assert!(!with(path, true).classify(others).is_plain_read(), "{path:?}");
    }
    assert!(!with(&["public", "pg_catalog"], true).classify(own).is_plain_read());
}
