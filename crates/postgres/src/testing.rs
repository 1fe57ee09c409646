//! A handle for tests: everything runs in one transaction, which is rolled back.

use std::sync::{Arc, Mutex};

use millpond_cluster::{Cluster, Config, NodeConfig};

use crate::backend::Source;
use crate::{Db, Error, ErrorKind, Outcome, Postgres, Result, Server, Transaction};

impl Db {
    /// A handle for a test: all that runs through it, its clones and its sessions runs in `transaction`, and is rolled back when the last
    /// of them is dropped or [closed](Db::close). The server, and so other tests, have nothing of it.
    ///
    /// ```
    /// # use millpond_postgres::{Db, Result};
    /// # async fn sign_up(db: &Db, name: &str) -> Result<()> { Ok(()) }
    /// # async fn test(real: &Db) -> Result<()> {
    /// let db = Db::for_test(real.begin().await?)?;
    /// sign_up(&db, "ada").await?; // code that takes a `&Db`
    /// let names: Vec<String> = db.query_scalar("select name from account", &[]).await?;
    /// assert_eq!(names, ["ada"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A handle lives in the runtime that it was made in, and `#[tokio::test]` makes one for each test: connect in each, or share a runtime.
    ///
    /// Nothing is committed: even a COMMIT by the driver's own client ends the session instead, by a deferred trigger on a temporary table. So
    /// deferred constraints are not looked at before the end, `SET CONSTRAINTS ALL IMMEDIATE` ends the test, and a transaction that only
    /// reads will not do. The one way out is a ROLLBACK by the driver's own client, which is not seen: what it runs behind that is kept.
    ///
    /// Statements run in savepoints, so that one which fails leaves the others; transactions are savepoints, of the transaction's
    /// isolation level. What is different: there is one connection, so that whoever asks for a second one while a transaction, stream or
    /// lease is held waits for it, as it would with [`max_size`](crate::Builder::max_size) 1; all reads see what is not committed;
    /// `now()` stands still; what a sequence gave, and what reaches beyond the database, stays; a call that is given up ends the
    /// transaction, and all later calls say so; and what a lease, or a `SET LOCAL` in a transaction, does to the session is not taken away
    /// before the end, unless it is the handle's own [settings](Db::with_settings).
    ///
    /// # Errors
    ///
    /// A transaction that cannot go on, since a call of it was given up.
    pub fn for_test(transaction: Transaction) -> Result<Self> {
        let connection = transaction.into_connection();
        if connection.is_interrupted() || connection.client().is_closed() {
            let text = "the transaction cannot go on: a call was given up, or its connection broke";
            return Err(Error::new(ErrorKind::ConnectionLost, Outcome::Rejected, text));
        }
        let connection = connection.into_test();
        let name = Arc::clone(connection.node());
        let server = Server(Source::Test(Mutex::new(Some(Box::new(connection)))));
        let backend =
            Postgres { connectors: None, segment_size: Arc::default(), last_catalog: Arc::default() };
        let mut config = Config::default();
        config.max_size = 1;
        config.catalog_interval = None;
        Ok(Self::new(Cluster::of_one(backend, NodeConfig::new(name, server), config)?.handle()))
    }
}
