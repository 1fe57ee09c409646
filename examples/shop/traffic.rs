//! What the shoppers do, and what they see.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millpond::Result;
use millpond::postgres::{Db, Session};
use tokio::task::JoinSet;

/// Listings and searches may be this old.
pub(crate) const LISTING_AGE: Duration = Duration::from_secs(2);

/// How long a shopper looks at a page, in milliseconds: a thousandth of what people take.
const THINK_MS: std::ops::Range<u64> = 5..40;

const LISTING: &str = "
select id, name, price, (select beat from pulse where id = 1) from product where category = $1 order by sold desc limit 20";
const PRODUCT: &str = "select name, price, (select beat from pulse where id = 1) from product where id = $1";
const SEARCH: &str = "
select id, name, price, (select beat from pulse where id = 1) from product
where name collate \"C\" >= 'product ' || $1 and name collate \"C\" < 'product ' || $1 || '~' limit 20";
const STOCK: &str = "select stock from inventory where product = $1";
const ORDER: &str = "select quantity from orders where id = $1";
const BEAT: &str = "update pulse set beat = $1 where id = 1";

/// What the callers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Reads outside transactions, by the labels above.
    pub(crate) plain_reads: AtomicU64,
    /// Checkouts that were committed.
    pub(crate) checkouts: AtomicU64,
    /// Reads that showed something older than they allow.
    pub(crate) too_old: AtomicU64,
    /// Orders that their own shopper did not find.
    pub(crate) own_writes_missed: AtomicU64,
    /// Calls that failed.
    pub(crate) errors: Mutex<Vec<String>>,
}

impl Seen {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, doing: &str, error: &millpond::Error) {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{doing}: {error}"));
    }
}

/// The shoppers, and the pulse beside them.
pub(crate) struct Traffic {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
}

impl Traffic {
    pub(crate) fn start(db: &Db, shoppers: u16, products: u32) -> Self {
        let (stop, seen, pulse) =
            (Arc::new(AtomicBool::new(false)), Arc::new(Seen::default()), Arc::new(Pulse::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&pulse).run(db.clone(), Arc::clone(&stop), Arc::clone(&seen)));
        for _ in 0..shoppers {
            let (pulse, seen) = (Arc::clone(&pulse), Arc::clone(&seen));
            let shopper =
                Shopper { db: db.clone(), session: db.session(), pulse, seen, products, receipt: None };
            tasks.spawn(shopper.shop(Arc::clone(&stop)));
        }
        Self { tasks, stop, seen }
    }

    /// Ends the visits under way.
    pub(crate) async fn stop(mut self) -> Arc<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.seen
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// A counter in the database, and when each beat of it was acknowledged: what tells how old a read is.
#[derive(Default)]
struct Pulse {
    acknowledged: Mutex<Vec<Instant>>,
}

impl Pulse {
    async fn run(self: Arc<Self>, db: Db, stop: Arc<AtomicBool>, seen: Arc<Seen>) {
        let mut beats = tokio::time::interval(Duration::from_millis(50));
        for beat in 1_i64.. {
            beats.tick().await;
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // One that failed may have run: it ends here, so that the count and the list stay in step.
            if let Err(error) = db.execute(BEAT, &[&beat]).await {
                return seen.failed("pulse", &error);
            }
            self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
    }

    /// Whether a read that began at `began` and showed this beat is older than `limit`: whether the next beat had been
    /// acknowledged longer than that before it began.
    fn is_older_than(&self, limit: Duration, beat: i64, began: Instant) -> bool {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let next = usize::try_from(beat).ok().and_then(|next| acknowledged.get(next));
        next.is_some_and(|next| *next + limit < began)
    }
}

struct Shopper {
    db: Db,
    session: Session,
    pulse: Arc<Pulse>,
    seen: Arc<Seen>,
    products: u32,
    /// The order just placed, to be shown on the next page.
    receipt: Option<i64>,
}

impl Shopper {
    async fn shop(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let (doing, result) = match fastrand::u32(..100) {
                0..70 => ("product page", self.product_page().await),
                70..80 => ("search", self.search().await),
                _ => ("checkout", self.checkout().await),
            };
            if let Err(error) = result {
                self.seen.failed(doing, &error);
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(THINK_MS))).await;
        }
    }

    fn any_product(&self) -> i32 {
        i32::try_from(fastrand::u32(1..=self.products)).unwrap_or(1)
    }

    /// A listing, a product of it, its stock; and the receipt, if something was just bought.
    async fn product_page(&mut self) -> Result<()> {
        let product = self.any_product();
        self.listing(LISTING, &(product % 200)).await?;
        self.listing(PRODUCT, &product).await?;
        Seen::add(&self.seen.plain_reads);
        self.session.query_one(STOCK, &[&product]).await?;
        let Some(order) = self.receipt.take() else { return Ok(()) };
        Seen::add(&self.seen.plain_reads);
        if self.session.query_opt(ORDER, &[&order]).await?.is_none() {
            Seen::add(&self.seen.own_writes_missed);
        }
        Ok(())
    }

    async fn search(&self) -> Result<()> {
        self.listing(SEARCH, &format!("{:03x}", fastrand::u16(..0x1000))).await
    }

    /// A read that may be two seconds old, and is checked for it.
    async fn listing(
        &self,
        sql: &str,
        param: &(impl millpond::postgres::tokio_postgres::types::ToSql + Sync),
    ) -> Result<()> {
        let began = Instant::now();
        Seen::add(&self.seen.plain_reads);
        let rows = self.db.within(LISTING_AGE).query(sql, &[param]).await?;
        let beat = rows.first().map(|row| row.get(row.len() - 1));
        if beat.is_some_and(|beat| self.pulse.is_older_than(LISTING_AGE, beat, began)) {
            Seen::add(&self.seen.too_old);
        }
        Ok(())
    }

    /// Two reads, two updates and an insert in a transaction.
    async fn checkout(&mut self) -> Result<()> {
        let product = self.any_product();
        let transaction = self.session.begin().await?;
        let price: i32 =
            transaction.query_one("select price from product where id = $1", &[&product]).await?.get(0);
        let stock = "select stock from inventory where product = $1 for update";
        let stock: i32 = transaction.query_one(stock, &[&product]).await?.get(0);
        if stock == 0 {
            return transaction.rollback().await;
        }
        transaction.execute("update inventory set stock = stock - 1 where product = $1", &[&product]).await?;
        transaction.execute("update product set sold = sold + 1 where id = $1", &[&product]).await?;
        let order = "insert into orders (product, quantity, price) values ($1, 1, $2) returning id";
        let order = transaction.query_one(order, &[&product, &price]).await?.get(0);
        transaction.commit().await?;
        Seen::add(&self.seen.checkouts);
        self.receipt = Some(order);
        Ok(())
    }
}
