//! The group `shop-mix`: a shop's traffic over a primary and two replicas, by one plain handle, and how much of it the replicas serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use millpond::postgres::Db;
use millpond::postgres::tokio_postgres::types::ToSql;
use millpond::{Reason, Role};
use millpond_lab::Lab;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::figures::{Check, Reading, values_of};
use crate::rounds::{Contender, Measured};
use crate::spread::Spread;
use crate::table::{Beside, Column};

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 2] = ["millpond-postgres", "tokio-postgres"];

/// The one there is.
pub const SYSTEM: &str = "millpond";

/// The columns of the table.
pub const COLUMNS: [Column; 7] = [
    Column::new("pages/s", "rate", 0, Beside::Ends),
    Column::new("reads on replicas %", "on_replicas", 1, Beside::Ends),
    Column::new("of stock", "stock_on_replicas", 1, Beside::Ends),
    Column::new("proven", "proven", 1, Beside::Ends),
    Column::new("own write", "own_write", 1, Beside::Nothing),
    Column::new("too old", "too_old", 1, Beside::Nothing),
    Column::new("failed", "failed", 0, Beside::Nothing),
];

/// How many products there are, and how many of them in a category: a listing.
const PRODUCTS: i32 = 20_000;
const PER_CATEGORY: i32 = 20;

const SCHEMA: &str = "
    create table product (id int primary key, category int not null, name text not null, price int not null);
    create table stock (product int primary key references product, amount int not null);
    create table orders (id bigserial primary key, customer int not null, at timestamptz not null default now());
    create table order_line (id bigserial primary key, orders bigint not null references orders,
                             product int not null references product, amount int not null);
    insert into product select n, n / 20, 'product number ' || n, n % 500 from generate_series(0, 19999) n;
    insert into stock select n, 1000000 from generate_series(0, 19999) n;
    create index on product (category);
    analyze";

/// A primary and two replicas, with a shop in them.
#[derive(Debug)]
pub struct Bed {
    runtime: Runtime,
    lab: Lab,
    db: Db,
    tasks: usize,
    window: Duration,
}

