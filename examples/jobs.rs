//! A queue of jobs in a table: workers are woken by notifications, take jobs without getting in each other's way, and after a gap look
//! for what they did not hear of.

use millpond::Result;
use millpond::postgres::{Db, Heard};

/// Takes one job and does it, in one transaction: should the worker die, the job is there for the next one.
async fn work(db: &Db) -> Result<Option<String>> {
    let transaction = db.begin().await?;
    let take = "delete from job where id = (select id from job order by id limit 1 for update skip locked) returning task";
    let task: Option<String> = transaction.query_opt_scalar(take, &[]).await?;
    transaction.commit().await?;
    Ok(task)
}

/// Until all jobs are done that there will be.
async fn worker(db: Db, most: usize) -> Result<Vec<String>> {
    let mut listener = db.listener();
    // Before the first look, so that nothing falls in between.
    listener.listen("jobs").await?;
    let mut done = Vec::new();
    loop {
        while let Some(task) = work(&db).await? {
            done.push(task);
        }
        if done.len() >= most {
            return Ok(done);
        }
        match listener.recv().await? {
            Heard::Notification(notification) => println!("heard of {}", notification.payload()),
            // The connection broke, or another node is the primary: look again.
            Heard::Gap { cause } => println!("may have missed some: {cause}"),
        }
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let db = Db::connect(&std::env::var("DATABASE_URL")?).await?;
    db.batch_execute("drop table if exists job; create table job (id bigserial primary key, task text)")
        .await?;
    db.execute("insert into job (task) values ('there before')", &[]).await?;

    let worker = tokio::spawn(worker(db.clone(), 3));
    for task in ["one", "two"] {
        let transaction = db.begin().await?;
        transaction.execute("insert into job (task) values ($1)", &[&task]).await?;
        // It is sent when the transaction is committed, and not at all otherwise.
        transaction.execute("select pg_notify('jobs', $1)", &[&task]).await?;
        transaction.commit().await?;
    }
    let done = worker.await??;
    assert_eq!(done, ["there before", "one", "two"]);
    println!("done: {}", done.join(", "));
    Ok(())
}
