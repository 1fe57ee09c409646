//! The layer table. This is the one place: the check reads it, and docs/architecture.md shows it.

/// What one published crate may use.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) uses: Uses,
    pub(crate) never: &'static [Ban],
    /// The rule in one sentence.
    pub(crate) why: &'static str,
}

/// The direct dependencies of a crate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Uses {
    Only(&'static [Use]),
    Anything,
}

/// One dependency that is allowed.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) name: &'static str,
    /// The only features that may be asked for; none given: any.
    pub(crate) features: Option<&'static [&'static str]>,
}

/// What a crate never uses, directly or through another one.
#[derive(Debug)]
pub(crate) struct Ban {
    pub(crate) what: &'static str,
    pub(crate) crates: &'static [&'static str],
    /// What its source does not say either, outside tests.
    pub(crate) words: &'static [&'static str],
}

const fn any(name: &'static str) -> Use {
    Use { name, features: None }
}

const fn only(name: &'static str, features: &'static [&'static str]) -> Use {
    Use { name, features: Some(features) }
}

const fn crates(what: &'static str, crates: &'static [&'static str]) -> Ban {
    Ban { what, crates, words: &[] }
}

const TOKIO: Ban = Ban {
    what: "tokio or any async code",
    crates: &["tokio", "async-std", "smol", "futures-util", "futures-core"],
    words: &["async fn ", ".await"],
};

const CLOCK: Ban = Ban {
    what: "any clock",
    crates: &["chrono", "jiff", "quanta", "time"],
    words: &["Instant::now(", "SystemTime::now("],
};

const RANDOM: Ban = crates("any random source", &["fastrand", "getrandom", "oorandom", "rand", "rand_core"]);

const DRIVERS: Ban = crates(
    "any driver",
    &[
        "deadpool-postgres",
        "diesel",
        "mysql",
        "mysql_async",
        "mysql_common",
        "postgres",
        "sqlx",
        "tokio-postgres",
    ],
);

const CORE_AND_SQL: Ban = crates("core, sql", &["millpond-core", "millpond-sql"]);

const ADAPTERS: Ban = crates(
    "adapters, the other backend",
    &["deadpool-postgres", "diesel", "diesel-async", "millpond-mysql", "mysql_async", "sea-orm", "sqlx"],
);

const OTHER_ADAPTERS: Ban = crates(
    "other adapters",
    &["deadpool-postgres", "diesel", "diesel-async", "millpond-deadpool", "sea-orm"],
);

/// All published crates, the lowest first.
pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "millpond-core",
        uses: Uses::Only(&[any("serde"), any("thiserror")]),
        never: &[TOKIO, CLOCK, RANDOM, DRIVERS],
        why: "Time and chance come in as arguments, so a day of a cluster is simulated in minutes.",
    },
    Layer {
        name: "millpond-sql",
        uses: Uses::Only(&[any("foldhash"), any("millpond-core"), any("thiserror")]),
        never: &[TOKIO, CLOCK, RANDOM, DRIVERS],
        why: "Reads text and nothing else, so it can be used and fuzzed alone.",
    },
    Layer {
        name: "millpond-pool",
        uses: Uses::Only(&[
            any("fastrand"),
            any("futures-util"),
            any("thiserror"),
            only("tokio", &["rt", "sync", "time"]),
        ]),
        never: &[CORE_AND_SQL, DRIVERS],
        why: "Knows neither SQL nor roles, so it pools anything.",
    },
    Layer {
        name: "millpond-cluster",
        uses: Uses::Only(&[
            any("arc-swap"),
            any("fastrand"),
            any("millpond-core"),
            any("millpond-pool"),
            any("millpond-sql"),
            any("serde"),
            any("thiserror"),
            only("tokio", &["rt", "sync", "time"]),
            any("tracing"),
        ]),
        never: &[DRIVERS],
        why: "Generic over the backend, so a new server needs a backend and no change here.",
    },
    Layer {
        name: "millpond-postgres",
        uses: Uses::Only(&[
            any("bytes"),
            any("fastrand"),
            any("foldhash"),
            any("futures-util"),
            any("millpond-cluster"),
            any("percent-encoding"),
            any("postgres-protocol"),
            any("rustls"),
            any("rustls-native-certs"),
            any("thiserror"),
            any("tokio"),
            any("tokio-postgres"),
            any("tokio-postgres-rustls"),
            any("tracing"),
        ]),
        never: &[ADAPTERS],
        why: "One driver and its helpers, so its users compile no other.",
    },
    Layer {
        name: "millpond",
        uses: Uses::Only(&[any("millpond-cluster"), any("millpond-postgres")]),
        never: &[ADAPTERS],
        why: "The name users type: it says what is public and has no logic of its own.",
    },
    Layer {
        name: "millpond-deadpool",
        uses: Uses::Only(&[
            any("deadpool"),
            any("deadpool-postgres"),
            any("millpond-cluster"),
            any("millpond-pool"),
            any("millpond-postgres"),
            any("thiserror"),
            only("tokio", &["macros", "rt", "time"]),
        ]),
        never: &[],
        why: "Pools what deadpool pools; only who has pools of deadpool-postgres follow roles needs a cluster.",
    },
    Layer {
        name: "millpond-diesel",
        uses: Uses::Only(&[
            any("diesel"),
            any("diesel-async"),
            any("futures-util"),
            any("millpond-cluster"),
            any("millpond-postgres"),
            any("thiserror"),
            only("tokio", &["rt", "time"]),
        ]),
        never: &[crates(
            "other adapters",
            &["deadpool-postgres", "millpond-deadpool", "millpond-sqlx", "sea-orm", "sqlx"],
        )],
        why: "Connections for queries that diesel builds: it knows no text, so its callers say what they want one for.",
    },
    Layer {
        name: "millpond-sea-orm",
        uses: Uses::Only(&[
            any("async-stream"),
            any("async-trait"),
            any("futures-core"),
            any("futures-util"),
            any("millpond-cluster"),
            any("millpond-sqlx"),
            any("sea-orm"),
            any("sea-query-sqlx"),
            any("sqlx"),
            only("tokio", &["sync", "time"]),
        ]),
        never: &[crates(
            "other adapters but sqlx's",
            &["deadpool-postgres", "diesel", "diesel-async", "millpond-deadpool"],
        )],
        why: "sea-orm runs on sqlx, so this runs on what stands in the place of sqlx's pool.",
    },
    Layer {
        name: "millpond-sqlx",
        uses: Uses::Only(&[
            any("async-stream"),
            any("futures-core"),
            any("futures-util"),
            any("millpond-cluster"),
            any("millpond-postgres"),
            any("percent-encoding"),
            any("sqlx"),
            any("sqlx-core"),
            any("sqlx-postgres"),
            any("thiserror"),
            only("tokio", &["macros", "rt", "sync", "time"]),
            any("tracing"),
        ]),
        never: &[OTHER_ADAPTERS],
        why: "Statements by sqlx's connections; monitors and settings are those of the backend.",
    },
    Layer {
        name: "millpond-tower",
        uses: Uses::Only(&[
            any("axum-core"),
            any("cookie"),
            any("http"),
            any("millpond-cluster"),
            only("tokio", &["time"]),
            any("tower-layer"),
            any("tower-service"),
            any("tracing"),
        ]),
        never: &[DRIVERS, OTHER_ADAPTERS],
        why: "Sessions of whichever backend, so it knows none.",
    },
    Layer {
        name: "millpond-lab",
        uses: Uses::Anything,
        never: &[crates(
            "any other crate of ours",
            &[
                "millpond",
                "millpond-cluster",
                "millpond-core",
                "millpond-pool",
                "millpond-postgres",
                "millpond-sql",
            ],
        )],
        why: "Real servers for tests, ours and yours: it must not trust what it tests.",
    },
];

