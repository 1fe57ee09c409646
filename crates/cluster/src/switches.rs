//! What an operator sends to the primary while everything runs.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use millpond_sql::{Analysis, Digest};
use tokio::time::{Instant, sleep_until};

use crate::cluster::Shared;
use crate::told::Told;
use crate::{Backend, Cluster, Event, Mode};

/// The switches for incidents: the mode, and statements and tables whose reads go to the primary. All are in force from the next statement on.
///
/// As text, for a file or the environment, a line or semicolon for each: `route`, `primary-only` or `shadow`; `digest` with the sixteen digits
/// that events, spans and `Db::analyze` name a statement by; `table` with a name, or a schema, a point and a name, as the server keeps them. Behind `#`
/// stands what is not read.
///
/// ```
/// # use millpond_cluster::{Mode, Switches};
/// let switches: Switches = "shadow; table shop.cart # until the index is there\n digest 00c0ffee00c0ffee".parse()?;
/// assert_eq!(switches.mode, Mode::Shadow);
/// assert_eq!(switches.to_string(), "shadow; digest 00c0ffee00c0ffee; table shop.cart");
/// # Ok::<(), millpond_cluster::ParseSwitchesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Switches {
    /// The mode.
    pub mode: Mode,
    digests: BTreeSet<u64>,
    /// The schema may be missing: then it is any.
    tables: BTreeSet<(Option<Box<str>>, Box<str>)>,
}

impl Switches {
    /// None but this mode.
    #[must_use]
    pub fn mode(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Reads of this statement too.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digests.insert(digest.value());
        self
    }

    /// Reads of this table too, and all of which the text does not show what they read.
    #[must_use]
    pub fn table(mut self, schema: Option<&str>, name: &str) -> Self {
        self.tables.insert((schema.map(Into::into), name.into()));
        self
    }

    pub(crate) fn names_statements(&self) -> bool {
        !self.digests.is_empty() || !self.tables.is_empty()
    }

    fn names_the_same(&self, other: &Self) -> bool {
        (&self.digests, &self.tables) == (&other.digests, &other.tables)
    }

    fn names(&self, analysis: &Analysis) -> bool {
        self.digests.contains(&analysis.digest().value())
            || self.tables.iter().any(|(schema, name)| analysis.tables().may_name(schema.as_deref(), name))
    }
}

/// A line that is no switch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no switch: there are route, primary-only, shadow, digest and table, the last two with what they mean"
)]
pub struct ParseSwitchesError(String);

impl FromStr for Switches {
    type Err = ParseSwitchesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).map(|(switches, _)| switches)
    }
}

impl Switches {
    /// What a text says, and whether the mode is a part of that.
    fn read(text: &str) -> Result<(Self, bool), ParseSwitchesError> {
        let (mut switches, mut has_mode) = (Self::default(), false);
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        for switch in
            lines.flat_map(|line| line.split(';')).map(str::trim).filter(|switch| !switch.is_empty())
        {
            let unknown = || ParseSwitchesError(switch.to_owned());
            let words: Vec<_> = switch.split_ascii_whitespace().collect();
            has_mode |= matches!(words[..], ["route" | "primary-only" | "shadow"]);
            switches = match words[..] {
                ["route"] => Self { mode: Mode::Route, ..switches },
                ["primary-only"] => Self { mode: Mode::PrimaryOnly, ..switches },
                ["shadow"] => Self { mode: Mode::Shadow, ..switches },
                ["digest", digest] => switches.digest(digest.parse().map_err(|_| unknown())?),
                ["table", name] => match name.split_once('.') {
                    Some((schema, name)) => switches.table(Some(schema), name),
                    None => switches.table(None, name),
                },
                _ => return Err(unknown()),
            };
        }
        Ok((switches, has_mode))
    }
}

impl fmt::Display for Switches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mode)?;
        for digest in &self.digests {
            write!(f, "; digest {digest:016x}")?;
        }
        for (schema, name) in &self.tables {
            match schema {
                Some(schema) => write!(f, "; table {schema}.{name}")?,
                None => write!(f, "; table {name}")?,
            }
        }
        Ok(())
    }
}

