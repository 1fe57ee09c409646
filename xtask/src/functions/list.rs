//! The list as a file: what each version of the server says of each name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

/// A major version.
type Major = u32;

/// What a server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) version: String,
    major: Major,
    /// Whether every function of a name only reads.
    names: BTreeMap<String, Kind>,
}

/// What a version says of all functions of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Immutable or stable.
    Reads,
    /// One is volatile.
    Volatile,
}

/// What is known of each name, by version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// The whole version of each major one.
    versions: BTreeMap<Major, String>,
    names: BTreeMap<String, Origin>,
}

/// The versions that have a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Origin {
    reads: BTreeSet<Major>,
    volatile: BTreeSet<Major>,
}

impl Answer {
    /// The version, then `NAME VOLATILITY` a line.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        // What Debian adds to it stands behind a blank.
        let version = lines.next().and_then(|line| line.split_whitespace().next()).context("it is empty")?;
        let mut names = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let kind = match line.split_once(' ') {
                Some((_, "i" | "s")) => Kind::Reads,
                Some((_, "v")) => Kind::Volatile,
                _ => bail!("not `name volatility`: {line:?}"),
            };
            let (name, _) = line.split_once(' ').unwrap_or_default();
            let known = names.entry(name.to_owned()).or_insert(kind);
            if kind == Kind::Volatile {
                *known = kind;
            }
        }
        if names.is_empty() {
            bail!("it names no functions");
        }
        Ok(Self { major: major(version)?, version: version.to_owned(), names })
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }
}

/// How the lines of the file begin that are read again.
const VERSIONS: &str = "//! Versions: ";
const READS: &str = "pub(super) const READS:";
const VOLATILE: &str = "pub(super) const VOLATILE:";
/// What stands between the versions where a function is volatile and those where none is.
const BUT_READS: &str = ", reads ";

impl List {
    /// Reads what [`List::text`] wrote.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let versions = text.lines().find_map(|line| line.strip_prefix(VERSIONS));
        let versions = versions.with_context(|| format!("no line begins with `{VERSIONS}`"))?;
        let versions = versions.split(' ').map(|version| Ok((major(version)?, version.to_owned())));
        let versions: BTreeMap<_, _> = versions.collect::<Result<_>>()?;
        let all: BTreeSet<_> = versions.keys().copied().collect();
        let mut names = BTreeMap::new();
        for (start, kind) in [(READS, Kind::Reads), (VOLATILE, Kind::Volatile)] {
            let mut lines = text.lines().skip_while(|line| !line.starts_with(start));
            lines.next().with_context(|| format!("no line begins with `{start}`"))?;
            for line in lines.take_while(|line| *line != "];") {
                let (name, origin) =
                    row(line, kind, &all).with_context(|| format!("no row of the list: {line}"))?;
                names.insert(name, origin);
            }
        }
        Ok(Self { versions, names })
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        let versions: Vec<_> = self.versions.values().map(String::as_str).collect();
        let mut text = format!(
            "//! PostgreSQL's functions that every version calls immutable or stable.\n\
             //!\n\
             //! Made by `cargo xtask functions` from the catalogs of the versions below, one after another; not to be edited. Behind a\n\
             //! name stand the versions that have it, where not all do.\n\
             //!\n\
             {VERSIONS}{}\n",
            versions.join(" ")
        );
        let mut list = |head: &str, names: &mut dyn Iterator<Item = &str>| {
            text.push_str(head);
            for name in names {
                let note = self.names[name].note(&self.versions);
                // Writing to a String cannot fail.
                let _ = writeln!(text, "    {name:?},{note}");
            }
            text.push_str("];\n");
        };
        list(&format!("\n#[rustfmt::skip]\n{READS} &[&str] = &[\n"), &mut self.reads());
        let what = "/// Names of which some version has a volatile function, so that they are not on the list: each was reviewed.";
        list(
            &format!("\n{what}\n#[cfg(test)]\n#[rustfmt::skip]\n{VOLATILE} &[&str] = &[\n"),
            &mut self.volatile(),
        );
        text
    }

    /// Takes in what a server says of its version, and forgets what was known of that version.
    pub(super) fn merge(&mut self, answer: &Answer) {
        for origin in self.names.values_mut() {
            origin.reads.remove(&answer.major);
            origin.volatile.remove(&answer.major);
        }
        for (name, kind) in &answer.names {
            let origin = self.names.entry(name.clone()).or_default();
            match kind {
                Kind::Reads => origin.reads.insert(answer.major),
                Kind::Volatile => origin.volatile.insert(answer.major),
            };
        }
        self.names.retain(|_, origin| !origin.reads.is_empty() || !origin.volatile.is_empty());
        self.versions.insert(answer.major, answer.version.clone());
    }

    /// The names that are on the list.
    pub(super) fn reads(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|(_, origin)| origin.volatile.is_empty()).map(|(name, _)| name.as_str())
    }

    /// The names that are not, since some version has a volatile function of that name.
    pub(super) fn volatile(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|(_, origin)| !origin.volatile.is_empty()).map(|(name, _)| name.as_str())
    }

    /// What the versions say of a name.
    pub(super) fn origin(&self, name: &str) -> String {
        self.names.get(name).map_or_else(|| "in no version".to_owned(), Origin::told)
    }

    /// Whether a server of this version was ever asked.
    pub(super) fn knows(&self, answer: &Answer) -> bool {
        self.versions.contains_key(&answer.major)
    }

    /// What a later list says otherwise, a line for each name. A later minor version is no change, nor is a new major one that
    /// says of a name what the others say.
    pub(super) fn changes(&self, later: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.names.keys().chain(later.names.keys()).collect();
        let is_known = |major: &Major| self.versions.contains_key(major);
        let changed =
            names.into_iter().filter(|name| match (self.names.get(*name), later.names.get(*name)) {
                (Some(before), Some(now)) => {
                    let without = now.only(is_known);
                    *before != without || now.is_mixed() != before.is_mixed()
                }
                _ => true,
            });
        let line =
            |name: &String| format!("{name}: {} in the list, {} now", self.origin(name), later.origin(name));
        changed.map(line).collect()
    }
}

