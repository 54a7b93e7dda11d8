//! Nodes that are slow or asleep, and clocks that are wrong from the start: nobody waits for one of four.

use std::time::{Duration, Instant};

use ao_testnet::client::Client;
use ao_testnet::wait;

use super::world::WITHIN;
use super::{World, engines, full};

const SLOW: usize = 3;

/// What each synced write takes on the slow disk.
const SYNC: Duration = Duration::from_secs(2);

impl World {
    /// A number of a node's metrics; the sum over labels.
    async fn metric(&self, at: usize, name: &str) -> f64 {
        let base = self.network.node(at).unwrap().metrics().unwrap().trim_end_matches("/metrics").to_owned();
        let text = Client::new(&base).unwrap().text("/metrics").await.unwrap();
        let of = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'));
        let lines = text.lines().filter(|line| of(line));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    async fn signing(&self, at: usize) -> serde_json::Value {
        self.clients[at].get("/v1/status").await.unwrap().json["signing"].clone()
    }
}

/// F6: the disk of one node takes two seconds for each synced write. Its operator is told, the others neither wait for it nor give up on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_is_told_of_and_slows_down_nobody_else() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut world = World::new(engine).await;
        world.network.stop(SLOW).await.unwrap();
        let setup = world.network.setup_mut(SLOW);
        *setup = setup.clone().env("AONODE_SLOW_SYNC", SYNC.as_millis());
        world.network.start(SLOW).await.unwrap();
        world.network.connected().await.unwrap();
        let load = world.load(&[0, 1, 2]);
        world.more(60).await;
        let began = Instant::now();
        for of in 0..3 {
            assert!(world.confirms_within(of, of, WITHIN).await, "{engine}: three of four go on");
        }
        let each = began.elapsed() / 3;
        let log = world.network.node(SLOW).unwrap().log();
        let told = tokio::time::timeout(WITHIN, log.wait_for(|line| line.contains("disk_slow"))).await;
        told.unwrap_or_else(|_| panic!("{engine}: the operator is told\n{}", log.tail(20))).unwrap();
        load.end().await;
        let (sum, count) =
            (world.metric(SLOW, "aonode_wal_fsync_seconds_sum").await, world.metric(SLOW, "aonode_wal_fsync_seconds_count").await);
        assert!(sum / count >= SYNC.as_secs_f64() / 2.0, "{engine}: {count} synced writes in {sum:.1} s");
        println!(
            "{engine}: a confirmation at the others took {} ms; {count} synced writes of {:.2} s at the slow one",
            each.as_millis(),
            sum / count
        );
        assert_eq!(world.metric(0, "aonode_p2p_bans_total").await, 0.0, "{engine}: slow is no crime");
        world.network.kill(SLOW).await.unwrap();
        let setup = world.network.setup_mut(SLOW);
        *setup = setup.clone().without_env("AONODE_SLOW_SYNC");
        world.network.start(SLOW).await.unwrap();
        world.check(&format!("{engine}: a slow disk")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// F7: a node that starts with a clock two minutes off tells its operator and signs nothing until it is set, whatever the others need.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_at_the_start_signs_nothing_until_it_is_set() {
    if !full() {
        return;
    }
    const OFF_MS: i64 = 120_000;
    for engine in engines() {
        let mut world = World::new(engine).await;
        world.network.stop(SLOW).await.unwrap();
        let setup = world.network.setup_mut(SLOW);
        *setup = setup.clone().config("chain.clock_skew_ms", OFF_MS);
        world.network.start(SLOW).await.unwrap();
        let held = || async { Ok((world.signing(SLOW).await["state"] == "held").then_some(())) };
        wait::until("it holds back", WITHIN, held).await.unwrap();
        let ahead_s = world.metric(SLOW, "aonode_clock_offset_seconds").await;
        assert!((ahead_s - OFF_MS as f64 / 1_000.0).abs() < 30.0, "{engine}: {ahead_s} s ahead");
        assert!(world.metric(0, "aonode_clock_offset_seconds").await.abs() < 30.0, "{engine}: one of four moves nobody");
        let log = world.network.node(SLOW).unwrap().log();
        for event in ["clock_offset", "clock_wrong"] {
            log.wait_for(|line| line.contains(event)).await.unwrap();
        }
        // Without the third there is no quorum but with it, and it does not sign.
        world.network.kill(2).await.unwrap();
        assert!(!world.confirms_within(0, 0, Duration::from_secs(4)).await, "{engine}: it does not sign");
        world.network.stop(SLOW).await.unwrap();
        let setup = world.network.setup_mut(SLOW);
        *setup = setup.clone().config("chain.clock_skew_ms", 0);
        world.network.start(SLOW).await.unwrap();
        assert!(world.confirms_within(0, 0, WITHIN).await, "{engine}: it signs when its clock is right");
        world.network.start(2).await.unwrap();
        world.check(&format!("{engine}: a clock set right")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// F10: a process that is stopped for half a minute (shortly, unless all is run) wakes up in a world that went on, and contradicts neither
/// it nor itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_slept_wakes_up_and_contradicts_nobody() {
    if !full() {
        return;
    }
    const SLEEPS: Duration = Duration::from_secs(30);
    for engine in engines() {
        let mut world = World::new(engine).await;
        for sleeper in 0..2 {
            let awake: Vec<usize> = (0..4).filter(|at| *at != sleeper).collect();
            let load = world.load(&awake);
            world.more(10).await;
            world.network.node(sleeper).unwrap().pause().unwrap();
            let since = Instant::now();
            world.more(30).await;
            wait::until("it has slept", 2 * SLEEPS, || async { Ok((since.elapsed() >= SLEEPS).then_some(())) }).await.unwrap();
            world.network.node(sleeper).unwrap().resume().unwrap();
            world.more(10).await;
            load.end().await;
            world.check(&format!("{engine}: n{} slept for {SLEEPS:?}", sleeper + 1)).await;
        }
        world.network.stop_all().await.unwrap();
    }
}
