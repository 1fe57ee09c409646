//! What a catalog is made of: plain rows, as a server's system tables hold them.

/// What kind of routine a [`Function`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FunctionKind {
    /// Called in expressions.
    Function,
    /// Made of other functions.
    Aggregate,
    /// Called with `OVER`.
    Window,
    /// Called with `CALL`. It never counts as a read.
    Procedure,
}

/// What a function promises of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "PostgreSQL knows these three")]
pub enum Volatility {
    /// The same answer for ever.
    Immutable,
    /// The same answer within a statement.
    Stable,
    /// It may do anything.
    Volatile,
}

/// Whether a function can be called with one argument, and so in the spelling of a column: `x.f` is `f(x)` when `x` has
/// no such column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Arity {
    /// It can.
    One,
    /// It takes none, or needs more.
    Other,
}

/// Something that an object reaches besides what its text names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Need {
    pub(crate) what: Kind,
    pub(crate) schema: Box<str>,
    pub(crate) name: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Function,
    Relation,
    Type,
    Cast,
}

impl Need {
    fn new(what: Kind, schema: &str, name: &str) -> Self {
        Self { what, schema: schema.into(), name: name.into() }
    }
}

/// A function, procedure or aggregate. Until told otherwise it is a volatile one in a language that is not read here.
#[derive(Clone, Debug)]
pub struct Function {
    pub(crate) schema: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) kind: FunctionKind,
    pub(crate) volatility: Volatility,
    pub(crate) language: Box<str>,
    pub(crate) body: Option<Box<str>>,
    pub(crate) defaults: Vec<Box<str>>,
    pub(crate) arity: Arity,
    pub(crate) settings: Box<str>,
    pub(crate) is_covered: bool,
    pub(crate) needs: Vec<Need>,
}

impl Function {
    /// A function by its schema and name, both as the server keeps them.
    #[must_use]
    pub fn new(schema: &str, name: &str, kind: FunctionKind) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
            kind,
            volatility: Volatility::Volatile,
            language: "".into(),
            body: None,
            defaults: Vec::new(),
            arity: Arity::One,
            settings: "".into(),
            is_covered: false,
            needs: Vec::new(),
        }
    }

    /// What it promises. Default: nothing.
    #[must_use]
    pub const fn volatility(mut self, volatility: Volatility) -> Self {
        self.volatility = volatility;
        self
    }

    /// Its language and text: `prosrc`, or what `pg_get_function_sqlbody` gives.
    #[must_use]
    pub fn body(mut self, language: &str, body: &str) -> Self {
        self.language = language.into();
        self.body = Some(body.into());
        self
    }

    /// Expressions for arguments that a call leaves out, separated by commas: what `pg_get_expr(proargdefaults, 0)` gives.
    #[must_use]
    pub fn defaults(mut self, expressions: &str) -> Self {
        self.defaults.push(expressions.into());
        self
    }

    /// How many arguments it can be called with. Default: [`Arity::One`].
    #[must_use]
    pub const fn arity(mut self, arity: Arity) -> Self {
        self.arity = arity;
        self
    }

    /// The settings that it runs with (`proconfig`), as `name=value` with any separator.
    #[must_use]
    pub fn settings(mut self, settings: &str) -> Self {
        self.settings = settings.into();
        self
    }

    /// Whether the server has one of its own with the same name and arguments, which a call without a schema means while
    /// the server's own schema is looked in first: `gen_random_uuid()` beside that of the extension `pgcrypto`. Default: no.
    #[must_use]
    pub const fn covered(mut self, is_covered: bool) -> Self {
        self.is_covered = is_covered;
        self
    }

    /// A function that an aggregate is made of.
    #[must_use]
    pub fn component(mut self, schema: &str, name: &str) -> Self {
        self.needs.push(Need::new(Kind::Function, schema, name));
        self
    }

    /// The type of an argument or of the result. Values are converted to it in a call.
    #[must_use]
    pub fn uses_type(mut self, schema: &str, name: &str) -> Self {
        self.needs.push(Need::new(Kind::Type, schema, name));
        self
    }
}

/// What kind of relation a [`Relation`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RelationKind {
    /// A table, partitioned or not.
    Table,
    /// A view. Its definition runs whenever it is read.
    View,
    /// A materialized view, which is read like a table.
    MaterializedView,
    /// A table of another server.
    ForeignTable,
    /// A sequence.
    Sequence,
}

/// Whether a standby has what is in a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "PostgreSQL knows these three")]
pub enum Persistence {
    /// It has.
    Permanent,
    /// It has not, and refuses to read it.
    Unlogged,
    /// One session has.
    Temporary,
}