impl Origin {
    /// What these versions say.
    fn only(&self, is_meant: impl Fn(&Major) -> bool) -> Self {
        let only = |majors: &BTreeSet<Major>| majors.iter().copied().filter(&is_meant).collect();
        Self { reads: only(&self.reads), volatile: only(&self.volatile) }
    }

    /// Whether the versions differ.
    fn is_mixed(&self) -> bool {
        !self.reads.is_empty() && !self.volatile.is_empty()
    }

    /// What stands behind a name in the file.
    fn note(&self, versions: &BTreeMap<Major, String>) -> String {
        let is_all = |majors: &BTreeSet<Major>| majors.iter().eq(versions.keys());
        match (self.volatile.is_empty(), self.reads.is_empty()) {
            (true, _) if is_all(&self.reads) => String::new(),
            (true, _) => format!(" // {}", shown(&self.reads)),
            (false, true) if is_all(&self.volatile) => String::new(),
            (false, true) => format!(" // {}", shown(&self.volatile)),
            (false, false) => format!(" // {}{BUT_READS}{}", shown(&self.volatile), shown(&self.reads)),
        }
    }

    fn told(&self) -> String {
        let one = |what: &str, majors: &BTreeSet<Major>| {
            (!majors.is_empty()).then(|| format!("{what} in {}", shown(majors)))
        };
        let parts = [one("volatile", &self.volatile), one("reads", &self.reads)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A row of the file. Without a note it is of all versions.
fn row(line: &str, kind: Kind, all: &BTreeSet<Major>) -> Option<(String, Origin)> {
    let (name, rest) = line.trim_start().strip_prefix('"')?.split_once("\",")?;
    let majors =
        |text: &str| text.split(' ').map(|major| major.parse().ok()).collect::<Option<BTreeSet<_>>>();
    let (first, but_reads) = match rest.strip_prefix(" // ") {
        None => (all.clone(), BTreeSet::new()),
        Some(note) => match note.split_once(BUT_READS) {
            Some((first, reads)) => (majors(first)?, majors(reads)?),
            None => (majors(note)?, BTreeSet::new()),
        },
    };
    let origin = match kind {
        Kind::Reads => Origin { reads: first, volatile: BTreeSet::new() },
        Kind::Volatile => Origin { reads: but_reads, volatile: first },
    };
    Some((name.to_owned(), origin))
}

fn shown(majors: &BTreeSet<Major>) -> String {
    majors.iter().map(Major::to_string).collect::<Vec<_>>().join(" ")
}

fn major(version: &str) -> Result<Major> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("no version of PostgreSQL: {version:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(version: &str, names: &str) -> Answer {
        let lines: Vec<_> = names.split(", ").collect();
        Answer::parse(&format!("{version} (Debian {version}-0)\n{}\n", lines.join("\n"))).unwrap()
    }

    fn list(answers: &[Answer]) -> List {
        let mut list = List::default();
        answers.iter().for_each(|answer| list.merge(answer));
        list
    }

    fn two() -> [Answer; 2] {
        let old = "abs i, age s, clock v, timezone i, timezone v, gone i, random v";
        [answer("14.23", old), answer("18.4", "abs i, age s, age i, clock v, timezone s, uuidv7 v, crc32 i")]
    }

    #[test]
    fn a_name_is_on_the_list_when_no_version_has_a_volatile_function_of_it() {
        let list = list(&two());
        assert_eq!(list.reads().collect::<Vec<_>>(), ["abs", "age", "crc32", "gone"]);
        assert_eq!(list.volatile().collect::<Vec<_>>(), ["clock", "random", "timezone", "uuidv7"]);
        assert_eq!(list.origin("timezone"), "volatile in 14, reads in 18");
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_says_who_has_a_name() {
        let list = list(&two());
        let text = list.text();
        assert_eq!(List::parse(&text).unwrap(), list);
        let rows = [
            "\n    \"abs\",\n",
            "\"crc32\", // 18\n",
            "\"gone\", // 14\n",
            "\"clock\",\n",
            "\"timezone\", // 14, reads 18\n",
        ];
        for row in rows {
            assert!(text.contains(row), "{row} in {text}");
        }
        assert!(text.contains("//! Versions: 14.23 18.4\n"), "{text}");
        assert!(List::parse(&text.replace("// 18", "// eighteen")).is_err());
    }

    #[test]
    fn the_order_of_the_servers_does_not_matter_and_asking_again_changes_nothing() {
        let [old, new] = two();
        let once = list(&two());
        assert_eq!(list(&[new, old]), once);
        let mut again = once.clone();
        two().iter().for_each(|answer| again.merge(answer));
        assert_eq!(again.text(), once.text());
    }

    #[test]
    fn what_other_versions_have_stays_and_a_function_that_turns_volatile_leaves_the_list() {
        let before = list(&two());
        let mut after = before.clone();
        after.merge(&answer("18.5", "abs i, age v, clock v, timezone s, uuidv7 v, new s"));
        assert_eq!(after.reads().collect::<Vec<_>>(), ["abs", "gone", "new"]);
        let changes = [
            "age: reads in 14 18 in the list, volatile in 18, reads in 14 now",
            "crc32: reads in 18 in the list, in no version now",
            "new: in no version in the list, reads in 18 now",
        ];
        assert_eq!(before.changes(&after), changes);
    }

    #[test]
    fn a_later_minor_version_with_the_same_functions_is_no_change() {
        let [old, new] = two();
        let mut after = list(&[old, new]);
        let before = after.clone();
        let same = "abs i, age s, clock v, timezone s, uuidv7 v, crc32 i";
        after.merge(&answer("18.9", same));
        assert_eq!(before.changes(&after), [""; 0]);
        assert!(after.text().contains("//! Versions: 14.23 18.9\n"));
    }

    #[test]
    fn a_new_version_changes_what_it_adds_and_what_it_contradicts() {
        let before = list(&two());
        let new = answer("19.0", "abs i, age v, clock v, timezone s, newer i");
        let mut after = before.clone();
        after.merge(&new);
        let changes = [
            "age: reads in 14 18 in the list, volatile in 19, reads in 14 18 now",
            "newer: in no version in the list, reads in 19 now",
        ];
        assert_eq!(before.changes(&after), changes);
        assert!(!before.knows(&new) && after.knows(&new));
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        for text in ["", "15.18\n", "15.18\nabs x\n", "15.18\nabs\n", "fifteen\nabs i\n"] {
            assert!(Answer::parse(text).is_err(), "{text:?}");
        }
    }
}
