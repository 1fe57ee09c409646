//! Expressions.

use super::super::schema::COLUMNS;
use super::Maker;

/// Constants, some of which look like more.
const CONSTANTS: &[&str] = &[
    "1",
    "0",
    "-1",
    "1.5e3",
    ".5",
    "null",
    "true",
    "'a'",
    "'a''b'",
    "e'a\\'b'",
    "$$a;b$$",
    "$t$ $$ $t$",
    "b'01'",
    "x'1f'",
    "n'a'",
    "u&'\\0061'",
    "u&'!0061' uescape '!'",
    "'a'\n'b'",
    "date '2020-01-01'",
    "interval '1' day",
    "interval '1' second (3)",
    "interval (2) '1'",
    "'{1,2}'::int[]",
    "current_date",
    "current_timestamp (2)",
    "localtime",
    "current_user",
    "user",
    "session_user",
    "current_schema",
    "current_catalog",
    "'counter'::regclass",
];

/// Forms of the language that look like calls: each `@` is an expression.
const FORMS: &[&str] = &[
    "coalesce(@, @)",
    "nullif(@, @)",
    "greatest(@, @)",
    "least(@)",
    "cast(@ as text)",
    "cast(@ as numeric(3, 1))",
    "extract(year from @)",
    "position(@ in @)",
    "substring(@ from 1 for 2)",
    "substring(@ similar @ escape '#')",
    "overlay(@ placing @ from 1)",
    "trim(both @ from @)",
    "trim(leading from @)",
    "normalize(@, nfc)",
    "collation for (@)",
    "array[@, @]",
    "array[[1], [2]]",
    "row(@, @)",
    "(@, @)",
    "(@)",
    "not (@) is null",
    "(@) is null and @ = @",
    "(@) is null or not (@) is null",
    "@ = @",
    "@ <> all (array[@])",
    "@ + @",
    "@ || @",
    "- @",
    "@ operator(pg_catalog.+) @",
    "@ operator(+) @",
    "@ in (@, @)",
    "@ not in (@)",
    "@ between @ and @",
    "@ not between symmetric @ and @",
    "@ like @",
    "@ not like @ escape '!'",
    "@ ilike any (array['a'])",
    "@ similar to @",
    "@ is null",
    "@ is not distinct from (@)",
    "'<a/>'::xml is document",
    "'a' is nfc normalized",
    "@ at time zone 'utc'",
    "@ at time zone (@)",
    "@ collate \"C\"",
    "(@) overlaps (@)",
    "(@, @) overlaps (@, @)",
    "case when (@) is null then @ else @ end",
    "case @ when @ then @ end",
    "@::text",
    "@::int[]",
    "@::varchar (3)",
    "@::bit varying (3)",
    "@::timestamp (2) with time zone",
    "@::interval day to second (3)",
    "@::pg_catalog.text",
    "int4(@)",
    "text 'a'",
    "float8 '1'",
    "bit varying '1'",
    "count(*)",
    "count(distinct @)",
    "sum(@) filter (where (@) is null)",
    "string_agg(@::text, ',' order by @)",
    "percentile_cont(0.5) within group (order by @)",
    "mode() within group (order by @) filter (where (@) is null)",
    "row_number() over ()",
    "sum(@) over (order by @)",
    "lag(@) over w",
    "grouping(@)",
    "xmlelement(name a, @)",
    "xmlelement(name a, xmlattributes(@ as b), @)",
    "xmlforest(@ as a)",
    "xmlconcat(@, @)",
    "xmlparse(content '<a/>')",
    "xmlpi(name a, 'b')",
    "xmlserialize(content @ as text)",
    "xmlexists('/a' passing @)",
    "xmlroot(@, version no value)",
    "treat(@ as text)",
    "add(1, 2)",
    "public.add(@, 2)",
    "(@).x",
    "(row(1, 2)).f1",
    "array(@@)",
    "exists (@@)",
    "(@@)",
    "@ in (@@)",
    "@ > any (@@)",
    "@ = some (@@)",
    "(@, @) = (@@)",
    "row(@@)",
    "(@@).x",
];

impl Maker<'_, '_> {
    pub(super) fn expression(&mut self) -> String {
        self.down(Self::any_expression, Self::flat_expression)
    }

