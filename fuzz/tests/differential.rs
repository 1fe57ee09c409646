//! A real hot standby for some seconds.

use std::iter;

use fastrand::Rng;
use millpond_fuzz::{differential, seeds, smoke};

#[test]
fn a_standby_takes_every_plain_read() {
    let spec = seeds::statements(Some("postgres")).expect("spec/classify");
    // The starts before the servers do, which is not to be counted.
    println!("differential: {}", differential::counts());
    let next = |rng: &mut Rng| match rng.u8(..3) {
        0 => smoke::mutated(&spec, rng),
        maker => iter::once(maker).chain(iter::repeat_with(|| rng.u8(..)).take(16)).collect(),
    };
    smoke::run("differential", &spec, next, differential);
    println!("differential: {}", differential::counts());
}
