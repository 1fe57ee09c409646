//! Answers by text: the same statements come again and again.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foldhash::fast::RandomState;

use crate::{Analysis, Classification, Classifier};

/// How many sets of answers each thread keeps at hand; a power of two.
const SETS: usize = 512;

/// How many answers a set has: two texts whose hashes meet do not drive each other out.
const WAYS: usize = 2;

/// Longer texts are not kept at hand, so that a thread holds on to no more than it has to.
const LONGEST_AT_HAND: usize = 1024;

/// Longer texts are not kept: they are rarely the same twice, and reading one takes longer than finding it by little.
const LONGEST: usize = 8 * 1024;

/// Larger analyses are not kept: a text of the longest length can name thousands of tables.
const LARGEST: usize = 4 * 1024;

/// What an entry takes beside its text: itself, its counts, its place in a table.
const OVERHEAD: usize = size_of::<Entry>() + 48;

/// A [`Classifier`] that remembers its answers by text.
///
/// A text of up to 1 KiB that this thread asked for lately is found without a lock and without an allocation, any other that is
/// remembered without an allocation. Memory is bounded by [`capacity`](Self::with_capacity), and what
/// was not asked for lately is forgotten first. Texts of more than 8 KiB are classified each time. Each thread
/// also holds on to the last thousand answers that it gave to such texts, of all caches together, be they gone. An [`analyze`](Self::analyze)d text is remembered with
/// its analysis, which counts as memory too.
///
/// An answer depends on the classifier's settings and on what it knows about functions. When these change, [`renew`](Self::renew) the
/// cache: answers of before are not given any more.
///
/// ```
/// use millpond_sql::{Cache, Classifier, Dialect};
///
/// let cache = Cache::new(Classifier::new(Dialect::Postgres));
/// assert!(cache.classify("select 1").is_plain_read());
/// assert!(cache.classify("select 1").is_plain_read());
/// assert_eq!(cache.len(), 1);
/// ```
pub struct Cache {
    /// By which entries are known for those of this cache and of its present classifier. Changed under the lock.
    name: AtomicU64,
    hasher: RandomState,
    capacity: usize,
    /// What all threads know.
    shared: Mutex<Shared>,
}

struct Shared {
    classifier: Arc<Classifier>,
    answers: Generations,
}

/// A name that nothing else has.
fn new_name() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One answer.
#[derive(Debug)]
struct Entry {
    /// The name of the cache when it was made.
    owner: u64,
    hash: u64,
    text: Box<str>,
    classification: Classification,
    /// Made when it is first asked for, and set under the lock of the cache, which counts it.
    analysis: OnceLock<Arc<Analysis>>,
}

impl Entry {
    fn is_for(&self, owner: u64, hash: u64, sql: &str) -> bool {
        self.hash == hash && self.owner == owner && *self.text == *sql
    }

    /// What it takes in memory.
    fn size(&self) -> usize {
        self.text.len() + OVERHEAD + self.analysis.get().map_or(0, |analysis| analysis.size() + COUNTS)
    }
}

/// What an [`Arc`] takes beside its value.
const COUNTS: usize = 2 * size_of::<usize>();

thread_local! {
    /// The answers that this thread gave last, each in the set that its hash says, the newest first.
    static RECENT: RefCell<[[Option<Arc<Entry>>; WAYS]; SETS]> =
        const { RefCell::new([const { [const { None }; WAYS] }; SETS]) };
}

impl Cache {
    /// A cache of at most 4 MiB: some ten thousand statements.
    #[must_use]
    pub fn new(classifier: Classifier) -> Self {
        Self::with_capacity(classifier, 4 * 1024 * 1024)
    }

    /// A cache of at most `capacity` bytes, texts and what stands beside them.
    #[must_use]
    pub fn with_capacity(classifier: Classifier, capacity: usize) -> Self {
        let hasher = RandomState::default();
        let answers = Generations::new(hasher.clone());
        let shared = Mutex::new(Shared { classifier: Arc::new(classifier), answers });
        Self { name: AtomicU64::new(new_name()), hasher, capacity, shared }
    }

