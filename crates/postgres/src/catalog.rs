//! The catalog of a database, asked of a server in one query.

use std::pin::pin;

use millpond_cluster::sql::Catalog;
use millpond_cluster::sql::catalog::{
    Arity, Builder, Cast, Function, FunctionKind, Operator, Persistence, Relation, RelationKind, UserType,
    Volatility,
};
use tokio_postgres::{Client, Row};

use crate::DriverError;
use crate::connection::Connection;

/// Everything in one query, so that all of it is of one moment.
const QUERY: &str = include_str!("catalog.sql");

/// Asks a server what its database holds, for [`Classifier::with_catalog`](millpond_cluster::sql::Classifier::with_catalog).
///
/// It reads system tables only, as any role can, on a primary or a replica. The search path is that of `client`: names
/// without a schema are looked up in it.
///
/// # Errors
///
/// What the driver or the server says; among it that an object was dropped while the query ran.
///
/// # Cancel safety
///
/// Cancel safe.
pub async fn load_catalog(client: &Client) -> Result<Catalog, DriverError> {
    let rows = client.query(QUERY, &[]).await?;
    Ok(read(&rows)?)
}

/// The same over a connection of ours: a server that is slow to answer is told when nobody waits any more.
pub(crate) async fn load(connection: &Connection) -> Result<Catalog, DriverError> {
    let rows = connection.call(pin!(connection.client().query(QUERY, &[]))).await?;
    Ok(read(&rows)?)
}

/// One row, in the form that all have.
struct Object<'r> {
    what: &'r str,
    schema: &'r str,
    name: &'r str,
    words: Vec<&'r str>,
    /// A view's text can be missing.
    texts: Vec<Option<&'r str>>,
    needs: Vec<(&'r str, &'r str, &'r str)>,
}

impl<'r> Object<'r> {
    fn new(row: &'r Row) -> Result<Self, tokio_postgres::Error> {
        let list = |column| Ok(row.try_get::<_, Option<Vec<&str>>>(column)?.unwrap_or_default());
        let (kinds, schemas, names) = (list(5)?, list(6)?, list(7)?);
        let needs =
            kinds.into_iter().zip(schemas).zip(names).map(|((kind, schema), name)| (kind, schema, name));
        Ok(Self {
            what: row.try_get(0)?,
            schema: row.try_get::<_, Option<&str>>(1)?.unwrap_or_default(),
            name: row.try_get::<_, Option<&str>>(2)?.unwrap_or_default(),
            words: list(3)?,
            texts: row.try_get::<_, Option<_>>(4)?.unwrap_or_default(),
            needs: needs.collect(),
        })
    }

    fn word(&self, at: usize) -> &'r str {
        self.words.get(at).copied().unwrap_or_default()
    }

    /// A text that is missing is one that nobody takes for a read.
    fn texts(&self) -> impl Iterator<Item = &'r str> {
        self.texts.iter().map(|text| text.unwrap_or_default())
    }

    fn function(&self) -> Function {
        let kind = match self.word(0) {
            "a" => FunctionKind::Aggregate,
            "w" => FunctionKind::Window,
            "f" => FunctionKind::Function,
            _ => FunctionKind::Procedure,
        };
        let volatility = match self.word(1) {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            _ => Volatility::Volatile,
        };
        let arity = if self.word(3) == "other" { Arity::Other } else { Arity::One };
        let mut texts = self.texts.iter().copied();
        let body = texts.next().flatten().unwrap_or_default();
        let function = Function::new(self.schema, self.name, kind)
            .volatility(volatility)
            .body(self.word(2), body)
            .arity(arity)
            .settings(self.word(4));
        let function = texts.flatten().fold(function, Function::defaults);
        self.needs.iter().fold(function, |function, (kind, schema, name)| match *kind {
            "f" => function.component(schema, name),
            _ => function.uses_type(schema, name),
        })
    }

    fn relation(&self) -> Relation {
        let kind = match self.word(0) {
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "f" => RelationKind::ForeignTable,
            "S" => RelationKind::Sequence,
            _ => RelationKind::Table,
        };
        let persistence = match self.word(1) {
            "p" => Persistence::Permanent,
            "u" => Persistence::Unlogged,
            _ => Persistence::Temporary,
        };
        let relation = Relation::new(self.schema, self.name, kind).persistence(persistence);
        let relation = self.texts().fold(relation, |relation, text| match kind {
            RelationKind::View => relation.definition(text),
            _ => relation.policy(text),
        });
        self.needs.iter().fold(relation, |relation, (kind, schema, name)| match *kind {
            "f" => relation.plans_with(schema, name),
            _ => relation.child(schema, name),
        })
    }

    fn user_type(&self) -> UserType {
        let user_type = self.texts().fold(UserType::new(self.schema, self.name), UserType::check);
        self.needs.iter().fold(user_type, |user_type, (kind, schema, name)| match *kind {
            "c" => user_type.cast_part(schema, name),
            _ => user_type.part(schema, name),
        })
    }

    /// One without a function never counts as a read.
    fn operator(&self) -> Operator {
        let mut functions = self.needs.iter().map(|(_, schema, name)| (*schema, *name));
        let (schema, name) = functions.next().unwrap_or_default();
        let operator = Operator::new(self.schema, self.name, schema, name);
        functions.fold(operator, |operator, (schema, name)| operator.or(schema, name))
    }
}

fn read(rows: &[Row]) -> Result<Catalog, tokio_postgres::Error> {
    let objects = rows.iter().map(Object::new).collect::<Result<Vec<_>, _>>()?;
    let path = objects.iter().filter(|object| object.what == "path").map(|object| object.name);
    let builder = Catalog::builder().search_path(path);
    Ok(objects.iter().fold(builder, add).build())
}

fn add(builder: Builder, object: &Object<'_>) -> Builder {
    match (object.what, object.needs.first()) {
        ("function", _) => builder.function(object.function()),
        ("relation", _) => builder.relation(object.relation()),
        ("type", _) => builder.user_type(object.user_type()),
        ("operator", _) => builder.operator(object.operator()),
        ("cast", Some((_, schema, name))) => {
            builder.cast(Cast::new(object.schema, object.name, schema, name))
        }
        ("unnamed", Some((_, schema, name))) => builder.unnamed_function(schema, name),
        _ => builder,
    }
}
