//! Neither an answer nor one from the cache allocates.

use allocation_counter::measure;
use millpond_sql::catalog::{
    Catalog, Function, FunctionKind, Operator, Persistence, Relation, RelationKind, UserType, Volatility,
};
use millpond_sql::{Cache, Classifier, Dialect, classify, digest, split};

const STATEMENTS: &[&str] = &[
    "begin",
    "select id, name from item where id = $1",
    "with a as (delete from q where id in (select id from q limit 10) returning *) insert into b select * from a",
    "select count(*), lower(name), my_function(x) from t join u using (id) where a = 'x' for update",
    "insert into t (a, b) values ($1, 'it''s') returning id",
    "select 1; update t set a = $$x$$; commit",
    "explain (analyze, buffers) select nextval('s'), (x).f from t",
    "select 'no end",
    "/* a */ copy (select * from t) to stdout -- b",
    "select /*!80000 1, */ @a, `b` from t into outfile 'x'",
];

fn allocations(what: impl FnOnce()) -> u64 {
    measure(what).count_total
}

#[test]
fn an_answer_allocates_nothing() {
    for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::MariaDb] {
        let classifier = Classifier::new(dialect).allow_function("my_function").deny_function("lower");
        for sql in STATEMENTS {
            let count = allocations(|| {
                let _ = classify(sql, dialect);
                let _ = classifier.classify(sql);
                let _ = digest(sql, dialect);
                let _ = split(sql, dialect).count();
            });
            assert_eq!(count, 0, "{sql}");
        }
    }
}

#[test]
fn an_answer_from_the_cache_allocates_nothing() {
    let cache = Cache::new(Classifier::new(Dialect::Postgres));
    for sql in STATEMENTS {
        let classify = || {
            let _ = cache.classify(sql);
        };
        assert!(allocations(classify) > 0, "the first time it is kept: {sql}");
        assert_eq!(allocations(classify), 0, "{sql}");
    }
}

#[test]
fn an_analysis_from_the_cache_allocates_nothing() {
    let cache = Cache::new(Classifier::new(Dialect::Postgres));
    for sql in STATEMENTS {
        let analyze = || {
            let _ = cache.analyze(sql);
        };
        assert!(allocations(analyze) > 0, "the first time it is kept: {sql}");
        assert_eq!(allocations(analyze), 0, "{sql}");
    }
}

fn classifier_with_catalog() -> Classifier {
    let function = |name, body| {
        Function::new("public", name, FunctionKind::Function)
            .volatility(Volatility::Stable)
            .body("sql", body)
            .defaults("1 + 1")
    };
    let catalog = Catalog::builder()
        .search_path(["public", "extra"])
        .function(function("area", "select count(*) from item"))
        .function(function("Draws", "select nextval('s')"))
        .relation(Relation::new("public", "item", RelationKind::Table).policy("area(1) > 0"))
        .relation(
            Relation::new("public", "good_view", RelationKind::View).definition("select area(id) from item"),
        )
        .relation(Relation::new("extra", "Ticket", RelationKind::View).definition("select nextval('s')"))
        .relation(Relation::new("public", "scratch", RelationKind::Table).persistence(Persistence::Unlogged))
        .operator(Operator::new("public", "@@>", "public", "Draws"))
        .operator(Operator::new("extra", "@@<", "public", "area"))
        .user_type(UserType::new("public", "email").check("area(value) > 0"))
        .user_type(UserType::new("public", "bad_email").check("\"Draws\"(value) > 0"))
        .build();
    Classifier::new(Dialect::Postgres).with_catalog(catalog.into()).allow_function("extra.known")
}

const STATEMENTS_WITH_NAMES: &[&str] = &[
    "select area(id), public.area(id), extra.known(id), unheard_of(id) from item i join good_view g using (id)",
    "select \"area\"(id), \"Draws\"(id), public.\"Draws\"(id), i.\"Draws\", (i).area from \"item\" i",
    "select n from extra.\"Ticket\", \"Ticket\", shop.extra.\"Ticket\", only (public.good_view)",
    "select a @@> b, a operator(extra.@@<) b, a::email, cast(b as public.bad_email[]), email 'x' from scratch",
    "with w as (select * from good_view) insert into scratch select area(id) from w returning \"Draws\"(id)",
    "select table_to_xml('item', true, true, ''), U&\"item\" from \"tick\"\"et\", a_name_that_is_longer_than_sixty_three_bytes_which_servers_cut_off",
];

#[test]
fn an_answer_by_a_catalog_allocates_nothing() {
    let classifier = classifier_with_catalog();
    assert!(classifier.classify("select area(1) from good_view").is_plain_read());
    assert!(!classifier.classify("select n from \"Ticket\"").is_plain_read());
    for sql in STATEMENTS.iter().chain(STATEMENTS_WITH_NAMES) {
        let count = allocations(|| {
            let _ = classifier.classify(sql);
            // Of every place where the text may break off.
            for (end, _) in sql.char_indices() {
                let _ = classifier.classify(&sql[..end]).without_catalog();
            }
        });
        assert_eq!(count, 0, "{sql}");
    }
}

#[test]
fn an_answer_from_the_cache_of_a_catalog_allocates_nothing() {
    let cache = Cache::new(classifier_with_catalog());
    for sql in STATEMENTS.iter().chain(STATEMENTS_WITH_NAMES) {
        let _ = cache.classify(sql);
        let again = || {
            let _ = cache.classify(sql);
        };
        assert_eq!(allocations(again), 0, "{sql}");
    }
}
