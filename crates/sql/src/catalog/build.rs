//! Rows → a catalog, by two fixpoints: what reaches only reads, and then what reaches nothing but that and itself.

use std::mem;
use std::sync::Arc;

use super::rows::{Kind, Need};
use super::{Arity, FunctionKind, Persistence, RelationKind, Volatility, routine};
use super::{
    Cast, Catalog, Entry, Function, Hazard, Names, Operator, OperatorEntry, Relation, Scope, UserType,
};
use crate::classifier::{Functions, Options};
use crate::functions::{self, BY_ARGUMENT, Verdict};
use crate::{Dialect, ReasonKind, grammar};

/// Takes the rows of a [`Catalog`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    /// What the user says of functions.
    functions: Functions,
    path: Vec<Box<str>>,
    folds_all_letters: bool,
    names_all_code: bool,
    objects: Vec<Object>,
}

/// Anything that is a read or not.
#[derive(Clone, Debug)]
struct Object {
    what: What,
    schema: Box<str>,
    name: Box<str>,
    /// What it is whatever it reaches, and why.
    never: Option<&'static str>,
    texts: Vec<(Text, Box<str>)>,
    needs: Vec<Need>,
    /// Why a statement that names it is no read.
    kind: ReasonKind,
    arity: Arity,
    /// A function that only a call with its schema means; see [`Function::covered`].
    is_covered: bool,
    /// A relation with which tables come that a text does not name.
    brings_tables: bool,
    /// A relation whose writes change nothing else.
    is_written_alone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Function,
    Relation,
    Type,
    Cast,
    Operator,
    /// It runs without being named.
    Unnamed,
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Query,
    Expression,
    Sql,
    PlPgSql,
}

/// Operators that the language itself uses: `IN`, `BETWEEN`, `LIKE`, `DISTINCT`, `ORDER BY`, `USING`.
const IMPLIED: &[&str] = &["=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~"];

impl Object {
    fn new(what: What, schema: &str, name: &str, kind: ReasonKind) -> Self {
        Self {
            what,
            schema: schema.into(),
            name: name.into(),
            never: None,
            texts: Vec::new(),
            needs: Vec::new(),
            kind,
            arity: Arity::Other,
            is_covered: false,
            brings_tables: false,
            is_written_alone: false,
        }
    }

    const fn word(&self) -> &'static str {
        match (self.what, self.kind) {
            (What::Relation, ReasonKind::HiddenView) => "view",
            (What::Relation, ReasonKind::Sequence) => "sequence",
            (What::Relation, _) => "table",
            (What::Function, _) => "function",
            (What::Type, _) => "type",
            (What::Cast, _) => "cast to",
            (What::Operator, _) => "operator",
            (What::Unnamed, _) => "code of an implicit cast or an operator class,",
        }
    }
}

impl Builder {
    pub(crate) fn new(functions: &Functions) -> Self {
        let functions = Functions { catalog: None, ..functions.clone() };
        Self { functions, ..Self::default() }
    }

    /// The schemas in which names without one are looked up, the first first (`current_schemas(true)`).
    #[must_use]
    pub fn search_path<S: AsRef<str>>(mut self, schemas: impl IntoIterator<Item = S>) -> Self {
        self.path = schemas.into_iter().map(|schema| schema.as_ref().into()).collect();
        self
    }

    /// Says that the server folds letters outside of ASCII, as it does in an encoding of one byte for each. Names with such letters
    /// can then be other names, and make no read. Default: no.
    #[must_use]
    pub const fn folds_all_letters(mut self, folds: bool) -> Self {
        self.folds_all_letters = folds;
        self
    }

    /// Says that all code of the user's is named where it runs, or is in C: no operator, cast, operator class, range or type calls a
    /// function in another language. Default: not known to.
    #[must_use]
    pub const fn names_all_code(mut self, names_all: bool) -> Self {
        self.names_all_code = names_all;
        self
    }

