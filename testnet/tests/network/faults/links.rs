//! Links that are slow, lose, double and disorder (F9): every node is behind a proxy at the address that the genesis names, so all that
//! nodes say to each other goes through one.

use std::net::SocketAddr;
use std::time::Instant;

use ao_testnet::network::{Network, Plan};
use ao_testnet::proxy::{Link, Weather};
use ao_types::Genesis;
use tokio::net::UdpSocket;

use super::world::WITHIN;
use super::{World, engines};

/// Between two continents, on a bad day.
const WEATHER: Weather = Weather { delay_ms: (20, 90), loss: 4, twice: 3 };

/// Puts a link in front of every node. None of them hears of another's true port but through the others' own words.
async fn behind_links(network: &mut Network) -> Vec<Link> {
    let genesis = Genesis::parse(&std::fs::read(network.folder().join("genesis.json")).unwrap()).unwrap();
    let mut links = Vec::new();
    for at in 0..network.len() {
        let name = network.peer(at).to_owned();
        let address = &genesis.validators.iter().find(|one| one.peer_id.to_string() == name).unwrap().addr;
        let port: u16 = address.split('/').find_map(|part| part.parse().ok()).expect("an address has a port");
        let from: SocketAddr = ([127, 0, 0, 1], port).into();
        let behind = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        links.push(Link::lay(from, behind, WEATHER, at as u64 + 1).await.unwrap());
        let setup = network.setup_mut(at);
        *setup = setup.clone().config("p2p.listen", format!("[\"/ip4/127.0.0.1/udp/{}/quic-v1\"]", behind.port()));
    }
    links
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_links_that_lose_and_disorder_cost_time_and_nothing_else() {
    for engine in engines() {
        let mut network = Plan::new(engine, 4).generate().await.unwrap();
        let links = behind_links(&mut network).await;
        network.start_all().await.unwrap();
        network.connected().await.unwrap();
        let clients = network.clients().unwrap();
        let mut world = World::of(network, clients).await;
        let before: Vec<(u64, u64)> = links.iter().map(Link::carried_and_lost).collect();
        let load = world.load(&[0, 1, 2, 3]);
        let began = Instant::now();
        world.more(if super::full() { 200 } else { 30 }).await;
        load.end().await;
        for of in 0..4 {
            assert!(world.confirms_within(of, (of + 1) % 4, WITHIN).await, "{engine}: all of it goes on");
        }
        let took = began.elapsed();
        world.check(&format!("{engine}: slow links that lose")).await;
        let (carried, lost) = links.iter().zip(before).fold((0, 0), |sum, (link, before)| {
            let now = link.carried_and_lost();
            (sum.0 + now.0 - before.0, sum.1 + now.1 - before.1)
        });
        assert!(carried > 1_000 && lost > 0, "{engine}: it went through the links: {carried} packets carried, {lost} lost");
        println!("{engine}: {:.1} s over links of 20 to 90 ms; {carried} packets carried, {lost} lost", took.as_secs_f64());
        world.network.stop_all().await.unwrap();
    }
}
