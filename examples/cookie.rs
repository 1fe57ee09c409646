//! A token in a cookie: who saved something sees it on the next page, whichever process serves that.

use millpond::Result;
use millpond::postgres::Db;

/// One page of a service: what its user sent, what it answers, and the cookie that it sets.
struct Page {
    visits: i32,
    cookie: String,
}

/// What a handler does. The session is the request's; the cookie is all that goes on to the next.
async fn serve(db: &Db, user: &str, cookie: Option<&str>, visits: bool) -> Result<Page> {
    let session = db.session();
    if let Some(cookie) = cookie {
        // It comes from outside: it may be old, of another cluster, or anything. The user gets an answer all the same, from the primary. What
        // one sends who makes up a place that no write has costs a look at a replica each time: a service that minds signs its cookies.
        if let Some(error) = session.see_or_latest(cookie).await {
            println!("{user} has a cookie that is no use: {error}");
        }
    }
    if visits {
        let save =
            "insert into visitor values ($1, 1) on conflict (name) do update set visits = visitor.visits + 1";
        session.execute(save, &[&user]).await?;
    }
    let read = "select coalesce(max(visits), 0) from visitor where name = $1";
    let visits = session.query_one(read, &[&user]).await?.get(0);
    Ok(Page { visits, cookie: session.token().to_string() })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")?;
    // Two processes of one service, each with pools and knowledge of its own.
    let (one, other) = (Db::connect(&url).await?, Db::connect(&url).await?);
    one.batch_execute(
        "drop table if exists visitor; create table visitor (name text primary key, visits int)",
    )
    .await?;

    let mut cookie: Option<String> = None;
    for visits in 1..=5 {
        let saved = serve(&one, "ann", cookie.as_deref(), true).await?;
        // The next page comes from the other process, which knows nothing of the write but what the cookie says.
        let seen = serve(&other, "ann", Some(&saved.cookie), false).await?;
        assert_eq!((saved.visits, seen.visits), (visits, visits));
        cookie = Some(seen.cookie);
    }
    println!("ann came 5 times; her cookie is {}", cookie.as_deref().unwrap_or("none"));

    // Of a service that stood here before, of a newer release, or typed by hand.
    for strange in ["mp1.1.1.0/10", "mp9.5.1.0/10", "id=7"] {
        let page = serve(&other, "ann", Some(strange), false).await?;
        assert_eq!(page.visits, 5, "she sees what she saved");
        // What she gets in its place says all that the strange one could have meant.
        assert_eq!(serve(&one, "ann", Some(&page.cookie), false).await?.visits, 5);
    }
    Ok(())
}
