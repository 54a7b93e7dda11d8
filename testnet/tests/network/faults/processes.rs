//! Processes that are killed, stopped, outnumbered, or have a wrong clock.

use std::time::Duration;

use super::{World, engines, full};

/// kill -9 of each node in turn while clients of all nodes go on sending.
#[tokio::test(flavor = "multi_thread")]
async fn each_node_is_killed_in_turn_under_load() {
    for engine in engines() {
        let mut world = World::new(engine).await;
        for round in 0..if full() { 3 } else { 1 } {
            for victim in 0..4 {
                let load = world.load(&[0, 1, 2, 3]);
                world.more(8).await;
                world.network.kill(victim).await.unwrap();
                // The other three go on.
                world.more(if full() { 40 } else { 8 }).await;
                world.network.start(victim).await.unwrap();
                world.more(8).await;
                load.end().await;
                if full() {
                    world.check(&format!("{engine}: n{} killed, round {round}", victim + 1)).await;
                }
            }
        }
        world.check(&format!("{engine}: each node killed in turn")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// Two of four: what is sent is assigned and not confirmed, until the others are back. One of the two that are left is stopped and goes on
/// meanwhile (SIGSTOP), so that it wakes up to an old world.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_four_halt_and_go_on_with_the_third() {
    for engine in engines() {
        let mut world = World::new(engine).await;
        let load = world.load(&[0, 1]);
        world.more(8).await;
        world.network.kill(2).await.unwrap();
        world.network.kill(3).await.unwrap();
        load.end().await;
        assert!(world.send(0, 0).await, "{engine}: a scheduler assigns whoever else is there");
        let head = world.view(0, 0).await.head;
        let halted = !world.confirms_within(0, 0, Duration::from_secs(4)).await;
        assert!(halted, "{engine}: two of four confirm nothing");
        assert!(world.view(0, 0).await.confirmed < Some(head), "{engine}");
        world.network.node(1).unwrap().pause().unwrap();
        world.network.start(2).await.unwrap();
        assert!(!world.confirms_within(0, 0, Duration::from_secs(4)).await, "{engine}: nor do two, when one is stopped");
        world.network.node(1).unwrap().resume().unwrap();
        world.confirmed(0, 0, head).await;
        world.confirmed(2, 0, head).await;
        world.network.start(3).await.unwrap();
        world.check(&format!("{engine}: two of four")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// Everything stands still for ten minutes: what was assigned before and not confirmed is confirmed afterwards, for late is no reason to
/// refuse. The ten minutes are a step of the nodes' clocks over a restart of all.
#[tokio::test(flavor = "multi_thread")]
async fn frames_of_before_an_outage_are_signed_after_it() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut world = World::new(engine).await;
        world.network.kill(2).await.unwrap();
        world.network.kill(3).await.unwrap();
        for of in [0, 1] {
            assert!(world.send(of, of).await);
        }
        let heads = [world.view(0, 0).await.head, world.view(1, 1).await.head];
        world.network.kill(0).await.unwrap();
        world.network.kill(1).await.unwrap();
        for at in 0..4 {
            let setup = world.network.setup_mut(at);
            *setup = setup.clone().config("chain.clock_skew_ms", 600_000);
        }
        world.network.start_all().await.unwrap();
        for (of, head) in heads.into_iter().enumerate() {
            world.confirmed(3, of, head).await;
        }
        let load = world.load(&[0, 1, 2, 3]);
        world.more(40).await;
        load.end().await;
        world.check(&format!("{engine}: an outage of ten minutes")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// Two seconds off, both ways, under load.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_two_seconds_off_change_nothing() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut world = World::new(engine).await;
        for (at, offset_ms) in [(1, 1_900), (2, -2_000)] {
            world.network.stop(at).await.unwrap();
            let setup = world.network.setup_mut(at);
            *setup = setup.clone().config("chain.clock_skew_ms", offset_ms);
            world.network.start(at).await.unwrap();
        }
        let load = world.load(&[0, 1, 2, 3]);
        world.more(120).await;
        load.end().await;
        world.check(&format!("{engine}: clocks two seconds off")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// An hour behind: it holds what seems to come from the future and signs nothing, and follows the others all the same. An hour ahead: the
/// others hold its frames, and sign them when their time has come; nothing of it is refused or lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_holds_and_refuses_nothing() {
    if !full() {
        return;
    }
    const HOUR_MS: i64 = 3_600_000;
    for engine in engines() {
        let mut world = World::new(engine).await;
        let with_clock = async |world: &mut World, at: usize, offset_ms: i64| {
            world.network.stop(at).await.unwrap();
            let setup = world.network.setup_mut(at);
            *setup = setup.clone().config("chain.clock_skew_ms", offset_ms);
            world.network.start(at).await.unwrap();
        };
        with_clock(&mut world, 3, -HOUR_MS).await;
        let load = world.load(&[0, 1, 2, 3]);
        world.more(60).await;
        load.end().await;
        world.check(&format!("{engine}: a clock an hour behind")).await;

        with_clock(&mut world, 3, HOUR_MS).await;
        let load = world.load(&[0, 1, 2]);
        world.more(40).await;
        load.end().await;
        for of in 0..3 {
            let head = world.view(of, of).await.head;
            world.confirmed(0, of, head).await;
        }
        assert!(world.send(3, 3).await, "{engine}: it assigns");
        let head = world.view(3, 3).await.head;
        assert!(!world.confirms_within(3, 3, Duration::from_secs(4)).await, "{engine}: nobody signs what is an hour ahead");
        assert!(world.view(0, 3).await.confirmed < Some(head), "{engine}");
        // An hour later.
        for at in 0..3 {
            with_clock(&mut world, at, HOUR_MS).await;
        }
        world.confirmed(0, 3, head).await;
        world.check(&format!("{engine}: a clock an hour ahead")).await;
        world.network.stop_all().await.unwrap();
    }
}
