//! A node that was away catches up, and one that was never there as well: from several peers, within bounded memory.

use std::time::Instant;

use ao_testnet::wait;

use super::world::WITHIN;
use super::{World, engines, full};

/// Frames that it misses.
const MISSED: u64 = 10_000;

impl World {
    /// Frames of all chains that a node has.
    async fn frames(&self, at: usize) -> u64 {
        let metrics = reqwest_text(self.network.node(at).unwrap().metrics().unwrap()).await;
        let line = metrics.lines().find(|line| line.starts_with("aonode_sync_frames ")).expect("a node counts its frames");
        line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).expect("a number") as u64
    }
}

async fn reqwest_text(base: &str) -> String {
    let base = base.trim_end_matches("/metrics");
    ao_testnet::client::Client::new(base).unwrap().text("/metrics").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_thousands_of_frames_catches_up() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut world = World::new(engine).await;
        let before = world.frames(0).await;
        world.network.stop(3).await.unwrap();
        // Nobody waits for the process of the node that is away: that would be most of the time.
        let load = world.load_on(&[0, 1, 2, 0, 1, 2], vec![0, 1, 2]);
        // Metrics of debug builds are not cheap: they are looked at now and then.
        let made = wait::until("so many frames are made", WITHIN * 10, || async {
            world.more(100).await;
            Ok((world.frames(0).await >= before + MISSED).then_some(()))
        });
        made.await.unwrap();
        load.end().await;
        let target = world.frames(0).await;
        let began = Instant::now();
        world.network.start(3).await.unwrap();
        let resident = world.network.node(3).unwrap().resident().unwrap();
        let mut highest = resident;
        wait::until("it has every frame", WITHIN * 2, || {
            highest = highest.max(world.network.node(3).unwrap().resident().unwrap());
            let frames = world.frames(3);
            async move { Ok((frames.await >= target).then_some(())) }
        })
        .await
        .unwrap();
        let seconds = began.elapsed().as_secs_f64();
        world.check(&format!("{engine}: {} frames missed", target - before)).await;
        let settled = began.elapsed().as_secs_f64();
        println!(
            "{engine}: {} frames in {seconds:.1} s, {:.0} a second, all evaluated after {settled:.1} s; memory {} MiB at most, {} at start",
            target - before,
            (target - before) as f64 / seconds,
            highest >> 20,
            resident >> 20,
        );
        assert!(highest < 1 << 30, "memory stays bounded: {highest}");
        world.network.stop_all().await.unwrap();
    }
}