/// What no published crate depends on, tests aside.
pub(crate) const OUTSIDE: &[&str] = &[
    "millpond-benches",
    "millpond-chaos",
    "millpond-examples",
    "millpond-fuzz",
    "millpond-lab",
    "millpond-rivals",
    "millpond-sim",
    "millpond-tests",
    "xtask",
];

impl Uses {
    fn cell(self) -> String {
        let Self::Only(uses) = self else { return "anything".to_owned() };
        let one = |used: &Use| match used.features {
            None => format!("`{}`", used.name),
            Some(features) => format!("`{}` ({})", used.name, features.join(", ")),
        };
        uses.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// The table as markdown.
pub(crate) fn markdown() -> String {
    let mut text = String::from("| crate | may use, besides std | never | why |\n|---|---|---|---|\n");
    for layer in LAYERS {
        let never: Vec<_> = layer.never.iter().map(|ban| ban.what).collect();
        let cells = [format!("`{}`", layer.name), layer.uses.cell(), never.join("; "), layer.why.to_owned()];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    let outside: Vec<_> =
        OUTSIDE.iter().filter(|name| **name != "millpond-fuzz").map(|name| format!("`{name}`")).collect();
    text.push_str(&format!("\nNo published crate depends on {}.\n", outside.join(", ")));
    text
}
