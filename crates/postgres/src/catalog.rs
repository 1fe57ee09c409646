//! The catalog of a database, asked of a server in one query.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use millpond_cluster::sql::catalog::{
    Arity, Builder, Cast, Function, FunctionKind, Operator, Persistence, Relation, RelationKind, UserType,
    Volatility,
};
use millpond_cluster::sql::{Catalog, Classifier};
use tokio_postgres::{Client, Row};

use crate::DriverError;
use crate::connection::Connection;

/// Everything in one query, so that all of it is of one moment.
const QUERY: &str = include_str!("catalog.sql");

/// Asks a server what its database holds, for [`Classifier::with_catalog`](millpond_cluster::sql::Classifier::with_catalog).
///
/// It reads system tables only, as any role can, on a primary or a replica. The search path is that of `client`: names
/// without a schema are looked up in it. Functions that `classifier` allows or denies by name are what it says of them.
///
/// # Errors
///
/// What the driver or the server says; among it that an object was dropped while the query ran.
///
/// # Cancel safety
///
/// Cancel safe.
pub async fn load_catalog(client: &Client, classifier: &Classifier) -> Result<Catalog, DriverError> {
    let rows = client.query(QUERY, &[]).await?;
    let builder = classifier.catalog_builder();
    apart(move || Ok(build(builder, &objects(&rows)?))).await
}

/// The same over a connection of ours, with the last answer at hand: a server that is slow to answer is told when nobody
/// waits any more.
pub(crate) async fn load(
    connection: &Connection,
    classifier: &Classifier,
    last: &Arc<Last>,
) -> Result<Arc<Catalog>, DriverError> {
    let rows = connection.call(pin!(connection.client().query(QUERY, &[]))).await?;
    let (builder, last) = (classifier.catalog_builder(), Arc::clone(last));
    apart(move || Ok(last.catalog(builder, &objects(&rows)?))).await
}

/// Does it where it holds up nobody: thousands of objects take tens of milliseconds.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, tokio_postgres::Error> + Send + 'static,
) -> Result<T, DriverError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(DriverError::Catalog)??)
}

/// The catalog that was built last, and what tells its rows from others.
#[derive(Debug, Default)]
pub(crate) struct Last {
    keys: RandomState,
    /// Guards the pair: the fingerprint is the catalog's.
    built: Mutex<Option<(u64, Arc<Catalog>)>>,
}

impl Last {
    /// The last catalog again when the rows are the same, in whatever order.
    fn catalog(&self, builder: Builder, objects: &[Object<'_>]) -> Arc<Catalog> {
        let fingerprint = self.fingerprint(objects);
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        match &*built {
            Some((known, catalog)) if *known == fingerprint => Arc::clone(catalog),
            _ => {
                let catalog = Arc::new(build(builder, objects));
                *built = Some((fingerprint, Arc::clone(&catalog)));
                catalog
            }
        }
    }

    fn fingerprint(&self, objects: &[Object<'_>]) -> u64 {
        let path: Vec<_> = path(objects).collect();
        let hashes = objects.iter().map(|object| self.keys.hash_one(object));
        hashes.fold(self.keys.hash_one((path, objects.len())), u64::wrapping_add)
    }
}

/// One row, in the form that all have.
#[derive(Hash)]
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
            .settings(self.word(4))
            .covered(self.word(5) == "covered");
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
        let relation = relation.written_alone(self.word(2) == "alone");
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

fn objects(rows: &[Row]) -> Result<Vec<Object<'_>>, tokio_postgres::Error> {
    rows.iter().map(Object::new).collect()
}

fn path<'o>(objects: &'o [Object<'_>]) -> impl Iterator<Item = &'o str> {
    objects.iter().filter(|object| object.what == "path").map(|object| object.name)
}

fn build(builder: Builder, objects: &[Object<'_>]) -> Catalog {
    objects.iter().fold(builder.search_path(path(objects)), add).build()
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
        ("encoding", _) => builder.folds_all_letters(true),
        ("code", _) => builder.names_all_code(true),
        _ => builder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<'r>(schema: &'r str, name: &'r str, persistence: &'r str) -> Object<'r> {
        let words = vec!["r", persistence];
        Object { what: "relation", schema, name, words, texts: Vec::new(), needs: Vec::new() }
    }

    fn schema(name: &str) -> Object<'_> {
        Object { what: "path", schema: "", name, words: Vec::new(), texts: Vec::new(), needs: Vec::new() }
    }

    #[test]
    fn the_same_rows_give_the_same_catalog_and_others_another() {
        let last = Last::default();
        let rows =
            |persistence| [schema("a"), schema("b"), table("a", "x", persistence), table("b", "y", "p")];
        let catalog = |rows: &[Object<'_>]| last.catalog(Catalog::builder(), rows);
        let first = catalog(&rows("p"));
        assert!(Arc::ptr_eq(&first, &catalog(&rows("p"))));
        let [a, b, x, y] = rows("p");
        assert!(Arc::ptr_eq(&first, &catalog(&[y, a, x, b])));
        let changed = catalog(&rows("u"));
        assert!(!Arc::ptr_eq(&first, &changed));
        assert_eq!(changed.hazards().count(), 1);
        let [a, b, x, y] = rows("u");
        assert!(!Arc::ptr_eq(&changed, &catalog(&[b, a, x, y])), "the search path has an order");
    }
}
