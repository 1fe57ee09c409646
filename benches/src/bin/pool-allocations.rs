//! Counts allocations for the group `pool`, whose program runs this one.

use allocation_counter::measure;
use anyhow::Result;
use millpond_benches::pools::allocations::print;

fn main() -> Result<()> {
    print(|work| measure(work).count_total)
}