/// The switches in force that name statements.
pub(crate) struct Board {
    named: ArcSwap<Option<Switches>>,
    /// So that none is looked at before the first was set.
    was_used: AtomicBool,
}

impl Board {
    pub(crate) fn new(switches: &Switches) -> Self {
        let named = Self::named_in(switches);
        Self { was_used: AtomicBool::new(named.is_some()), named: ArcSwap::from_pointee(named) }
    }

    /// Whether a read is sent to the primary.
    #[inline(always)]
    pub(crate) fn names(&self, analysis: impl FnOnce() -> Arc<Analysis>) -> bool {
        self.was_used.load(Ordering::Acquire) && self.has_named(analysis)
    }

    #[cold]
    fn has_named(&self, analysis: impl FnOnce() -> Arc<Analysis>) -> bool {
        self.named.load().as_ref().as_ref().is_some_and(|switches| switches.names(&analysis()))
    }

    fn get(&self) -> Option<Switches> {
        Option::clone(&self.named.load())
    }

    /// Gives those that were in force before.
    fn set(&self, switches: &Switches) -> Option<Switches> {
        let before = self.named.swap(Arc::new(Self::named_in(switches)));
        self.was_used.store(true, Ordering::Release);
        Option::clone(&before)
    }

    fn named_in(switches: &Switches) -> Option<Switches> {
        Some(switches.clone()).filter(Switches::names_statements)
    }
}

impl<B: Backend> Cluster<B> {
    /// The switches in force.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.shared.switches()
    }

    /// Sets all switches, from the next statement on. Those of a [watched file](Self::watch_switches) are set again when it changes.
    pub fn set_switches(&self, switches: &Switches) {
        self.shared.set_switches(switches);
    }

    /// Reads the switches from a file, before it returns and whenever it changes, within half a second. A mode that it says is in force then, and
    /// statements and tables that it names are, and no others. What it says nothing of stays as it is; when it says something no more, or
    /// is gone, what was in force before it is again, unless somebody has set another since. With one that cannot be read the last ones stay in
    /// force, and an event says why; where there are none, at the start, it counts as `primary-only`. A change counts when it was read twice, so
    /// that nobody sees a file that is half written. Call it inside a runtime.
    pub fn watch_switches(&self, file: PathBuf) {
        let shared = Arc::clone(&self.shared);
        let mut watched = Watched::new(file);
        if !watched.file.exists() {
            // It mostly comes when it is needed; where its name is not the right one, that shows here.
            tracing::info!(target: "millpond", file = %watched.file.display(), "no file of switches yet");
        }
        watched.take(&shared, read(&watched.file));
        if !watched.told.is_over() {
            // Whoever wrote it meant something, which nobody knows.
            watched.mode_before = Some(shared.mode.get());
            shared.set_mode(Mode::PrimaryOnly);
            watched.switchings = shared.switchings.load(Ordering::Relaxed);
        }
        self.keep(watch(shared, watched));
    }
}

impl<B: Backend> Shared<B> {
    pub(crate) fn switches(&self) -> Switches {
        Switches { mode: self.mode.get(), ..self.board.get().unwrap_or_default() }
    }

    fn set_switches(&self, switches: &Switches) {
        self.set_mode(switches.mode);
        let before = self.board.set(switches);
        if !before.unwrap_or_default().names_the_same(switches) {
            self.tell(&Event::SwitchesChanged { switches: switches.to_string().into() });
        }
    }
}

/// How often a file is looked at.
const OFTEN: Duration = Duration::from_millis(200);

/// What is in a file; nothing in one that is not there.
type Text = Result<String, String>;

