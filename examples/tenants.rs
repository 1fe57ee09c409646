//! Keeps tenants apart by row security: each request has a handle whose statements run with its tenant's settings.

use millpond::postgres::Db;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Db::connect(&std::env::var("DATABASE_URL")?).await?;
    // Once, by a migration. The service logs in as the owner, so that its statements have to put on a role that policies hold for.
    db.batch_execute(
        "drop table if exists note; drop role if exists tenant; create role tenant;
         create table note (tenant text default current_setting('app.tenant'), words text);
         create policy own on note using (tenant = current_setting('app.tenant'));
         alter table note enable row level security; grant select, insert on note to tenant",
    )
    .await?;

    for (tenant, words) in [("ann", "feed the carp"), ("bob", "clean the weir")] {
        // As cheap as a clone of the handle: make one for each request.
        let tenant = db.with_settings([("app.tenant", tenant), ("role", "tenant")])?;
        tenant.execute("insert into note (words) values ($1)", &[&words]).await?;
    }

    let ann = db.with_settings([("app.tenant", "ann"), ("role", "tenant")])?;
    let notes: Vec<String> = ann.query_scalar("select words from note", &[]).await?;
    assert_eq!(notes, ["feed the carp"], "ann sees her own");

    // A transaction has the settings too, and nobody who gets the connection next has them.
    let transaction = ann.begin().await?;
    let moved = transaction.execute("insert into note values ('bob', 'from ann')", &[]).await;
    assert!(moved.is_err(), "the policy holds for what is written");
    transaction.rollback().await?;
    let all: i64 = db.query_one_scalar("select count(*) from note", &[]).await?;
    println!("ann sees {} of {all} notes", notes.len());
    Ok(())
}
