//! One task that takes a connection and gives it back: `cargo bench -p millpond-benches --bench pool`.
//!
//! One pool at a time, not interleaved, and without waits: a claim needs the group `pool`.

use anyhow::Result;
use criterion::Criterion;
use millpond_benches::pools::{Pool, SCENARIOS, bb8, deadpool, fast_pool, millpond, mobc, runtime};

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    bench::<millpond::Millpond>(&mut criterion)?;
    bench::<deadpool::Deadpool>(&mut criterion)?;
    bench::<bb8::Bb8>(&mut criterion)?;
    bench::<mobc::Mobc>(&mut criterion)?;
    bench::<fast_pool::FastPool>(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn bench<P: Pool>(criterion: &mut Criterion) -> Result<()> {
    let (runtime, alone) = (runtime(1)?, SCENARIOS[0]);
    let pool = runtime.block_on(P::open(alone.slots))?;
    criterion.benchmark_group("pool").bench_function(format!("{}/1w/{}", alone.name, P::NAME), |bencher| {
        bencher.to_async(&runtime).iter(|| async { drop(pool.take().await.expect("a connection")) });
    });
    Ok(())
}
