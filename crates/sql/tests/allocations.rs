//! Neither an answer nor one from the cache allocates.

use allocation_counter::measure;
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
