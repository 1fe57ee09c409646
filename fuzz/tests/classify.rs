//! The classifier for some seconds.

use millpond_fuzz::{classify, seeds, smoke};

#[test]
fn any_text_gets_answers_that_agree() {
    let spec = seeds::statements(None).expect("spec/classify");
    smoke::run("classify", &spec, |rng| smoke::mutated(&spec, rng), classify);
}
