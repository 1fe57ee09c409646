//! Interleaved repeats: each round gives every system its turn, so that what the machine does to one it does to all.

use anyhow::{Context, Result};

use crate::figures::{Figure, Reading, figures_of};

/// A system that takes turns on a bed: whatever it needs for its work.
#[derive(Clone, Copy, Debug)]
pub struct Contender<B> {
    /// Its name, as figures have it.
    pub name: &'static str,
    /// One run: connects, works, closes. Only one system is alive at a time.
    pub turn: fn(&B) -> Result<Vec<Reading>>,
}

/// All runs of one system in one scenario.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Its name.
    pub system: &'static str,
    /// What each round gave.
    pub runs: Vec<Vec<Reading>>,
}

/// One scenario, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its name.
    pub scenario: String,
    /// Each system's runs.
    pub systems: Vec<Runs>,
}

impl Measured {
    /// Its figures.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        self.systems
            .iter()
            .flat_map(|system| figures_of(&self.scenario, system.system, &system.runs))
            .collect()
    }

    /// The runs of a system, if it took part.
    #[must_use]
    pub fn runs_of(&self, system: &str) -> Option<&[Vec<Reading>]> {
        self.systems.iter().find(|runs| runs.system == system).map(|runs| runs.runs.as_slice())
    }
}

/// Runs a scenario round by round, with a progress line each. Each round begins with another system, so that nobody
/// always comes after the same one.
///
/// # Errors
///
/// The first turn that fails ends it.
pub fn interleave<B>(scenario: String, bed: &B, systems: &[Contender<B>], rounds: usize) -> Result<Measured> {
    let empty = |contender: &Contender<B>| Runs { system: contender.name, runs: Vec::new() };
    let mut measured: Vec<_> = systems.iter().map(empty).collect();
    for round in 0..rounds {
        eprintln!("{scenario}: round {} of {rounds}", round + 1);
        for place in 0..systems.len() {
            let index = (round + place) % systems.len();
            let Contender { name, turn } = &systems[index];
            let readings = turn(bed).with_context(|| format!("{scenario}: {name}"))?;
            measured[index].runs.push(readings);
        }
    }
    Ok(Measured { scenario, systems: measured })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    type Bed = RefCell<Vec<&'static str>>;

    fn turn(bed: &Bed, name: &'static str) -> Result<Vec<Reading>> {
        bed.borrow_mut().push(name);
        let value = bed.borrow().len() as f64;
        Ok(vec![Reading { metric: "turn", unit: "1", value }])
    }

    #[test]
    fn systems_take_turns_and_keep_their_own_readings() {
        let bed = Bed::default();
        let (a, b) = (|bed: &Bed| turn(bed, "a"), |bed: &Bed| turn(bed, "b"));
        let systems = [Contender { name: "a", turn: a }, Contender { name: "b", turn: b }];
        let measured = interleave("s".to_owned(), &bed, &systems, 3).unwrap();
        assert_eq!(*bed.borrow(), ["a", "b", "b", "a", "a", "b"]);
        let medians: Vec<_> = measured.figures().into_iter().map(|figure| figure.median).collect();
        assert_eq!(medians, [4.0, 3.0]);
        assert_eq!(measured.runs_of("b").unwrap().len(), 3);
        assert!(measured.runs_of("c").is_none());
    }
}