    /// Adds a function, procedure or aggregate.
    #[must_use]
    pub fn function(mut self, row: Function) -> Self {
        let mut object = Object::new(What::Function, &row.schema, &row.name, ReasonKind::HiddenFunction);
        object.arity = row.arity;
        object.is_covered = row.is_covered;
        object.needs = row.needs;
        let promises = row.volatility != Volatility::Volatile;
        match (row.kind, &*row.language, row.body) {
            _ if self.functions.denies(&row.schema, &row.name) => object.never = Some("denied by name"),
            (FunctionKind::Procedure, ..) => object.never = Some("a procedure"),
            (FunctionKind::Aggregate, ..) => {}
            // It would change how literals in the body are read.
            _ if row.settings.contains("standard_conforming_strings") => {
                object.never = Some("has a setting of its own for literals");
            }
            // A standby refuses it.
            _ if row.settings.contains("transaction_read_only") => {
                object.never = Some("makes its transaction one that writes");
            }
            // The setting stays when the function ends.
            _ if row.settings.to_ascii_lowercase().contains("seed=") => object.never = Some("sets the seed"),
            // Under another name it still runs the text that it is given.
            (_, "c", Some(symbol)) if BY_ARGUMENT.iter().any(|known| symbol.starts_with(known)) => {
                object.never = Some("reads what its arguments name");
            }
            (_, "internal" | "c", _) if promises => {}
            (_, "internal" | "c", _) => object.never = Some("volatile, in C"),
            (_, "sql", Some(body)) => object.texts.push((Text::Sql, body)),
            (_, "plpgsql", Some(body)) if promises => object.texts.push((Text::PlPgSql, body)),
            (_, "plpgsql", _) => object.never = Some("volatile, in PL/pgSQL"),
            _ => object.never = Some("in a language that is not read here"),
        }
        object.texts.extend(row.defaults.into_iter().map(|default| (Text::Expression, default)));
        self.objects.push(object);
        self
    }

    /// What was allowed by name reads, whatever it reaches.
    fn allow(&mut self) {
        let (functions, path) = (&self.functions, &self.path);
        for object in self.objects.iter_mut().filter(|object| object.what == What::Function) {
            if functions.allows(&object.schema, &object.name, path) {
                object.never = None;
                object.needs.clear();
                object.texts.clear();
            }
        }
    }

    /// Adds a table, view or sequence.
    #[must_use]
    pub fn relation(mut self, row: Relation) -> Self {
        let kind = match (row.kind, row.persistence) {
            (RelationKind::ForeignTable, _) => ReasonKind::ForeignTable,
            (_, Persistence::Unlogged) => ReasonKind::UnloggedTable,
            (_, Persistence::Temporary) => ReasonKind::TemporaryTable,
            (RelationKind::Sequence, _) => ReasonKind::Sequence,
            (RelationKind::View, _) => ReasonKind::HiddenView,
            _ if row.policies.is_empty() => ReasonKind::HiddenCode,
            _ => ReasonKind::RowSecurity,
        };
        let mut object = Object::new(What::Relation, &row.schema, &row.name, kind);
        object.brings_tables = matches!(row.kind, RelationKind::View | RelationKind::ForeignTable)
            || !row.policies.is_empty()
            || row.needs.iter().any(|need| need.what == Kind::Relation);
        object.is_written_alone = row.is_written_alone && row.kind == RelationKind::Table;
        object.needs = row.needs;
        object.never = match kind {
            ReasonKind::ForeignTable => Some("a foreign table"),
            ReasonKind::UnloggedTable => Some("unlogged"),
            ReasonKind::TemporaryTable => Some("temporary"),
            ReasonKind::Sequence => Some("a sequence"),
            ReasonKind::HiddenView if row.definition.is_none() => Some("its definition is not known"),
            _ => None,
        };
        if row.kind == RelationKind::View {
            object.texts.extend(row.definition.map(|query| (Text::Query, query)));
        }
        object.texts.extend(row.policies.into_iter().map(|policy| (Text::Expression, policy)));
        self.objects.push(object);
        self
    }