impl Bed {
    /// One for so many customers at a time.
    ///
    /// # Errors
    ///
    /// When the servers do not start.
    pub fn up(window: Duration) -> Result<Self> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let (lab, db) = runtime.block_on(async {
            let lab = Lab::builder().replicas(2).up().await?;
            lab.primary().ask("postgres", SCHEMA).await?;
            lab.caught_up().await?;
            let db = Db::connect(&lab.url("postgres")).await?;
            anyhow::Ok((lab, db))
        })?;
        Ok(Self { runtime, lab, db, tasks: 1, window })
    }

    /// The same for so many customers at a time.
    pub const fn crowd(&mut self, tasks: usize) {
        self.tasks = tasks;
    }

    /// As figures have it.
    #[must_use]
    pub fn scenario(&self) -> String {
        format!("shop/r2/t{}", self.tasks)
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When something may be left.
    pub fn down(self) -> Result<()> {
        Ok(self.runtime.block_on(self.lab.down())?)
    }

    async fn turn(&self) -> Result<Vec<Reading>> {
        let counts = Arc::new(Counts::default());
        let (begun, mut tasks) = (Instant::now(), JoinSet::new());
        for _ in 0..self.tasks {
            let customer = Customer::new(&self.db, &counts);
            let end = begun + self.window;
            tasks.spawn(async move {
                while Instant::now() < end {
                    customer.visit().await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a customer's task")?;
        }
        Ok(counts.readings(begun.elapsed()))
    }
}

/// What is counted.
#[derive(Debug, Default)]
struct Counts {
    pages: AtomicU64,
    reads: AtomicU64,
    on_replicas: AtomicU64,
    of_stock: AtomicU64,
    of_stock_on_replicas: AtomicU64,
    proven: AtomicU64,
    own_write: AtomicU64,
    too_old: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    #[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
    fn readings(&self, elapsed: Duration) -> Vec<Reading> {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let share = |part: &AtomicU64, of: &AtomicU64| 100.0 * get(part) / get(of).max(1.0);
        let reading = |metric, unit, value| Reading { metric, unit, value };
        vec![
            reading("rate", "1/s", get(&self.pages) / elapsed.as_secs_f64()),
            reading("on_replicas", "%", share(&self.on_replicas, &self.reads)),
            reading("stock_on_replicas", "%", share(&self.of_stock_on_replicas, &self.of_stock)),
            reading("proven", "%", share(&self.proven, &self.reads)),
            reading("own_write", "%", share(&self.own_write, &self.reads)),
            reading("too_old", "%", share(&self.too_old, &self.reads)),
            reading("failed", "count", get(&self.failed)),
        ]
    }
}

/// One who looks and buys.
struct Customer {
    db: Db,
    report: millpond::Report,
    counts: Arc<Counts>,
}

impl Customer {
    fn new(db: &Db, counts: &Arc<Counts>) -> Self {
        let report = millpond::Report::new();
        Self { db: db.with_report(&report), report, counts: Arc::clone(counts) }
    }

    /// Of ten visits seven look at a product, one searches, two buy.
    async fn visit(&self) {
        let product = fastrand::i32(0..PRODUCTS);
        let done = match fastrand::u8(0..10) {
            0..7 => self.look_at(product).await,
            7 => self.search(product).await,
            _ => self.buy(product).await,
        };
        let count = if done.is_ok() { &self.counts.pages } else { &self.counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = done {
            eprintln!("{error:#}");
        }
    }

    async fn look_at(&self, product: i32) -> Result<()> {
        let category = product / PER_CATEGORY;
        self.read("select name, price from product where id = $1", &[&product]).await?;
        self.read("select id, name, price from product where category = $1", &[&category]).await?;
        let first = category * PER_CATEGORY;
        let sql = "select product, amount from stock where product between $1 and $2";
        self.read(sql, &[&first, &(first + PER_CATEGORY - 1)]).await?;
        self.count(&self.counts.of_stock, &self.counts.of_stock_on_replicas);
        Ok(())
    }

    async fn search(&self, product: i32) -> Result<()> {
        let sql = "select id, name from product where category between $1 and $1 + 5 and price < $2 limit 20";
        self.read(sql, &[&(product / PER_CATEGORY), &250]).await
    }

    /// Two reads, two updates, two inserts.
    async fn buy(&self, product: i32) -> Result<()> {
        // The lower first, so that no two wait for each other.
        let (one, two) = (product.min(PRODUCTS - 2), product.min(PRODUCTS - 2) + 1);
        let transaction = self.db.begin().await?;
        let price = "select price from product where id = $1";
        transaction.query_one(price, &[&one]).await?;
        transaction.query_one(price, &[&two]).await?;
        let order = "insert into orders (customer) values ($1) returning id";
        let order: i64 = transaction.query_one(order, &[&product]).await?.try_get(0)?;
        let take = "update stock set amount = amount - 1 where product = $1";
        transaction.execute(take, &[&one]).await?;
        transaction.execute(take, &[&two]).await?;
        let lines = "insert into order_line (orders, product, amount) values ($1, $2, 1), ($1, $3, 1)";
        transaction.execute(lines, &[&order, &one, &two]).await?;
        Ok(transaction.commit().await?)
    }

    async fn read(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<()> {
        self.db.query(sql, params).await?;
        self.count(&self.counts.reads, &self.counts.on_replicas);
        let served = self.report.last().context("a read says where it ran")?;
        let count = match served.reason {
            Reason::ProvingReplica => &self.counts.proven,
            Reason::OwnWrite => &self.counts.own_write,
            Reason::TooOld => &self.counts.too_old,
            _ => return Ok(()),
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Counts a read, and whether a replica served it.
    fn count(&self, all: &AtomicU64, on_replicas: &AtomicU64) {
        all.fetch_add(1, Ordering::Relaxed);
        if self.report.last().is_some_and(|served| served.role == Role::Replica) {
            on_replicas.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What takes turns.
#[must_use]
pub const fn systems() -> [Contender<Bed>; 1] {
    [Contender { name: SYSTEM, turn: |bed| bed.runtime.block_on(bed.turn()) }]
}

/// How many reads replicas should serve.
///
/// # Errors
///
/// Nothing was measured.
pub fn checks(measured: &Measured) -> Result<Vec<Check>> {
    let of = |metric| -> Option<Spread> {
        Spread::of(values_of(measured.runs_of(SYSTEM)?, metric).flatten().collect())
    };
    let (served, failed) = of("on_replicas").zip(of("failed")).context("nothing was measured")?;
    ensure!(failed.max == 0.0, "{} visits failed in a turn", failed.max);
    Ok(vec![Check {
        name: format!("{}: a plain handle sends at least 90 % of its reads to replicas", measured.scenario),
        system: SYSTEM.to_owned(),
        holds: served.median >= 90.0,
        figure: format!("{:.1} ({:.1}..{:.1}) %", served.median, served.min, served.max),
    }])
}
