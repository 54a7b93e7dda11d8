//! The wire between nodes is cut: two against two, three against one.

use std::time::{Duration, Instant};

use ao_testnet::client::Client;
use ao_testnet::netns::Wires;
use ao_testnet::network::{Plan, peers};
use ao_testnet::wait;

use super::world::WITHIN;
use super::{World, engines, full};

const LASTS: Duration = Duration::from_secs(30);

/// Four nodes in namespaces of their own; nothing where that cannot be.
async fn apart(engine: &str) -> Option<(Wires, World)> {
    let wires = Wires::lay(4).unwrap().map_err(|why| println!("skipped: {why}")).ok()?;
    let mut network = Plan::new(engine, 4).generate().await.unwrap();
    let port = 7_710;
    let addresses: Vec<String> = (0..4).map(|at| format!("/ip4/{}/udp/{port}/quic-v1/p2p/{}", wires.wire(at), network.peer(at))).collect();
    for at in 0..4 {
        let setup = network.setup_mut(at);
        let others: Vec<&String> = addresses.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, address)| address).collect();
        *setup = setup
            .clone()
            .within(wires.namespace(at))
            .config("p2p.listen", format!("[\"/ip4/{}/udp/{port}/quic-v1\"]", wires.wire(at)))
            .config("p2p.static_peers", format!("{others:?}"))
            .config("api.listen", format!("{}:7700", wires.desk(at)))
            .config("api.allow_remote", true)
            .config("api.writes_per_s", 0)
            .config("api.reads_per_s", 0);
    }
    network.start_all().await.unwrap();
    let clients: Vec<Client> = (0..4).map(|at| Client::new(network.node(at).unwrap().base()).unwrap()).collect();
    for (at, client) in clients.iter().enumerate() {
        sees(client, at, 3).await;
    }
    Some((wires, World::of(network, clients).await))
}

async fn sees(client: &Client, at: usize, others: usize) {
    let what = format!("n{} sees {others} others", at + 1);
    wait::until(&what, WITHIN, || async { Ok((peers(client).await?.len() >= others).then_some(())) }).await.unwrap();
}

/// Time passes for the nodes: how long a fault lasts is the fault.
async fn lasts(since: Instant) {
    wait::until("it has lasted", LASTS * 2, || async { Ok((since.elapsed() >= LASTS).then_some(())) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_wire_halts_what_has_no_quorum_and_loses_nothing() {
    if !full() {
        return;
    }
    for engine in engines() {
        let Some((wires, mut world)) = apart(engine).await else { return };
        let load = world.load(&[0, 1, 2, 3]);
        world.more(20).await;
        wires.part(&[2, 3]).unwrap();
        let since = Instant::now();
        assert!(!world.confirms_within(0, 0, Duration::from_secs(8)).await, "{engine}: two of four confirm nothing");
        assert!(!world.confirms_within(2, 3, Duration::from_secs(8)).await, "{engine}: nor do the other two");
        lasts(since).await;
        wires.part(&[]).unwrap();
        let healed = Instant::now();
        let head = world.view(0, 0).await.head;
        world.confirmed(3, 0, head).await;
        println!("{engine}: two against two for {LASTS:?}: confirmed {:.1} s after the wire was whole", healed.elapsed().as_secs_f64());
        load.end().await;
        world.check(&format!("{engine}: two against two")).await;

        let load = world.load(&[0, 1, 2, 3]);
        world.more(20).await;
        wires.part(&[3]).unwrap();
        let since = Instant::now();
        assert!(world.confirms_within(0, 1, Duration::from_secs(20)).await, "{engine}: three of four go on");
        assert!(!world.confirms_within(3, 3, Duration::from_secs(8)).await, "{engine}: the fourth by itself does not");
        lasts(since).await;
        wires.part(&[]).unwrap();
        let healed = Instant::now();
        let head = world.view(3, 3).await.head;
        world.confirmed(0, 3, head).await;
        println!("{engine}: three against one for {LASTS:?}: confirmed {:.1} s after the wire was whole", healed.elapsed().as_secs_f64());
        load.end().await;
        world.check(&format!("{engine}: three against one")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// F9: wires that carry one megabit a second and lose what is more.
#[tokio::test(flavor = "multi_thread")]
async fn slow_wires_cost_time_and_nothing_else() {
    if !full() {
        return;
    }
    for engine in engines() {
        let Some((wires, mut world)) = apart(engine).await else { return };
        (0..4).for_each(|at| wires.narrow(at, "1mbit").unwrap());
        let load = world.load(&[0, 1, 2, 3]);
        let began = Instant::now();
        world.more(60).await;
        load.end().await;
        assert!(world.confirms_within(0, 1, WITHIN).await, "{engine}: a slow network goes on");
        println!("{engine}: 60 messages over wires of 1 Mbit/s in {:.1} s", began.elapsed().as_secs_f64());
        (0..4).for_each(|at| wires.widen(at).unwrap());
        world.check(&format!("{engine}: slow wires")).await;
        world.network.stop_all().await.unwrap();
    }
}

/// F8, F9: a node that hears and is not heard, then one that is heard and hears nothing. What has a quorum goes on, what has none waits, and
/// all of it is whole afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn one_way_wires_halt_nobody_else() {
    if !full() {
        return;
    }
    for engine in engines() {
        let Some((wires, mut world)) = apart(engine).await else { return };
        for (what, harm) in
            [("hears and is not heard", Wires::mute as fn(&Wires, usize) -> _), ("is heard and hears nothing", Wires::deafen)]
        {
            harm(&wires, 3).unwrap();
            let since = Instant::now();
            for of in 0..3 {
                assert!(world.confirms_within(of, (of + 1) % 3, WITHIN).await, "{engine}: the others of one that {what} go on");
            }
            assert!(!world.confirms_within(3, 3, Duration::from_secs(4)).await, "{engine}: one that {what} confirms nothing");
            lasts(since).await;
            wires.widen(3).unwrap();
            let head = world.view(3, 3).await.head;
            world.confirmed(0, 3, head).await;
            world.check(&format!("{engine}: one that {what}")).await;
        }
        world.network.stop_all().await.unwrap();
    }
}
