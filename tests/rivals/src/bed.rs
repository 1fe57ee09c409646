//! The real servers that there are for pools that know a database.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use mysql_async::prelude::Queryable as _;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::server::Server;

/// The servers, by their URLs.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the program names both")]
pub struct Bed {
    /// A PostgreSQL node.
    pub postgres: Option<Upstream>,
    /// A MySQL or MariaDB server.
    pub mysql: Option<Upstream>,
}

/// What is spoken with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
}

impl Bed {
    /// A server of that kind behind a gate, or one in this process. `None` where no such server runs.
    ///
    /// # Errors
    ///
    /// When the gate cannot be opened.
    pub fn server(&self, kind: Option<Kind>) -> Result<Option<Server>> {
        let Some(kind) = kind else { return Ok(Some(Server::default())) };
        self.upstream(kind).map(Server::behind_gate).transpose()
    }

    /// The server of that kind, if one runs.
    #[must_use]
    pub const fn upstream(&self, kind: Kind) -> Option<&Upstream> {
        match kind {
            Kind::Postgres => self.postgres.as_ref(),
            Kind::Mysql => self.mysql.as_ref(),
        }
    }
}

/// A server's URL, in parts, since its clients are to go to a gate in front of it.
#[derive(Clone, Debug)]
pub struct Upstream {
    before: String,
    pub(crate) address: SocketAddr,
    behind: String,
}

impl FromStr for Upstream {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> Result<Self> {
        let form = "a URL has this form: mysql://user:password@host:port/database";
        let start = url.find("://").context(form)? + 3;
        let end = url[start..].find('/').map(|at| start + at).context(form)?;
        let host = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
        let address = url[host..end].to_socket_addrs().context(form)?.next().context(form)?;
        Ok(Self { before: url[..host].to_owned(), address, behind: url[end..].to_owned() })
    }
}

impl Upstream {
    /// A PostgreSQL node of the lab.
    #[must_use]
    pub fn postgres(port: u16) -> Self {
        Self {
            before: "postgres://postgres@".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            behind: "/postgres?sslmode=disable".to_owned(),
        }
    }

    /// The same server behind another address.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}{}", self.before, self.address, self.behind)
    }

    /// The URL with further servers of the same cluster.
    #[must_use]
    pub fn url_with(&self, others: &[Self]) -> String {
        let all: Vec<_> = [self].into_iter().chain(others).map(|node| node.address.to_string()).collect();
        format!("{}{}{}", self.before, all.join(","), self.behind)
    }

    /// Runs statements on a connection of its own. Gives the number in the last row, if there is one.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn ask(&self, kind: Kind, sql: &str) -> Result<Option<i64>> {
        let text = self.ask_text(kind, sql).await?;
        text.as_deref().map(str::parse).transpose().with_context(|| format!("no number from {sql}"))
    }

    /// Runs statements on a connection of its own. Gives the first value of the last row, if there is one.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn ask_text(&self, kind: Kind, sql: &str) -> Result<Option<String>> {
        match kind {
            Kind::Postgres => {
                let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
                tokio::spawn(connection);
                let messages = client.simple_query(sql).await.with_context(|| format!("asking {sql}"))?;
                let values = messages.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0),
                    _ => None,
                });
                Ok(values.last().map(str::to_owned))
            }
            Kind::Mysql => {
                let mut client = mysql_async::Conn::from_url(self.url()).await?;
                let mut value = None;
                for statement in sql.split(';') {
                    let answer = client.query_first(statement.trim()).await;
                    value = answer.with_context(|| format!("asking {statement}"))?;
                }
                client.disconnect().await?;
                Ok(value)
            }
        }
    }
}
