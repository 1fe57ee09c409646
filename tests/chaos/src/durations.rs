//! How long it takes until failures are over, beside what is aimed at.

use std::fmt;
use std::time::Duration;

use millpond::Role;
use millpond_benches::figures::{Check, Figure};
use millpond_benches::spread::{Spread, percentile};

use crate::sends::{Call, End};

/// A failure whose end is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a note, which tests make too")]
pub struct Outage {
    /// The node, by the port of its relay.
    pub port: u16,
    /// When it began.
    pub from: Duration,
    /// Until when something could still be sent there in vain: when the killed node was gone, or the frozen one went on.
    pub until: Duration,
}

/// What became of the reads that were on their way to a node when it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a note")]
pub struct Rescued {
    /// How long after the failure others answered them, or after they were sent, if that was later.
    pub after: Vec<Duration>,
    /// How many nobody answered.
    pub unanswered: usize,
}

impl Rescued {
    /// Adds those of one outage.
    pub fn add(&mut self, calls: &[Call], outage: Outage) {
        for call in calls {
            match rescue(call, outage) {
                Some(Some(after)) => self.after.push(after),
                Some(None) => self.unanswered += 1,
                None => {}
            }
        }
    }
}

/// What became of one statement, if it is a read that the failed node left without an answer.
fn rescue(call: &Call, outage: Outage) -> Option<Option<Duration>> {
    let is_there = |send: &crate::sends::Send| send.port == outage.port && send.at <= outage.until;
    let place = call.sends.iter().rposition(is_there)?;
    let (sent, next) = (call.sends[place], call.sends.get(place + 1));
    if next.is_some_and(|next| next.at < outage.from) {
        return None;
    }
    match (call.end, next) {
        // The node had answered it, or it came back.
        (End::Answered(_), None) => None,
        (End::Answered(at), Some(_)) => Some(Some(at.saturating_sub(sent.at.max(outage.from)))),
        (End::Failed(at), _) if at < outage.from => None,
        // What was sent to a primary may be a write, which nobody else may do.
        (End::Open | End::Failed(_), None) if sent.role == Role::Primary => None,
        (End::Open | End::Failed(_), _) => Some(None),
    }
}

/// How long after a failure a statement was sent to the node for the last time; zero when none was.
#[must_use]
pub fn last_send(calls: &[Call], outage: Outage) -> Duration {
    let sends = calls.iter().flat_map(|call| &call.sends);
    let in_vain = sends
        .filter(|send| send.port == outage.port && (outage.from..outage.until).contains(&send.at))
        .map(|send| send.at - outage.from);
    in_vain.max().unwrap_or_default()
}

/// What is aimed at.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "limits")]
pub struct Target {
    /// For the one in the middle, if that has a limit of its own.
    pub median: Option<Duration>,
    /// For all.
    pub worst: Duration,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(median) = self.median {
            write!(f, "median at most {} ms, ", median.as_millis())?;
        }
        write!(f, "worst at most {} ms", self.worst.as_millis())
    }
}

/// Durations of one kind, and what they should be.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what is printed")]
pub struct Distribution {
    /// As the file of figures has it.
    pub metric: &'static str,
    /// For people.
    pub name: &'static str,
    /// What is aimed at, if anything is.
    pub target: Option<Target>,
    /// In no order.
    pub values: Vec<Duration>,
}

impl Distribution {
    /// Whether the target is met; `None` without one, or without values.
    #[must_use]
    pub fn holds(&self) -> Option<bool> {
        let (target, spread) = (self.target?, self.spread()?);
        let is_within = |value: f64, limit: Duration| value <= millis(limit);
        let median = target.median.is_none_or(|limit| is_within(spread.median, limit));
        Some(median && is_within(spread.max, target.worst))
    }

    /// The numbers for the file.
    pub fn figures(&self, scenario: &str) -> Vec<Figure> {
        let Some(Spread { median, min, max, repeats }) = self.spread() else { return Vec::new() };
        let figure = |metric: &str, median, min, max, repeats| {
            let (scenario, system) = (format!("{scenario}/{}", self.metric), "millpond".to_owned());
            Figure {
                scenario,
                system,
                metric: metric.to_owned(),
                unit: "ms".to_owned(),
                median,
                min,
                max,
                repeats,
            }
        };
        let high = self.high();
        vec![
            figure("time", median, min, max, repeats),
            figure("p90", high, high, high, 1),
            figure("worst", max, max, max, 1),
        ]
    }

    /// Whether it holds, for the file.
    #[must_use]
    pub fn check(&self, scenario: &str) -> Option<Check> {
        let name = format!("{scenario}: {}: {}", self.name, self.target?);
        Some(Check { name, system: "millpond".to_owned(), holds: self.holds()?, figure: self.to_string() })
    }

