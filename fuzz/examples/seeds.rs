//! Writes the statements of `spec/classify` as a fuzzer's first corpus: `seeds FOLDER DICTIONARY`.

use std::env;
use std::path::Path;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [folder, dictionary] = args.as_slice() else { bail!("usage: seeds FOLDER DICTIONARY") };
    let count = millpond_fuzz::seeds::write(Path::new(folder), Path::new(dictionary))?;
    println!("{count} seeds");
    Ok(())
}