/// A file of switches.
struct Watched {
    file: Arc<Path>,
    /// What it held when it was looked at last.
    seen: Text,
    /// What was taken from it last; nothing, where it could not be read since.
    taken: Option<String>,
    /// The mode from before it said one, and how often switches had been set when it was said: who sets some since means the mode, too.
    mode_before: Option<Mode>,
    switchings: u64,
    /// The statements and tables from before it named some, and those that it named last.
    named_before: Option<Switches>,
    named: Switches,
    told: Told,
}

impl Watched {
    fn new(file: PathBuf) -> Self {
        Self {
            file: file.into(),
            seen: Ok(String::new()),
            taken: Some(String::new()),
            mode_before: None,
            switchings: 0,
            named_before: None,
            named: Switches::default(),
            told: Told::default(),
        }
    }

    fn take<B: Backend>(&mut self, shared: &Shared<B>, text: Text) {
        if self.seen == text {
            return;
        }
        let mut trouble = None;
        let said = text.as_ref().map_err(Clone::clone).and_then(|text| {
            let said = Switches::read(text).map_err(|error| error.to_string())?;
            Ok((text, said))
        });
        match said {
            Ok((text, said)) if self.taken.as_deref() != Some(text) => {
                self.switch(shared, said);
                self.taken = Some(text.clone());
            }
            Ok(_) => {}
            Err(why) => {
                if text.is_ok() {
                    // Whoever corrects it means what it says then.
                    self.taken = None;
                }
                trouble = Some(why);
            }
        }
        let named = |why| format!("{}: {why}", self.file.display());
        let trouble = trouble.map(|why| Event::SwitchesUnreadable { cause: named(why).into() });
        self.told.is(shared, trouble);
        self.seen = text;
    }

    fn switch<B: Backend>(&mut self, shared: &Shared<B>, (said, has_mode): (Switches, bool)) {
        let now = shared.switches();
        if shared.switchings.load(Ordering::Relaxed) != self.switchings {
            self.mode_before = None;
        }
        let mode = if has_mode {
            self.mode_before.get_or_insert(now.mode);
            said.mode
        } else {
            self.mode_before.take().unwrap_or(now.mode)
        };
        let named = if said.names_statements() {
            self.named_before.get_or_insert(now);
            said
        } else {
            let is_its_own = now.names_the_same(&self.named);
            self.named_before.take().filter(|_| is_its_own).unwrap_or(now)
        };
        self.named = Switches { mode, ..named };
        shared.set_switches(&self.named);
        self.switchings = shared.switchings.load(Ordering::Relaxed);
    }
}

fn read(file: &Path) -> Text {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|error| error.to_string()),
    }
}

async fn watch<B: Backend>(shared: Arc<Shared<B>>, mut watched: Watched) {
    let mut last = watched.seen.clone();
    loop {
        let next = Instant::now() + OFTEN;
        let file = Arc::clone(&watched.file);
        let text = tokio::task::spawn_blocking(move || read(&file)).await;
        let text = text.unwrap_or_else(|error| Err(error.to_string()));
        if text == last {
            watched.take(&shared, text);
        } else {
            last = text;
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_which_switches_there_are() {
        let switches: Switches =
            "# none so far\nprimary-only;table a;table s.b\n\tdigest 0123456789abcdef # slow\n"
                .parse()
                .unwrap();
        let digest = "0123456789abcdef".parse().unwrap();
        let expected =
            Switches::mode(Mode::PrimaryOnly).table(None, "a").table(Some("s"), "b").digest(digest);
        assert_eq!(switches, expected);
        assert_eq!(switches.to_string().parse(), Ok(switches));
        assert_eq!("".parse(), Ok(Switches::default()));
        assert_eq!("shadow; route".parse(), Ok(Switches::default()), "the last one stands");
    }

    #[test]
    fn what_is_no_switch_is_named() {
        for text in ["primary", "route now", "digest 12", "digest", "table", "table a b", "route\nonwards"] {
            let error = text.parse::<Switches>().unwrap_err().to_string();
            assert!(
                error.contains(text.lines().last().unwrap()) && error.contains("primary-only"),
                "{error}"
            );
        }
    }
}