    /// Which classifier answers.
    #[must_use]
    pub fn classifier(&self) -> Arc<Classifier> {
        Arc::clone(&self.shared().classifier)
    }

    /// Has another classifier answer from now on: who asks behind this call gets no answer of the one before.
    pub fn renew(&self, classifier: Classifier) {
        let answers = Generations::new(self.hasher.clone());
        let new = Shared { classifier: Arc::new(classifier), answers };
        let mut shared = self.shared();
        let before = mem::replace(&mut *shared, new);
        self.name.store(new_name(), Ordering::Release);
        drop(shared);
        // There may be thousands of answers, for whose end nobody should wait.
        drop(before);
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the statements of `sql` do, as [`Classifier::classify`] does.
    #[must_use]
    pub fn classify(&self, sql: &str) -> Classification {
        if sql.len() > LONGEST {
            return self.classifier().classify(sql);
        }
        self.at_hand(sql, |entry| entry.classification)
    }

    /// Says all that `sql` shows, as [`Classifier::analyze`] does. It is worked out when it is first asked for, and shared
    /// from then on. A hit allocates nothing, and takes no lock where this thread asked for the text lately.
    ///
    /// ```
    /// use millpond_sql::{Cache, Classifier, Dialect};
    ///
    /// let cache = Cache::new(Classifier::new(Dialect::Postgres));
    /// let analysis = cache.analyze("select name from item");
    /// assert_eq!(analysis.tables().iter().map(|table| table.name()).collect::<Vec<_>>(), ["item"]);
    /// ```
    #[must_use]
    pub fn analyze(&self, sql: &str) -> Arc<Analysis> {
        if sql.len() > LONGEST {
            return Arc::new(self.classifier().analyze(sql));
        }
        let entry = self.at_hand(sql, Arc::clone);
        if let Some(analysis) = entry.analysis.get() {
            return Arc::clone(analysis);
        }
        // By another classifier than the entry's, perhaps: then nobody finds that any more.
        let analysis = Arc::new(self.classifier().analyze(sql));
        if analysis.size() > LARGEST {
            return analysis;
        }
        self.shared().answers.extend(&entry, analysis, self.capacity)
    }

    /// Takes an answer from the entry of a text, which is at hand from now on.
    #[inline(always)]
    fn at_hand<A>(&self, sql: &str, answer: impl Fn(&Arc<Entry>) -> A) -> A {
        let (name, hash) = (self.name.load(Ordering::Acquire), self.hasher.hash_one(sql));
        if sql.len() > LONGEST_AT_HAND {
            return answer(&self.entry(sql, hash));
        }
        let at_hand = RECENT.try_with(|recent| {
            let mut recent = recent.borrow_mut();
            #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
            let [first, second] = &mut recent[hash as usize % SETS];
            match (&*first, &*second) {
                (Some(entry), _) | (_, Some(entry)) if entry.is_for(name, hash, sql) => answer(entry),
                _ => {
                    *second = first.take();
                    answer(first.insert(self.entry(sql, hash)))
                }
            }
        });
        // A thread that is ending has nothing at hand.
        at_hand.unwrap_or_else(|_| answer(&self.entry(sql, hash)))
    }

    /// The entry that all threads share.
    #[cold]
    fn entry(&self, sql: &str, hash: u64) -> Arc<Entry> {
        loop {
            let mut shared = self.shared();
            if let Some(entry) = shared.answers.find(sql, self.capacity) {
                return entry;
            }
            let (classifier, owner) = (Arc::clone(&shared.classifier), self.name.load(Ordering::Relaxed));
            drop(shared);
            let classification = classifier.classify(sql);
            let (text, analysis) = (sql.into(), OnceLock::new());
            let entry = Arc::new(Entry { owner, hash, text, classification, analysis });
            shared = self.shared();
            // Another classifier may have come meanwhile.
            if self.name.load(Ordering::Relaxed) == owner {
                shared.answers.insert(Arc::clone(&entry), self.capacity);
                return entry;
            }
        }
    }

    /// How many texts are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let shared = self.shared();
        shared.answers.young.len() + shared.answers.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Texts may hold what nobody should read in a log.
        f.debug_struct("Cache")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Entries in two sets: what was asked for lately, and what was not. When the young ones fill their half, they become
/// the old ones, and what was old is forgotten.
#[derive(Debug)]
struct Generations {
    young: HashSet<ByText, RandomState>,
    old: HashSet<ByText, RandomState>,
    /// What the young ones take.
    bytes: usize,
}

impl Generations {
    fn new(hasher: RandomState) -> Self {
        let (young, old) = (HashSet::with_hasher(hasher.clone()), HashSet::with_hasher(hasher));
        Self { young, old, bytes: 0 }
    }

    fn find(&mut self, sql: &str, capacity: usize) -> Option<Arc<Entry>> {
        if let Some(ByText(entry)) = self.young.get(sql) {
            return Some(Arc::clone(entry));
        }
        let ByText(entry) = self.old.take(sql)?;
        self.insert(Arc::clone(&entry), capacity);
        Some(entry)
    }

    /// Gives an entry its analysis, or what another thread gave it meanwhile.
    fn extend(&mut self, entry: &Arc<Entry>, analysis: Arc<Analysis>, capacity: usize) -> Arc<Analysis> {
        // What it takes changes, so that it is counted anew, if it is still one of these.
        let is_it = |found: &ByText| Arc::ptr_eq(&found.0, entry);
        let is_young = self.young.get(&*entry.text).is_some_and(is_it);
        let is_old = !is_young && self.old.get(&*entry.text).is_some_and(is_it);
        if is_young {
            self.young.remove(&*entry.text);
            self.bytes -= entry.size();
        } else if is_old {
            self.old.remove(&*entry.text);
        }
        let analysis = Arc::clone(entry.analysis.get_or_init(|| analysis));
        if is_young || is_old {
            self.insert(Arc::clone(entry), capacity);
        }
        analysis
    }

    fn insert(&mut self, entry: Arc<Entry>, capacity: usize) {
        let size = entry.size();
        if size > capacity / 2 {
            return;
        }
        if self.bytes + size > capacity / 2 {
            self.old = mem::replace(&mut self.young, HashSet::with_hasher(self.old.hasher().clone()));
            self.bytes = 0;
        }
        if self.young.insert(ByText(entry)) {
            self.bytes += size;
        }
    }
}

/// An entry that is found by its text.
#[derive(Debug)]
struct ByText(Arc<Entry>);

impl Borrow<str> for ByText {
    fn borrow(&self) -> &str {
        &self.0.text
    }
}

impl Hash for ByText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl PartialEq for ByText {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for ByText {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    fn cache() -> Cache {
        Cache::new(Classifier::new(Dialect::Postgres))
    }

    #[test]
    fn the_answer_is_the_classifiers_at_first_and_later() {
        let cache = cache();
        for sql in ["select 1", "select nextval('s')", "begin", "", "select '"] {
            for _ in 0..3 {
                assert_eq!(cache.classify(sql), cache.classifier().classify(sql), "{sql}");
            }
        }
        assert_eq!(cache.len(), 5);
    }

    #[test]
    fn a_cache_never_gives_the_answer_of_another_one() {
        let sql = "select area(shape) from plot";
        let (strict, knowing) = (
            Cache::new(Classifier::new(Dialect::Postgres).deny_function("area")),
            Cache::new(Classifier::new(Dialect::Postgres).allow_function("area")),
        );
        for _ in 0..3 {
            assert!(!strict.classify(sql).is_plain_read());
            assert!(knowing.classify(sql).is_plain_read());
        }
    }

    #[test]
    fn behind_a_renewal_nobody_gets_an_answer_of_before() {
        let sql = "select area(shape) from plot";
        let with = |is_allowed| {
            let classifier = Classifier::new(Dialect::Postgres);
            if is_allowed { classifier.allow_function("area") } else { classifier.deny_function("area") }
        };
        let cache = Cache::new(with(false));
        for is_allowed in [true, false, true] {
            let before = cache.analyze(sql);
            cache.renew(with(is_allowed));
            assert!(cache.is_empty());
            let is_read = || cache.classify(sql).is_plain_read();
            let reads = std::thread::scope(|scope| [is_read(), scope.spawn(is_read).join().unwrap()]);
            assert_eq!(reads, [is_allowed; 2]);
            let after = cache.analyze(sql);
            assert_eq!(after.classification(), cache.classify(sql));
            assert_ne!(after.classification(), before.classification());
        }
    }

    #[test]
    fn another_thread_finds_what_is_shared() {
        let cache = cache();
        let first = cache.classify("select 1");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| cache.classify("select 1"));
            assert_eq!(other.join().ok(), Some(first));
        });
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_use_stays() {
        let capacity = 100 * (OVERHEAD + 20);
        let cache = Cache::with_capacity(Classifier::new(Dialect::Postgres), capacity);
        let held = |cache: &Cache| {
            let shared = &cache.shared.lock().unwrap().answers;
            let all = shared.young.iter().chain(&shared.old);
            all.map(|ByText(entry)| entry.size()).sum::<usize>()
        };
        for i in 0..10_000 {
            let _ = cache.entry(&format!("select {i}"), 0);
            let _ = cache.entry("select 'in use'", 0);
            assert!(held(&cache) <= capacity);
        }
        assert!(cache.len() > 40, "{}", cache.len());
        let shared = &cache.shared.lock().unwrap().answers;
        assert!(shared.young.contains("select 'in use'") || shared.old.contains("select 'in use'"));
    }

    #[test]
    fn an_analysis_is_the_classifiers_and_is_made_once() {
        let cache = cache();
        for sql in ["select * from t", "delete from t; select 1", "", "select '"] {
            let first = cache.analyze(sql);
            assert_eq!(*first, cache.classifier().analyze(sql), "{sql}");
            assert_eq!(first.classification(), cache.classify(sql), "{sql}");
            assert!(Arc::ptr_eq(&first, &cache.analyze(sql)), "{sql}");
            std::thread::scope(|scope| {
                let other = scope.spawn(|| cache.analyze(sql));
                assert!(other.join().is_ok_and(|other| Arc::ptr_eq(&first, &other)), "{sql}");
            });
        }
    }

    #[test]
    fn analyses_count_as_memory() {
        let capacity = 200 * (OVERHEAD + 20);
        let cache = Cache::with_capacity(Classifier::new(Dialect::Postgres), capacity);
        for i in 0..5_000 {
            let sql = format!("select * from item{i}, b, c, d");
            let _ = cache.classify(&sql);
            // Some get theirs when they have become old, some when they are forgotten.
            let _ = cache.analyze(&format!("select * from item{}, b, c, d", i - i % 50));
            let shared = &cache.shared.lock().unwrap().answers;
            let all = shared.young.iter().chain(&shared.old);
            let held = all.map(|ByText(entry)| entry.size()).sum::<usize>();
            let young = shared.young.iter().map(|ByText(entry)| entry.size()).sum::<usize>();
            assert!(held <= capacity, "{held} of {capacity}");
            assert_eq!(young, shared.bytes);
        }
        let with = |set: &HashSet<ByText, RandomState>| {
            set.iter().filter(|ByText(entry)| entry.analysis.get().is_some()).count()
        };
        let shared = &cache.shared.lock().unwrap().answers;
        assert!(with(&shared.young) + with(&shared.old) > 0);
    }

    #[test]
    fn a_large_analysis_is_given_and_not_kept() {
        let names: Vec<_> = (0..1_000).map(|i| format!("t{i}")).collect();
        let sql = format!("select * from {}", names.join(","));
        assert!(sql.len() < LONGEST);
        let cache = cache();
        assert_eq!(cache.analyze(&sql).tables().len(), 1_000);
        assert!(!Arc::ptr_eq(&cache.analyze(&sql), &cache.analyze(&sql)));
    }

    #[test]
    fn a_long_text_and_one_that_does_not_fit_are_answered_and_not_kept() {
        let cache = Cache::with_capacity(Classifier::new(Dialect::Postgres), 64);
        assert!(cache.classify("select 1").is_plain_read());
        assert!(cache.classify(&format!("select '{}'", "x".repeat(LONGEST))).is_plain_read());
        assert!(cache.is_empty());
    }
}
