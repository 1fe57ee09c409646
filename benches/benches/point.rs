//! One task that reads one row by its key, again and again: `cargo bench -p millpond-benches`.
//!
//! One system at a time, on two idle cores: the time is a round trip, most of it the kernel's and the server's. The
//! systems are not interleaved, so a claim needs the group `compare`.

use anyhow::Result;
use criterion::Criterion;
use fastrand::Rng;
use millpond_benches::point::{CONNECTIONS, fill, runtime};
use millpond_benches::server::Server;
use millpond_benches::systems::bare::Bare;
use millpond_benches::systems::deadpool::Deadpool;
use millpond_benches::systems::millpond::Millpond;
use millpond_benches::systems::{System, Target};

const ROWS: i32 = 50_000;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let server = Server::up()?;
    fill(&server, ROWS)?;
    bench::<Millpond>(&mut criterion, &server)?;
    bench::<Deadpool>(&mut criterion, &server)?;
    bench::<Bare>(&mut criterion, &server)?;
    criterion.final_summary();
    server.down()
}

fn bench<S: System>(criterion: &mut Criterion, server: &Server) -> Result<()> {
    let runtime = runtime()?;
    let target = Target { url: server.url(), connections: CONNECTIONS, tasks: 1 };
    let system = runtime.block_on(S::connect(&target))?;
    let mut random = Rng::with_seed(0);
    criterion.bench_function(&format!("point/c{CONNECTIONS}/t1/loopback/{}", S::NAME), |bencher| {
        bencher.to_async(&runtime).iter(|| {
            let (key, system) = (random.i32(1..=ROWS), &system);
            async move { system.point(0, key).await.expect("a row") }
        });
    });
    runtime.block_on(system.close());
    Ok(())
}
