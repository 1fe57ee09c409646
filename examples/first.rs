//! Writes, reads its own write, and prints why each statement goes where it does.

use millpond::postgres::Db;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Name every node; roles are found by asking.
    let db = Db::connect(&std::env::var("DATABASE_URL")?).await?;
    db.batch_execute("create table if not exists visit (page text primary key, times int)").await?;

    // A session reads its own writes, from a replica as soon as one has them.
    let session = db.session();
    let write = "insert into visit values ($1, 1) on conflict (page) do update set times = visit.times + 1";
    let read = "select times from visit where page = $1";
    session.execute(write, &[&"/"]).await?;
    let times: i32 = session.query_one(read, &[&"/"]).await?.get(0);
    assert!(times >= 1);

    println!("{times} visits; to see them elsewhere: {}", session.token());
    for sql in [write, read, "select nextval('orders_id_seq')", "select * from visit for update"] {
        println!("{} -> {}", &sql[..24], session.explain(sql));
    }
    Ok(())
}