    fn spread(&self) -> Option<Spread> {
        Spread::of(self.values.iter().copied().map(millis).collect())
    }

    fn high(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        percentile(&sorted, 90).map(millis).unwrap_or_default()
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(spread) = self.spread() else { return f.write_str("none") };
        let high = self.high();
        write!(
            f,
            "median {:.1} ms, 90 % {high:.1} ms, worst {:.1} ms, of {}",
            spread.median, spread.max, spread.repeats
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sends::Send;

    const DEAD: u16 = 1;
    const OTHER: u16 = 2;
    const OUTAGE: Outage = Outage { port: DEAD, from: ms(100), until: ms(110) };

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn call(sends: &[(u64, u16)], end: End) -> Call {
        let send = |(at, port): &(u64, u16)| Send { at: ms(*at), port: *port, role: Role::Replica };
        Call { sends: sends.iter().map(send).collect(), end }
    }

    fn rescued(call: Call) -> Rescued {
        let mut rescued = Rescued::default();
        rescued.add(&[call], OUTAGE);
        rescued
    }

    #[test]
    fn a_read_in_flight_counts_from_the_failure_to_its_answer() {
        let answered = |after| Rescued { after: vec![ms(after)], unanswered: 0 };
        let ends = End::Answered(ms(130));
        assert_eq!(rescued(call(&[(95, DEAD), (120, OTHER)], ends)), answered(30));
        // Sent when the node was failing already.
        assert_eq!(rescued(call(&[(105, DEAD), (120, OTHER)], ends)), answered(25));
    }

    #[test]
    fn what_the_failure_did_not_touch_does_not_count() {
        let none = Rescued::default();
        assert_eq!(rescued(call(&[(95, OTHER), (120, OTHER)], End::Answered(ms(130)))), none);
        assert_eq!(rescued(call(&[(95, DEAD)], End::Answered(ms(101)))), none);
        assert_eq!(rescued(call(&[(80, DEAD), (90, OTHER)], End::Answered(ms(130)))), none);
        assert_eq!(rescued(call(&[(115, DEAD), (120, OTHER)], End::Answered(ms(130)))), none);
        assert_eq!(rescued(call(&[(80, DEAD)], End::Failed(ms(90)))), none);
    }

    #[test]
    fn a_read_that_nobody_answers_is_counted_and_a_write_is_not() {
        let none = Rescued { after: Vec::new(), unanswered: 1 };
        assert_eq!(rescued(call(&[(95, DEAD)], End::Failed(ms(130)))), none);
        assert_eq!(rescued(call(&[(95, DEAD), (120, OTHER)], End::Open)), none);
        let mut write = call(&[(95, DEAD)], End::Failed(ms(130)));
        write.sends[0].role = Role::Primary;
        assert_eq!(rescued(write), Rescued::default());
    }

    #[test]
    fn the_last_send_is_the_last_one_to_the_node_while_it_fails() {
        let calls =
            [call(&[(99, DEAD), (104, DEAD)], End::Open), call(&[(111, DEAD), (109, OTHER)], End::Open)];
        assert_eq!(last_send(&calls, OUTAGE), ms(4));
        assert_eq!(last_send(&calls[1..], OUTAGE), ms(0));
    }

    #[test]
    fn a_target_is_met_by_the_median_and_by_the_worst() {
        let target = Target { median: Some(ms(20)), worst: ms(100) };
        let holds = |values: &[u64]| {
            let values = values.iter().copied().map(ms).collect();
            Distribution { metric: "m", name: "n", target: Some(target), values }.holds()
        };
        assert_eq!(holds(&[10, 20, 100]), Some(true));
        assert_eq!(holds(&[10, 20, 101]), Some(false));
        assert_eq!(holds(&[10, 21, 22]), Some(false));
        assert_eq!(holds(&[]), None);
    }

    #[test]
    fn a_distribution_says_its_middle_its_high_end_and_its_worst() {
        let values = (1..=100).map(ms).collect();
        let distribution = Distribution { metric: "m", name: "n", target: None, values };
        assert_eq!(distribution.to_string(), "median 50.5 ms, 90 % 90.0 ms, worst 100.0 ms, of 100");
        let figures = distribution.figures("s");
        assert_eq!((figures[0].median, figures[0].max, figures[0].repeats), (50.5, 100.0, 100));
        let metrics: Vec<_> = figures.iter().map(|it| (&*it.scenario, &*it.metric, it.median)).collect();
        assert_eq!(metrics, [("s/m", "time", 50.5), ("s/m", "p90", 90.0), ("s/m", "worst", 100.0)]);
    }
}