/// A table, view, sequence and so on.
#[derive(Clone, Debug)]
pub struct Relation {
    pub(crate) schema: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) kind: RelationKind,
    pub(crate) persistence: Persistence,
    pub(crate) definition: Option<Box<str>>,
    pub(crate) policies: Vec<Box<str>>,
    pub(crate) is_written_alone: bool,
    pub(crate) needs: Vec<Need>,
}

impl Relation {
    /// A permanent relation by its schema and name, both as the server keeps them.
    #[must_use]
    pub fn new(schema: &str, name: &str, kind: RelationKind) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
            kind,
            persistence: Persistence::Permanent,
            definition: None,
            policies: Vec::new(),
            is_written_alone: false,
            needs: Vec::new(),
        }
    }

    /// Whether a standby has its rows. Default: it has.
    #[must_use]
    pub const fn persistence(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }

    /// A view's query. A view without one is not known to read.
    #[must_use]
    pub fn definition(mut self, query: &str) -> Self {
        self.definition = Some(query.into());
        self
    }

    /// The `USING` expression of a row-security policy.
    #[must_use]
    pub fn policy(mut self, expression: &str) -> Self {
        self.policies.push(expression.into());
        self
    }

    /// Whether a write to it changes nothing else: it has no triggers and no rules, no foreign key passes changes on from it, and its
    /// defaults, checks and indexes run no code of the user's but C. Default: not known to.
    #[must_use]
    pub const fn written_alone(mut self, is_written_alone: bool) -> Self {
        self.is_written_alone = is_written_alone;
        self
    }

    /// A partition, or a table that inherits: it is read with its parent.
    #[must_use]
    pub fn child(mut self, schema: &str, name: &str) -> Self {
        self.needs.push(Need::new(Kind::Relation, schema, name));
        self
    }

    /// A function that planning a query of it may run: one in a check, an index, statistics or a partition key, where its
    /// arguments may be constants.
    #[must_use]
    pub fn plans_with(mut self, schema: &str, name: &str) -> Self {
        self.needs.push(Need::new(Kind::Function, schema, name));
        self
    }
}

/// An operator and the functions that it can stand for.
#[derive(Clone, Debug)]
pub struct Operator {
    pub(crate) schema: Box<str>,
    pub(crate) symbol: Box<str>,
    pub(crate) functions: Vec<Need>,
}

impl Operator {
    /// The operator `symbol`, and the schema and name of its function.
    #[must_use]
    pub fn new(schema: &str, symbol: &str, function_schema: &str, function: &str) -> Self {
        Self {
            schema: schema.into(),
            symbol: symbol.into(),
            functions: vec![Need::new(Kind::Function, function_schema, function)],
        }
    }

    /// The function of its negator or commutator, which the server may call instead.
    #[must_use]
    pub fn or(mut self, function_schema: &str, function: &str) -> Self {
        self.functions.push(Need::new(Kind::Function, function_schema, function));
        self
    }
}

/// A cast that calls a function. That of an implicit one is called without the cast being named: it is an
/// [`unnamed_function`](super::Builder::unnamed_function) as well.
#[derive(Clone, Debug)]
pub struct Cast {
    pub(crate) schema: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) function: Need,
}

impl Cast {
    /// The type that is cast to, as the server keeps it (`int4`, not `integer`), and the schema and name of the function.
    #[must_use]
    pub fn new(schema: &str, name: &str, function_schema: &str, function: &str) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
            function: Need::new(Kind::Function, function_schema, function),
        }
    }
}

/// A type that runs code whenever a value becomes one of it: a domain with a check, or a type with parts of such a type.
#[derive(Clone, Debug)]
pub struct UserType {
    pub(crate) schema: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) checks: Vec<Box<str>>,
    pub(crate) needs: Vec<Need>,
}

impl UserType {
    /// A type by its schema and name, both as the server keeps them.
    #[must_use]
    pub fn new(schema: &str, name: &str) -> Self {
        Self { schema: schema.into(), name: name.into(), checks: Vec::new(), needs: Vec::new() }
    }

    /// The check of a domain: an expression over `VALUE`.
    #[must_use]
    pub fn check(mut self, expression: &str) -> Self {
        self.checks.push(expression.into());
        self
    }

    /// The type under a domain, of a composite type's field, of a range's bounds.
    #[must_use]
    pub fn part(mut self, schema: &str, name: &str) -> Self {
        self.needs.push(Need::new(Kind::Type, schema, name));
        self
    }
    /// The type under a domain, or of a composite type's field, that a cast with a function leads to.
    #[must_use]
    pub fn cast_part(mut self, schema: &str, name: &str) -> Self {
        self.needs.push(Need::new(Kind::Cast, schema, name));
        self
    }
}
