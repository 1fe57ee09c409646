//! The shop's tables, and what the servers say was done to them.

use std::time::Duration;

use millpond_lab::Lab;

use crate::Failure;

const SCHEMA: &str = "
create table product (
    id int primary key, name text not null, category int not null, price int not null, sold int not null default 0
);
create table inventory (product int primary key, stock int not null);
create table orders (
    id bigint generated always as identity primary key, product int not null, quantity int not null, price int not null
);
-- Counts up while the shop runs, so that every read can tell how old it is.
create table pulse (id int primary key, beat bigint not null);
insert into pulse values (1, 0)";

/// Makes the shop's database with so many products, and waits until the replicas have it.
pub(crate) async fn load(lab: &Lab, products: u32) -> Result<(), Failure> {
    let primary = lab.primary();
    primary.ask("postgres", "create database shop").await?;
    primary.ask("shop", SCHEMA).await?;
    let load = format!(
        "insert into product (id, name, category, price)
             select i, 'product ' || md5(i::text), i % 200, 100 + i % 900 from generate_series(1, {products}) i;
         insert into inventory select i, 1000 from generate_series(1, {products}) i;
         create index on product (category, sold desc);
         create index on product (name collate \"C\");
         analyze"
    );
    primary.ask("shop", &load).await?;
    lab.caught_up().await?;
    Ok(())
}

/// The servers' own count of what was done to the shop's tables, node by node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scans(Vec<Counts>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    scans: i64,
    writes: i64,
}

const COUNTS: &str = "
select coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0) || ' ' || coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)
from pg_stat_user_tables where relname in ('product', 'inventory', 'orders')";

impl Scans {
    /// The counts of now. A session tells its own with a delay, or when it ends: so this waits for them to settle.
    pub(crate) async fn read(lab: &Lab) -> Result<Self, Failure> {
        let mut last = Self::read_once(lab).await?;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = Self::read_once(lab).await?;
            if now.total() == last.total() {
                return Ok(now);
            }
            last = now;
        }
    }

    /// The counts as the servers tell them at this moment. A node that is down has none.
    pub(crate) async fn read_once(lab: &Lab) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for node in lab.nodes() {
            let counts = node.ask("shop", COUNTS).await?.unwrap_or_default();
            let mut numbers = counts.split(' ').map(str::parse);
            let mut number = || numbers.next().ok_or("no counts")?.map_err(Failure::from);
            all.push(Counts { scans: number()?, writes: number()? });
        }
        Ok(Self(all))
    }

    /// What was counted since `start`. A server that crashes starts counting from zero, so what it had counted shortly
    /// before it was killed is added.
    pub(crate) fn since(&self, start: &Self, before_kill: &Self) -> Self {
        let node = |(index, now): (usize, &Counts)| {
            let first = start.0.get(index).copied().unwrap_or_default();
            let killed = before_kill.0.get(index).copied().unwrap_or_default();
            Counts {
                scans: now.scans + killed.scans - first.scans,
                writes: now.writes + killed.writes - first.writes,
            }
        };
        Self(self.0.iter().enumerate().map(node).collect())
    }

    /// Only the counts of one node.
    pub(crate) fn only(mut self, node: usize) -> Self {
        self.0.iter_mut().enumerate().filter(|(index, _)| *index != node).for_each(|(_, counts)| {
            *counts = Counts::default();
        });
        self
    }

    /// Scans on the replicas.
    pub(crate) fn on_replicas(&self) -> i64 {
        self.0.iter().skip(1).map(|counts| counts.scans).sum()
    }

    /// Rows written by statements on each node; replay does not count.
    pub(crate) fn written(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|counts| counts.writes)
    }

    fn total(&self) -> i64 {
        self.0.iter().map(|counts| counts.scans + counts.writes).sum()
    }
}