    /// Adds an operator. One that the language itself uses, as `=`, is used by every statement when it is not known to read.
    #[must_use]
    pub fn operator(mut self, row: Operator) -> Self {
        let is_implied = IMPLIED.contains(&&*row.symbol);
        let mut object = Object::new(What::Operator, &row.schema, &row.symbol, ReasonKind::HiddenOperator);
        object.needs = row.functions;
        if is_implied {
            self.objects.push(Object { what: What::Unnamed, ..object.clone() });
        }
        self.objects.push(object);
        self
    }

    /// Adds a cast that calls a function.
    #[must_use]
    pub fn cast(mut self, row: Cast) -> Self {
        let mut object = Object::new(What::Cast, &row.schema, &row.name, ReasonKind::HiddenType);
        object.needs.push(row.function);
        self.objects.push(object);
        self
    }

    /// Adds a type that runs code.
    #[must_use]
    pub fn user_type(mut self, row: UserType) -> Self {
        let mut object = Object::new(What::Type, &row.schema, &row.name, ReasonKind::HiddenType);
        object.needs = row.needs;
        object.texts.extend(row.checks.into_iter().map(|check| (Text::Expression, check)));
        self.objects.push(object);
        self
    }

    /// Adds a function that statements call without naming it: that of an implicit cast, or of an index's operator class.
    /// When it is not known to read, no statement is.
    #[must_use]
    pub fn unnamed_function(mut self, schema: &str, name: &str) -> Self {
        let mut object = Object::new(What::Unnamed, schema, name, ReasonKind::HiddenCode);
        object.needs.push(Need { what: Kind::Function, schema: schema.into(), name: name.into() });
        self.objects.push(object);
        self
    }

    /// Works out what is known to read.
    ///
    /// Meanwhile code that runs unnamed is taken for harmless: it runs in the bodies of its own functions too. Where that
    /// holds for all of it by what its functions name, no call of it can come to anything else. Where not, no statement is
    /// a read, whatever the bodies say.
    #[must_use]
    pub fn build(mut self) -> Catalog {
        self.allow();
        let (folds_all_letters, names_all_code) = (self.folds_all_letters, self.names_all_code);
        let mut catalog =
            Catalog { path: self.path, folds_all_letters, names_all_code, ..Catalog::default() };
        // The server looks in its own schema first when the path does not name it. Functions are not looked for among
        // temporary objects.
        let first = catalog.path.iter().find(|schema| !schema.starts_with("pg_temp"));
        catalog.looks_in_its_own_first = first.is_none_or(|first| **first == *"pg_catalog")
            || !catalog.path.contains(&"pg_catalog".into());
        for object in &self.objects {
            catalog.enter(object);
        }
        let mut judge = Judge::new(self.functions, catalog);
        let (mut open, mut hazards): (Vec<_>, Vec<_>) =
            self.objects.into_iter().partition(|object| object.never.is_none());
        // Each round can make more of the others reads. One that adds nothing is the last.
        loop {
            let before = open.len();
            for object in mem::take(&mut open) {
                if judge.why_not(&object).is_none() {
                    judge.catalog_mut().settle(&object);
                } else {
                    open.push(object);
                }
            }
            if open.len() == before {
                break;
            }
        }
        // What is left reaches a hazard, or only itself, as what calls itself does: no call of that can come to more. So all
        // of it is taken for reads, until one round finds nothing against the rest.
        open.iter().for_each(|object| judge.catalog_mut().settle(object));
        loop {
            let before = open.len();
            for object in mem::take(&mut open) {
                if judge.why_not(&object).is_none() {
                    open.push(object);
                } else {
                    judge.catalog_mut().enter(&object);
                    hazards.push(object);
                }
            }
            if open.len() == before {
                break;
            }
        }
        judge.finish(&hazards)
    }
}

