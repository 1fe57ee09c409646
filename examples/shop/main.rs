//! A shop's traffic through millpond, over a real primary and two replicas, while a replica is held back, killed and
//! started again. Ends with what the callers saw; the exit status is not zero when a promise was broken.

mod faults;
mod promises;
mod report;
mod schema;
mod traffic;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use millpond::postgres::Db;
use millpond_lab::Lab;

use faults::Faults;
use report::Report;
use traffic::Traffic;

/// What goes wrong below the shop itself; it only has to be readable.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(name = "shop", about = "A shop's traffic through millpond, over real servers that fail")]
struct Args {
    /// How long the traffic runs.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(4..=3600))]
    seconds: u64,
    /// Shoppers at a time.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..=1000))]
    shoppers: u16,
    /// Products in the shop.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..))]
    products: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the demo could not run: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
async fn run(args: &Args) -> Result<bool, Failure> {
    println!("starting a primary and two replicas");
    let lab = Arc::new(Lab::builder().replicas(2).up().await?);
    println!("loading {} products", args.products);
    schema::load(&lab, args.products).await?;

    let report = Arc::new(Report::new(&lab));
    let db = connect(&lab, &report).await?;
    let before = schema::Scans::read(&lab).await?;
    let traffic = Traffic::start(&db, args.shoppers, args.products);
    let faults = Faults::start(Arc::clone(&lab), Duration::from_secs(args.seconds), Arc::clone(&report));
    report.show_until(&db, &traffic, Duration::from_secs(args.seconds)).await;

    let seen = traffic.stop().await;
    let before_kill = faults.finish().await?;
    let status = db.status();
    db.close(Duration::from_secs(5)).await;
    // With the last handle go the monitors, before the servers do.
    drop(db);
    let scans = schema::Scans::read(&lab).await?.since(&before, &before_kill);
    let is_kept = promises::conclude(&status, &seen, &scans);
    Arc::into_inner(lab).map(Lab::down).ok_or("the lab is still in use")?.await?;
    Ok(is_kept)
}

async fn connect(lab: &Lab, report: &Arc<Report>) -> Result<Db, Failure> {
    let events = Mutex::new(Arc::clone(report));
    let listener = move |event: &millpond::Event| {
        events.lock().unwrap_or_else(PoisonError::into_inner).note(event.to_string());
    };
    Ok(Db::builder(&lab.url("shop"))?.on_event(listener).connect().await?)
}
