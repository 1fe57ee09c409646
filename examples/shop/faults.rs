//! What goes wrong while the shop is open.

use std::sync::Arc;
use std::time::Duration;

use millpond_lab::Lab;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::Failure;
use crate::report::Report;
use crate::schema::Scans;

/// The faults under way. They give the servers' counts of the node that was killed, from just before.
pub(crate) struct Faults(JoinHandle<Result<Scans, Failure>>);

impl Faults {
    /// Spreads the faults over the time that the shop is open.
    pub(crate) fn start(lab: Arc<Lab>, open: Duration, report: Arc<Report>) -> Self {
        Self(tokio::spawn(run(lab, open, report)))
    }

    pub(crate) async fn finish(self) -> Result<Scans, Failure> {
        self.0.await?
    }
}

async fn run(lab: Arc<Lab>, open: Duration, report: Arc<Report>) -> Result<Scans, Failure> {
    let start = Instant::now();
    let at = |share| sleep_until(start + open.mul_f64(share));
    let (held, killed) = (lab.node("db-1")?, lab.node("db-2")?);

    at(0.2).await;
    report.note(format!("--- holding back the replay of {}", Report::name(held)));
    held.pause_replay().await?;
    at(0.45).await;
    report.note(format!("--- letting {} go on", Report::name(held)));
    held.resume_replay().await?;

    at(0.6).await;
    let before_kill = Scans::read_once(&lab).await?.only(2);
    report.note(format!("--- killing {}", Report::name(killed)));
    killed.kill().await?;
    at(0.8).await;
    report.note(format!("--- starting {} again", Report::name(killed)));
    killed.start().await?;
    Ok(before_kill)
}