impl Catalog {
    fn names_mut(&mut self, what: What) -> Option<&mut Names> {
        match what {
            What::Function => Some(&mut self.functions),
            What::Relation => Some(&mut self.relations),
            What::Type => Some(&mut self.types),
            What::Cast => Some(&mut self.casts),
            What::Operator | What::Unnamed => None,
        }
    }

    /// The object is there, and not known to read.
    fn enter(&mut self, object: &Object) {
        let attributes = usize::from(object.arity == Arity::One);
        let covered = usize::from(object.is_covered);
        let entry = |schema: &str| Entry {
            schema: schema.into(),
            pending: 1,
            kind: object.kind,
            pending_attributes: attributes,
            pending_covered: covered,
            brings_tables: object.brings_tables,
            is_written_alone: object.is_written_alone,
        };
        for name in spellings(object) {
            let Some(names) = self.names_mut(object.what) else { continue };
            let entries = names.0.entry(name.into()).or_default();
            match entries.iter_mut().find(|entry| entry.schema == object.schema) {
                Some(entry) => {
                    entry.pending += 1;
                    entry.pending_attributes += attributes;
                    entry.pending_covered += covered;
                    entry.brings_tables |= object.brings_tables;
                    entry.is_written_alone &= object.is_written_alone;
                }
                None => entries.push(entry(&object.schema)),
            }
        }
        if object.what == What::Operator {
            self.operator_schemas.insert(object.schema.clone());
            let (schema, symbol) = (object.schema.clone(), object.name.clone());
            self.operators.push(OperatorEntry { schema, symbol });
        }
    }

    /// The object is known to read, whatever [`enter`](Self::enter) said.
    fn settle(&mut self, object: &Object) {
        let attributes = usize::from(object.arity == Arity::One);
        for name in spellings(object) {
            let Some(names) = self.names_mut(object.what) else { continue };
            let entries = names.0.get_mut(&*name).into_iter().flatten();
            for entry in entries.filter(|entry| entry.schema == object.schema) {
                entry.pending -= 1;
                entry.pending_attributes -= attributes;
                entry.pending_covered -= usize::from(object.is_covered);
            }
        }
        if object.what == What::Operator {
            // One per object: operators of one symbol can differ in their operands.
            let is_it = |entry: &OperatorEntry| entry.schema == object.schema && entry.symbol == object.name;
            if let Some(at) = self.operators.iter().position(is_it) {
                self.operators.swap_remove(at);
            }
        }
    }
}

/// The names that statements use for an object. A type also has that of its array and, where the language has others for
/// it, those.
fn spellings(object: &Object) -> Vec<String> {
    let name = object.name.to_string();
    if !matches!(object.what, What::Type | What::Cast) {
        return vec![name];
    }
    let words: &[&str] = match &*name {
        "int2" => &["smallint"],
        "int4" => &["int", "integer"],
        "int8" => &["bigint"],
        "float4" => &["real", "float"],
        "float8" => &["float", "double"],
        "numeric" => &["decimal", "dec"],
        "bool" => &["boolean"],
        "bpchar" => &["char", "character", "nchar", "national"],
        "varchar" => &["char", "character", "nchar", "national"],
        "varbit" => &["bit"],
        "timestamptz" => &["timestamp"],
        "timetz" => &["time"],
        _ => &[],
    };
    let array = format!("_{name}");
    words.iter().map(|word| (*word).to_owned()).chain([name, array]).collect()
}

/// Asks whether objects read, by what the catalog knows so far.
struct Judge {
    functions: Functions,
}

impl Judge {
    fn new(functions: Functions, catalog: Catalog) -> Self {
        Self { functions: Functions { catalog: Some(Arc::new(catalog)), ..functions } }
    }

    fn catalog(&self) -> Option<&Catalog> {
        self.functions.catalog.as_deref()
    }

