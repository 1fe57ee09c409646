//! The fuzzers' functions driven for some seconds by a plain mutator: what runs without libFuzzer.

use std::time::{Duration, Instant};
use std::{env, thread};

use fastrand::Rng;

use crate::seeds::WORDS;

/// How long one test runs, and the seed of its mutator.
const SECONDS: &str = "MILLPOND_FUZZ_SECONDS";
const SEED: &str = "MILLPOND_FUZZ_SEED";

/// Runs `check` on the seeds as they are, and then on what `next` makes until the time is over.
///
/// The seed of the random numbers is printed and can be given again. An input that fails is printed too, and fails by
/// itself.
pub fn run(name: &str, seeds: &[String], next: impl Fn(&mut Rng) -> Vec<u8>, check: impl Fn(&[u8])) {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    let limit = Duration::from_secs(number(SECONDS).unwrap_or(5));
    println!("{name}: {SEED}={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut runs = 0_u64;
    let start = Instant::now();
    let mut inputs = seeds.iter().map(|sql| sql.clone().into_bytes());
    while runs == 0 || start.elapsed() < limit {
        let input = inputs.next().unwrap_or_else(|| next(&mut rng));
        let shown = Shown(&input);
        check(&input);
        drop(shown);
        runs += 1;
    }
    println!("{name}: {runs} runs in {:.1} s", start.elapsed().as_secs_f32());
}

/// Prints the input when the check of it panics.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the input: \"{}\"", self.0.escape_ascii());
        }
    }
}

/// A seed with some bytes cut out, doubled, swapped or replaced by words, or with the end of another seed.
#[must_use]
pub fn mutated(seeds: &[String], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = any(seeds, rng).into_bytes();
    for _ in 0..rng.usize(1..6) {
        let (from, to) = cut(bytes.len(), rng);
        match rng.u8(..7) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.extend_from_within(from..to),
            2 => bytes.splice(from..from, any(WORDS, rng).bytes()).for_each(drop),
            3 => bytes.splice(from..to, any(WORDS, rng).bytes()).for_each(drop),
            4 => {
                let other = any(seeds, rng).into_bytes();
                bytes.truncate(from);
                bytes.extend_from_slice(&other[cut(other.len(), rng).0..]);
            }
            5 => bytes[from..to].reverse(),
            _ => bytes.insert(from, rng.u8(..)),
        }
    }
    bytes
}

fn any<T: ToString>(list: &[T], rng: &mut Rng) -> String {
    rng.choice(list).map(T::to_string).unwrap_or_default()
}

/// A range of at most 16 bytes.
fn cut(length: usize, rng: &mut Rng) -> (usize, usize) {
    let from = rng.usize(..=length);
    (from, (from + rng.usize(..=16)).min(length))
}
