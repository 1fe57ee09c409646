use std::convert::Infallible;
use std::panic::Location;

use tokio::time::sleep;

use super::*;
use crate::acquire::Acquire;
use crate::config::Class;
use crate::owner::Owners;
use crate::state::Caller;
use crate::{AcquireError, Lease};

struct Easy;

impl Manager for Easy {
    type Connection = ();
    type Error = Infallible;

    async fn connect(&self) -> Result<(), Infallible> {
        Ok(())
    }

    fn is_open(&self, (): &()) -> bool {
        true
    }

    fn returned(&self, (): &mut ()) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, (): &mut ()) -> Result<(), Infallible> {
        Ok(())
    }
}

async fn acquire(owners: &Owners<Easy>) -> Result<Lease<Easy>, AcquireError<Infallible>> {
    let asked = now();
    let caller = Caller { class: 0, asked, deadline: asked, site: Location::caller(), is_first: false };
    Acquire::new(owners, caller, None, false).await
}

#[tokio::test(start_paused = true)]
async fn a_thread_keeps_at_hand_what_it_returned_for_as_long_as_the_pool_lives() {
    let classes = vec![Class { name: DEFAULT_CLASS, reserved: 0 }];
    let limits = Limits { max_size: 4, classes, ..Limits::default() };
    let shared = Shared::new(Easy, limits, Timeouts::default(), None, None);
    let owners = Owners::new(shared);
    let _held = acquire(&owners).await;
    // Lifetimes are looked at meanwhile, and end.
    for turn in 0..300 {
        drop(acquire(&owners).await);
        drop(acquire(&owners).await);
        drop(acquire(&owners).await);
        assert_eq!(owners.shared.parking.counts().0, 1, "turn {turn}");
        sleep(Duration::from_secs(20)).await;
    }
}