    fn catalog_mut(&mut self) -> &mut Catalog {
        // There is one reference, so nothing is cloned.
        Arc::make_mut(self.functions.catalog.get_or_insert_with(Arc::default))
    }

    /// Why an object is not known to read; `None` when it is.
    fn why_not(&mut self, object: &Object) -> Option<Box<str>> {
        if let Some(never) = object.never {
            return Some(never.into());
        }
        if let Some(need) = object.needs.iter().find(|need| !self.reads(need)) {
            return Some(format!("{}.{} is not known to read", need.schema, need.name).into());
        }
        object.texts.iter().find_map(|(kind, text)| self.why_text_not(*kind, text))
    }

    fn reads(&self, need: &Need) -> bool {
        let Some(catalog) = self.catalog() else { return false };
        let schema = Some(&*need.schema);
        match need.what {
            Kind::Function if self.functions.denies(&need.schema, &need.name) => false,
            Kind::Function => {
                let builtin = match &*need.schema {
                    "pg_catalog" => functions::postgres_verdict(&need.name),
                    _ => Verdict::Unknown,
                };
                catalog.function(builtin, schema, &need.name, Scope::Path) == Verdict::Reads
            }
            Kind::Relation => catalog.relation(schema, &need.name, Scope::Path).is_none(),
            Kind::Type => catalog.conversion(schema, &need.name).is_none(),
            Kind::Cast => catalog.cast(&need.schema, &need.name).is_none(),
        }
    }

    fn why_text_not(&mut self, kind: Text, text: &str) -> Option<Box<str>> {
        // What a server prints has the schemas that its reader's path needs; a body has what its author wrote.
        self.functions.scope = match kind {
            Text::Query | Text::Expression => Scope::Path,
            Text::Sql | Text::PlPgSql => Scope::Everywhere,
        };
        let options = Options::new(Dialect::Postgres);
        let sql = match kind {
            Text::Query => text.into(),
            Text::Expression => format!("SELECT {text}").into(),
            Text::Sql => routine::statements(text),
            Text::PlPgSql => return routine::why_not(text, options, &self.functions),
        };
        let answer = grammar::classify(&sql, options, Some(&self.functions));
        (!answer.is_plain_read()).then(|| answer.reason().display(&sql).to_string().into())
    }

    fn finish(mut self, objects: &[Object]) -> Catalog {
        self.name_children(objects);
        let hazard = |object: &Object| Hazard {
            what: object.word(),
            is_unnamed: object.what == What::Unnamed,
            schema: object.schema.clone(),
            name: object.name.clone(),
            why: self.why_not(object).unwrap_or_default(),
        };
        let hazards = objects.iter().map(hazard).collect();
        let catalog = self.catalog_mut();
        catalog.hazards = hazards;
        catalog.has_unnamed_hazard = objects.iter().any(|object| object.what == What::Unnamed);
        mem::take(catalog)
    }

    /// Says of a parent what its child is: unlogged, foreign. A parent of parents takes a round for each generation.
    fn name_children(&mut self, objects: &[Object]) {
        loop {
            let mut is_changed = false;
            for object in objects.iter().filter(|object| object.what == What::Relation) {
                let child =
                    |need: &Need| self.catalog()?.relation(Some(&need.schema), &need.name, Scope::Path);
                let mut children = object.needs.iter().filter(|need| need.what == Kind::Relation);
                let Some(kind) = children.find_map(child) else { continue };
                let entries = self.catalog_mut().relations.0.get_mut(&*object.name).into_iter().flatten();
                let is_it = |entry: &&mut Entry| {
                    entry.schema == object.schema && entry.kind == ReasonKind::HiddenCode
                };
                for entry in entries.filter(is_it) {
                    is_changed |= kind != ReasonKind::HiddenCode;
                    entry.kind = kind;
                }
            }
            if !is_changed {
                return;
            }
        }
    }
}
