//! The table on a terminal; plain lines elsewhere.

use std::io::{IsTerminal, Write, stdout};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use millpond::postgres::Db;
use millpond::{NodeStatus, Status};
use millpond_lab::{Lab, Node};
use tokio::time::{Instant, interval_at};

use crate::traffic::Traffic;

/// How often the table is drawn, and how often a line is printed where there is no terminal.
const DRAW: Duration = Duration::from_millis(500);
const PRINT: Duration = Duration::from_secs(2);
/// Events that stay below the table.
const NOTES: usize = 6;

pub(crate) struct Report {
    start: Instant,
    is_terminal: bool,
    notes: Mutex<Vec<String>>,
    title: String,
}

impl Report {
    pub(crate) fn new(lab: &Lab) -> Self {
        let names: Vec<_> = lab.nodes().iter().map(Self::name).collect();
        let title = format!("a shop over {}", names.join(", "));
        Self { start: Instant::now(), is_terminal: stdout().is_terminal(), notes: Mutex::default(), title }
    }

    /// A node as millpond names it.
    pub(crate) fn name(node: &Node) -> String {
        format!("127.0.0.1:{}", node.port())
    }

    /// Shows something that happened.
    pub(crate) fn note(&self, what: impl Into<String>) {
        let line = format!("{:5.1} s  {}", self.start.elapsed().as_secs_f64(), what.into());
        if self.is_terminal {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        } else {
            println!("{line}");
        }
    }

    /// Shows how the cluster stands until the time is over.
    pub(crate) async fn show_until(&self, db: &Db, traffic: &Traffic, open: Duration) {
        let pace = if self.is_terminal { DRAW } else { PRINT };
        let deadline = Instant::now() + open;
        let mut ticks = interval_at(Instant::now() + pace, pace);
        let mut before = db.status();
        while Instant::now() < deadline {
            ticks.tick().await;
            let now = db.status();
            if self.is_terminal {
                self.draw(&before, &now, traffic, pace);
            } else {
                print!("{}", table(&before, &now, pace));
            }
            before = now;
        }
    }

    fn draw(&self, before: &Status, now: &Status, traffic: &Traffic, pace: Duration) {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = notes.iter().rev().take(NOTES).rev();
        let latest: String = latest.map(|note| format!("{note:.110}\x1b[K\n")).collect();
        let seen = traffic.seen();
        let errors = seen.errors.lock().unwrap_or_else(PoisonError::into_inner).len();
        let table = table(before, now, pace).replace('\n', "\x1b[K\n");
        // Home, the frame, and nothing of the last one below it.
        let frame = format!(
            "\x1b[H{}\x1b[K\n\n{table}\x1b[K\n{:.0} s, {errors} errors seen by callers\x1b[K\n\n{latest}\x1b[J",
            self.title,
            self.start.elapsed().as_secs_f64(),
        );
        let mut out = stdout().lock();
        // A terminal that is gone is no reason to end the traffic.
        let _ = out.write_all(frame.as_bytes()).and_then(|()| out.flush());
    }
}

fn table(before: &Status, now: &Status, pace: Duration) -> String {
    let mut text = format!(
        "{:16} {:8} {:7} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "node", "role", "health", "lag", "in flight", "stmts/s", "p50 ms", "p99 ms"
    );
    for (before, now) in before.nodes.iter().zip(&now.nodes) {
        text.push_str(&row(before, now, pace));
    }
    text
}

fn row(before: &NodeStatus, now: &NodeStatus, pace: Duration) -> String {
    let count = |node: &NodeStatus| node.reads + node.primary_statements;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = (count(now) - count(before)) as f64 / pace.as_secs_f64();
    let latencies = now.latencies.since(&before.latencies);
    let quantile = |q| match latencies.quantile(q) {
        Some(latency) => format!("{:.2}", latency.as_secs_f64() * 1e3),
        None => "-".to_owned(),
    };
    let role = now.role.map_or("unknown", millpond::Role::as_str);
    let (p50, p99) = (quantile(0.5), quantile(0.99));
    format!(
        "{:16} {role:8} {:7} {:>9} {:>9} {rate:>9.0} {p50:>9} {p99:>9}\n",
        now.name, now.health, now.lag, now.in_flight
    )
}
