//! Queries.

use super::super::schema::TABLES;
use super::Maker;

impl Maker<'_, '_> {
    pub(super) fn query(&mut self) -> String {
        self.down(Self::any_query, |maker| {
            (*maker.tape.pick(&["select 1", "values (1)", "table item"])).to_owned()
        })
    }

    fn any_query(&mut self) -> String {
        match self.tape.below(12) {
            0 => format!("values ({}), ({})", self.expression(), self.expression()),
            1 => format!("table {}", self.tape.pick(TABLES)),
            2 => {
                let set = *self.tape.pick(&["union", "union all", "except", "intersect all"]);
                format!("{} {set} {}", self.scalar(), self.scalar())
            }
            3 => format!("with {}{} {}", self.recursive(), self.list(2, Self::common_table), self.body()),
            4 => format!("(({}) {})", self.query(), self.tail()),
            _ => self.select(),
        }
    }

    /// What a list of common table expressions stands in front of.
    fn body(&mut self) -> String {
        if self.tape.one_in(12) { self.write() } else { self.query() }
    }

    fn recursive(&mut self) -> &'static str {
        if self.tape.one_in(3) { "recursive " } else { "" }
    }

    fn common_table(&mut self) -> String {
        let name = self.name();
        let columns = self.maybe(4, |maker| format!("({})", maker.name()));
        let kept = *self.tape.pick(&["", "", "materialized", "not materialized"]);
        let inner = self.body();
        let extra = match self.tape.below(16) {
            0 => "search breadth first by x set o",
            1 => "search depth first by x set update",
            2 => "cycle x set c using p",
            3 => "cycle x set c to true default false using p",
            _ => "",
        };
        format!("{name} {columns} as {kept} ({inner}) {extra}")
    }

    fn select(&mut self) -> String {
        let distinct = match self.tape.below(10) {
            0 => "distinct".to_owned(),
            1 => format!("distinct on ({})", self.expression()),
            2 => "all".to_owned(),
            _ => String::new(),
        };
        let what = self.list(2, Self::item);
        let from = self.from();
        let rest = [
            self.maybe(4, |maker| format!("where {}", maker.condition())),
            self.maybe(8, |maker| format!("group by {}", maker.list(2, Self::grouping))),
            self.maybe(16, |maker| format!("having {}", maker.condition())),
            self.maybe(12, |maker| format!("window {} as ({})", maker.name(), maker.window())),
            self.tail(),
        ];
        format!("select {distinct} {what} {from} {}", rest.join(" "))
    }

    /// Mostly the table whose columns the expressions name.
    fn from(&mut self) -> String {
        match self.tape.below(8) {
            0 => String::new(),
            1 => format!("from {}", self.list(2, Self::source)),
            2 => format!("from item, {}", self.source()),
            3 => format!("from item cross join {}", self.source()),
            _ => "from item".to_owned(),
        }
    }

    /// A query of one column.
    pub(super) fn scalar(&mut self) -> String {
        self.down(
            |maker| format!("select {} {} {}", maker.expression(), maker.from(), maker.tail()),
            |maker| (*maker.tape.pick(&["select 1", "values (1)", "select 1 from item"])).to_owned(),
        )
    }

    fn item(&mut self) -> String {
        let value = self.expression();
        match self.tape.below(6) {
            0 => format!("{value} as {}", self.name()),
            1 => format!("{value} {}", self.name()),
            _ => value,
        }
    }

    fn source(&mut self) -> String {
        self.down(Self::any_source, |maker| (*maker.tape.pick(TABLES)).to_owned())
    }

    fn any_source(&mut self) -> String {
        match self.tape.below(14) {
            0 => format!(
                "({}) {} {}",
                self.query(),
                self.name(),
                self.maybe(3, |maker| format!("({})", maker.name()))
            ),
            1 => format!("lateral ({}) as {}", self.query(), self.name()),
            2 => format!("{} {}", self.called(), self.alias()),
            3 => format!("{} with ordinality {}", self.called(), self.alias()),
            4 => format!("rows from ({}, {}) {}", self.called(), self.called(), self.alias()),
            5 => format!("{} as {} (a int, b text)", self.called(), self.name()),
            6 => {
                let join = *self.tape.pick(&["cross join", "natural join", "natural left join"]);
                format!("{} {join} {}", self.source(), self.source())
            }
            7 => {
                let join = *self.tape.pick(&["join", "left join", "full outer join", "inner join"]);
                format!("{} {join} {} on ({})", self.source(), self.source(), self.condition())
            }
            8 => format!("(part join part_1 using (k) {}", self.tape.pick(&[")", "as update)", ") x"])),
            9 => format!(
                "item tablesample {}",
                self.tape.pick(&["system (10)", "bernoulli (1) repeatable (2)", "system (touch())"])
            ),
            10 => format!(
                "xmltable('/a' passing '<a/>' columns x int path '.', {} for ordinality)",
                self.name()
            ),
            11 => format!("lateral {} {}", self.called(), self.alias()),
            _ => format!("{} {}", self.tape.pick(TABLES), self.alias()),
        }
    }

    fn called(&mut self) -> String {
        if self.tape.one_in(8) { self.effect() } else { self.call() }
    }

    fn alias(&mut self) -> String {
        match self.tape.below(6) {
            0 => format!("as {} ({})", self.name(), self.list(2, Self::name)),
            1 => format!("{} ({})", self.name(), self.name()),
            2 => format!("as {}", self.name()),
            3 => self.name(),
            _ => String::new(),
        }
    }

    fn grouping(&mut self) -> String {
        match self.tape.below(8) {
            0 => format!("cube ({})", self.expression()),
            1 => format!("rollup ({}, {})", self.expression(), self.expression()),
            2 => format!("grouping sets (({}), cube (id), rollup (name), ())", self.expression()),
            3 => format!("all {}", self.expression()),
            _ => self.expression(),
        }
    }

    pub(super) fn window(&mut self) -> String {
        let frame = *self.tape.pick(&[
            "",
            "rows unbounded preceding",
            "range between 1 preceding and current row exclude ties",
        ]);
        format!("partition by {} order by {} {frame}", self.expression(), self.expression())
    }

    /// What stands behind a whole query.
    fn tail(&mut self) -> String {
        [
            self.maybe(6, |maker| {
                let how = *maker.tape.pick(&["", "desc nulls last", "using <", "asc"]);
                let ties = maker.maybe(8, |_| "fetch first row with ties".to_owned());
                format!("order by ({}) {how} {ties}", maker.expression())
            }),
            self.maybe(8, |maker| match maker.tape.below(4) {
                0 => format!("limit all offset {}", maker.expression()),
                1 => format!("fetch first ({}) rows only", maker.expression()),
                2 => "fetch next row only".to_owned(),
                _ => format!("limit {}", maker.expression()),
            }),
            self.maybe(24, |maker| {
                let lock = *maker.tape.pick(&["update", "share", "no key update", "key share"]);
                let how = *maker.tape.pick(&["", "of item", "nowait", "of item skip locked"]);
                format!("for {lock} {how}")
            }),
        ]
        .join(" ")
    }
}
