//! `aonode devnet chaos` on a network that works: a partition, a wrong clock, a full disk. Each takes something away, nothing that was
//! acknowledged is lost, and all is as before when it is over.

use ao_testnet::items::Person;
use ao_testnet::network::{agree, aonode, peers};
use ao_testnet::{client, wait};

use crate::members::{SETTLED_WITHIN, World};

/// `aonode devnet chaos …` on the network of a world.
async fn chaos(world: &World, harm: &[&str]) {
    let dir = world.network.folder().to_str().unwrap();
    aonode(&[&["devnet", "chaos"], harm, &["--dir", dir]].concat()).await.unwrap();
}

async fn sees(world: &World, at: usize, others: usize) {
    let what = format!("n{} sees {others} others", at + 1);
    let client = &world.clients[at];
    wait::until(&what, SETTLED_WITHIN, || async { Ok((peers(client).await?.len() == others).then_some(())) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_comes_back() {
    let mut world = World::new("attest").await;

    chaos(&world, &["partition", "n4"]).await;
    sees(&world, 3, 0).await;
    for at in 0..3 {
        sees(&world, at, 2).await;
    }
    for (number, through) in [0, 1, 2].into_iter().enumerate() {
        let result = world.add(0, through).await;
        assert_eq!(client::output(&result).unwrap(), (number + 1).to_string(), "three of four go on");
    }
    world.settle_processes(&[0, 1, 2], &[0, 1, 2]).await;
    let cut_off = agree::View::of(&world.clients[3], world.processes[0]).await.unwrap().unwrap();
    assert_eq!(cut_off.head, 0, "nothing came through");
    chaos(&world, &["heal"]).await;
    world.settle(&[0, 1, 2, 3]).await;
    for at in 0..4 {
        sees(&world, at, 3).await;
    }

    // An hour ahead it still attests what others order.
    chaos(&world, &["skew", "n2", "--ahead", "1h"]).await;
    let time = async |at: usize| world.clients[at].get("/v1/status").await.unwrap().json["block_timestamp"].as_u64().unwrap();
    assert!(time(1).await > time(0).await + 3_000_000, "the clock of n2 is wrong");
    world.network.kill(2).await.unwrap();
    assert_eq!(client::output(&world.add(0, 0).await).unwrap(), "4", "without it there were no quorum");
    chaos(&world, &["skew", "n2"]).await;
    world.network.start(2).await.unwrap();
    world.settle(&[0, 1, 2, 3]).await;

    chaos(&world, &["disk", "n3"]).await;
    // Each is another message: one that was taken before the disk was full would be found again.
    let number = std::cell::Cell::new(0);
    let (owner, process) = (Person::named("owner"), world.processes[2]);
    let another = || {
        number.set(number.get() + 1);
        owner.message(process, &[("Action", "Nothing"), ("Number", &format!("disk {}", number.get()))], "")
    };
    let refused = || async {
        let item = another();
        Ok((world.clients[2].post("/v1/messages", &item).await?.status.as_u16() == 503).then_some(()))
    };
    wait::until("n3 takes nothing more", SETTLED_WITHIN, refused).await.unwrap();
    assert_eq!(client::output(&world.add(0, 1).await).unwrap(), "5", "the others do");
    chaos(&world, &["disk", "n3", "--free"]).await;
    let taken = || async {
        let item = another();
        Ok(world.clients[2].post("/v1/messages", &item).await?.status.is_success().then_some(()))
    };
    wait::until("n3 takes messages again", SETTLED_WITHIN, taken).await.unwrap();
    world.settle(&[0, 1, 2, 3]).await;
    world.network.stop_all().await.unwrap();
}
