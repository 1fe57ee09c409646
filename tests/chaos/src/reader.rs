//! The second process: reads rows with the tokens of those who wrote them.
//!
//! A line of its input is a token, a writer and a number; a line of its output a writer, a number, and whether the row was there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use millpond::postgres::Db;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, stdin, stdout};
use tokio::sync::{Mutex, Semaphore};

use crate::history::Entry;
use crate::traffic::numbers;

/// How many read at a time.
const READERS: usize = 8;

/// What came of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there, or not, or no answer")]
pub enum Found {
    /// It was there.
    There,
    /// It was not.
    Missing,
    /// The read failed.
    Failed,
}

/// Reads until the input ends.
///
/// # Errors
///
/// No node that answers, or input that cannot be read.
pub async fn run(url: &str) -> Result<()> {
    let db = Db::connect(url).await?;
    let places = Arc::new(Semaphore::new(READERS));
    let output = Arc::new(Mutex::new(stdout()));
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (db, output) = (db.clone(), Arc::clone(&output));
        tokio::spawn(async move {
            let answer = answer(&db, &line).await;
            let mut output = output.lock().await;
            // Who reads it may be gone.
            let _ = output.write_all(answer.as_bytes()).await;
            let _ = output.flush().await;
            drop(place);
        });
    }
    // All are back.
    let _ = places.acquire_many(u32::try_from(READERS)?).await?;
    Ok(())
}

async fn answer(db: &Db, line: &str) -> String {
    let Ok((token, entry)) = parse(line) else { return String::new() };
    let session = db.timeout(Duration::from_secs(8)).session();
    let found = async {
        session.see(token.parse().map_err(anyhow::Error::from)?)?;
        anyhow::Ok(numbers(&session, entry.writer, entry.number.saturating_sub(1)).await?)
    };
    let found = match found.await {
        Ok(numbers) if numbers.contains(&entry.number) => Found::There,
        Ok(_) => Found::Missing,
        Err(_) => Found::Failed,
    };
    format!("{} {} {found:?}\n", entry.writer, entry.number)
}

fn parse(line: &str) -> Result<(&str, Entry)> {
    let mut words = line.split(' ');
    let mut word = || words.next().context("a line of three words");
    Ok((word()?, Entry { writer: word()?.parse()?, number: word()?.parse()? }))
}

/// What a line of the output says.
///
/// # Errors
///
/// A line that is none.
pub fn read_answer(line: &str) -> Result<(Entry, Found)> {
    let mut words = line.split(' ');
    let mut word = || words.next().context("a line of three words");
    let entry = Entry { writer: word()?.parse()?, number: word()?.parse()? };
    let found = match word()? {
        "There" => Found::There,
        "Missing" => Found::Missing,
        _ => Found::Failed,
    };
    Ok((entry, found))
}