    /// Mostly of type boolean.
    pub(super) fn condition(&mut self) -> String {
        match self.tape.below(4) {
            0 => self.expression(),
            1 => format!("{0} = {0}", self.expression()),
            2 => format!("exists ({})", self.scalar()),
            _ => format!("({}) is not null", self.expression()),
        }
    }

    fn flat_expression(&mut self) -> String {
        match self.tape.below(3) {
            0 => (*self.tape.pick(COLUMNS)).to_owned(),
            _ => (*self.tape.pick(CONSTANTS)).to_owned(),
        }
    }

    fn any_expression(&mut self) -> String {
        match self.tape.below(40) {
            0 => self.effect(),
            1 => self.attribute(),
            2..=8 => self.call(),
            9..=20 => self.flat_expression(),
            21 => format!("{} over ({})", self.call(), self.window()),
            22 => format!("{} over {}", self.call(), self.name()),
            _ => self.form(),
        }
    }

    fn form(&mut self) -> String {
        let form = *self.tape.pick(FORMS);
        let mut text = String::new();
        let mut rest = form;
        while let Some((before, after)) = rest.split_once('@') {
            text.push_str(before);
            let is_query = after.starts_with('@');
            text.push_str(&if is_query { self.scalar() } else { self.expression() });
            rest = if is_query { &after[1..] } else { after };
        }
        text + rest
    }

    /// A call in the spelling of a field.
    fn attribute(&mut self) -> String {
        let name = *self.tape.pick(&[
            "nextval",
            "pg_notify",
            "lo_unlink",
            "\"nextval\"",
            "lower",
            "U&\"\\006eextval\"",
            "touch",
        ]);
        let value = *self.tape.pick(&[
            "('counter'::regclass)",
            "(select 'counter'::regclass)",
            "(4242)",
            "('a'::text)",
        ]);
        format!("{value}.{name}")
    }

    /// A call of any function of the server, with arguments of its types.
    pub(super) fn call(&mut self) -> String {
        let function = self.tape.pick(self.functions);
        let arguments: Vec<_> = function.arguments.iter().map(|kind| self.argument(kind)).collect();
        let start = *self.tape.pick(&["", "", "", "", "", "", "", "variadic ", "distinct ", "all "]);
        // A name in the catalog that needs quotes is called with them.
        let is_plain = function.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let name = if is_plain { function.name.clone() } else { format!("\"{}\"", function.name) };
        self.spelled(&name, &format!("{start}{})", arguments.join(", ")))
    }

    fn argument(&mut self, kind: &str) -> String {
        let values: &[&str] = match kind {
            "integer" | "bigint" | "smallint" | "numeric" | "double precision" | "real" => {
                &["0", "1", "-1", "4242", "2147483647"]
            }
            "text" | "cstring" | "character varying" | "name" | "character" | "\"char\"" => &[
                "'a'",
                "''",
                "'counter'",
                "'select 1'",
                "'delete from part'",
                "'work_mem'",
                "'item'",
                "'%s'",
            ],
            "regclass" | "oid" => {
                &["'item'::regclass", "'counter'::regclass", "'item_pkey'::regclass", "4242", "0"]
            }
            "boolean" => &["true", "false"],
            "bytea" => &["'\\x00ff'", "''"],
            "json" | "jsonb" => &["'{\"a\": [1]}'", "'[1, 2]'", "'null'"],
            "anyelement" | "anycompatible" | "anynonarray" | "\"any\"" => &["1", "'a'::text", "null::int"],
            "anyarray" | "anycompatiblearray" => &["array[1, 2]", "'{a}'::text[]"],
            "timestamp with time zone" | "timestamp without time zone" | "date" => &["'2020-01-01'", "'now'"],
            "interval" => &["'1 day'"],
            "pg_lsn" => &["'0/0'", "'0/3000000'"],
            "xml" => &["'<a/>'"],
            "pg_snapshot" | "txid_snapshot" => &["'1:2:'"],
            "int2vector" | "oidvector" => &["'1 2'"],
            "tid" => &["'(0,1)'"],
            "xid" | "xid8" | "cid" => &["'1'"],
            _ => &["null"],
        };
        if self.tape.one_in(10) {
            return self.expression();
        }
        let value = *self.tape.pick(values);
        let is_pseudo =
            kind.starts_with("any") || kind == "\"any\"" || kind == "record" || kind.starts_with('(');
        if is_pseudo { value.to_owned() } else { format!("{value}::{kind}") }
    }
}
