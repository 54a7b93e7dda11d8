//! Ten thousand bad messages a second from one peer (F18 to F20, F22): it is banned, the others hardly notice, memory stays where it was.

use std::time::{Duration, Instant};

use ao_p2p::hostile::Hostile;

use crate::attacker::{DIRECT, Target};
use crate::world::World;

/// What a node may grow by while it is flooded: queues of every kind are bounded, and together they stay below this.
const GROWTH_MAX: u64 = 192 << 20;

/// Kind of a range question.
const RANGE: u8 = 1;

/// One way to misbehave: called again and again with a growing number.
type Attack = fn(&Target, &mut Hostile, u32);

const ATTACKS: &[(&str, Attack)] = &[
    ("gossip that is no message", |target, hostile, n| {
        hostile.gossip(&target.name("votes"), format!("\u{7f} rubbish {n}").into_bytes());
    }),
    ("gossip that is no message of the layer above", |target, hostile, n| {
        hostile.gossip(&target.name("frames/3"), [&[1, 1, 9][..], &n.to_be_bytes()].concat());
    }),
    ("gossip above the cap", |target, hostile, n| {
        let mut bytes = vec![1; ao_p2p::limits::GOSSIP_BYTES_MAX + 2];
        bytes[1..5].copy_from_slice(&n.to_be_bytes());
        hostile.gossip(&target.name("evidence"), bytes);
    }),
    ("the same gossip again and again", |target, hostile, _| {
        hostile.gossip(&target.name("certificates"), b"\x01\x01\x03have you heard?".to_vec());
    }),
    ("requests that claim four gigabytes", |target, hostile, n| {
        if n < 400 {
            target.raw(hostile, vec![1, DIRECT, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        }
    }),
    ("questions that are none", |target, hostile, n| {
        if n < 400 {
            target.ask(hostile, RANGE, &n.to_be_bytes());
        }
    }),
    ("an engine's words that are none", |target, hostile, n| {
        if n < 400 {
            target.ask(hostile, DIRECT, &[&[1, 1][..], &n.to_be_bytes()].concat());
        }
    }),
    ("topics that do not exist", |target, hostile, n| {
        if n < 100 {
            hostile.subscribe(&target.name(&format!("nowhere-{n}")));
        }
    }),
];

/// Misbehaves until it is thrown out; how many times it did.
async fn until_banned(target: &Target, hostile: &mut Hostile, attack: Attack, per_turn: u32) -> u32 {
    let mut sent = 0;
    loop {
        (0..per_turn).for_each(|_| {
            attack(target, hostile, sent);
            sent += 1;
        });
        if !hostile.turn().await {
            return sent;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_a_node_is_banned_and_the_others_go_on() {
    let mut world = World::new("attest").await;
    let target = Target::of(&world.network, 0).unwrap();
    world.step().await;
    let before = world.resident();
    for (n, (what, attack)) in ATTACKS.iter().enumerate() {
        let mut hostile = target.stranger().await;
        let attacking = async {
            let sent = until_banned(&target, &mut hostile, *attack, 50).await;
            assert!(!target.lets_in(&mut hostile).await, "{what}: a banned peer was let in");
            sent
        };
        let (sent, took) = tokio::join!(attacking, world.step());
        // Broken pipes and resets may hide the reason from the attacker, not from the count.
        assert_eq!(world.bans().await, n as u64 + 1, "{what}");
        println!("{what}: banned after {sent}; a confirmed message elsewhere took {} ms meanwhile", took.as_millis());
    }
    // F50: a node of another version of the protocol is sent away, told of, and not banned: it is nobody's fault.
    let banned = world.bans().await;
    target.sends_away_version(2).await;
    let log = world.network.node(0).unwrap().log().wait_for(|line| line.contains("peer_version")).await.unwrap();
    assert!(log.contains("upgrade the older"), "{log}");
    assert_eq!(world.bans().await, banned, "another version is no offence");
    let grown = world.resident().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the node grew by {} MiB", grown >> 20);
    world.step().await;
    world.network.alive().unwrap();
    world.network.stop_all().await.unwrap();
}

/// The acceptance's flood: half a minute, ten thousand a second, a new name as often as the last one is banned.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_minute_of_ten_thousand_bad_messages_a_second() {
    if std::env::var_os("AONODE_FULL").is_none() {
        return;
    }
    const LASTS: Duration = Duration::from_secs(30);
    const A_SECOND: f64 = 10_000.0;
    for engine in ["attest", "bft"] {
        let mut world = World::new(engine).await;
        let target = Target::of(&world.network, 0).unwrap();
        let mut idle = Vec::new();
        for _ in 0..40 {
            idle.push(world.step().await);
        }
        let (before, began) = (world.resident(), Instant::now());
        let flood = async {
            let (mut sent, mut names) = (0_u64, 0_u64);
            while began.elapsed() < LASTS {
                let (_, attack) = ATTACKS[names as usize % 4];
                let mut hostile = target.stranger().await;
                names += 1;
                sent += u64::from(until_banned(&target, &mut hostile, attack, 500).await);
                // As many as are asked for, and not as many as two cores can make: those are the nodes' as well.
                tokio::time::sleep_until((began + Duration::from_secs_f64(sent as f64 / A_SECOND)).into()).await;
            }
            (sent, names)
        };
        let meanwhile = async {
            let (mut times, mut most) = (Vec::new(), 0);
            while began.elapsed() < LASTS {
                times.push(world.step().await);
                most = most.max(world.resident());
            }
            (times, most)
        };
        let ((sent, names), (mut times, most)) = tokio::join!(flood, meanwhile);
        let median = |times: &mut Vec<Duration>| {
            times.sort();
            times[times.len() / 2].as_millis()
        };
        println!(
            "{engine}: {sent} bad messages of {names} names in {:.0} s ({:.0}/s); confirmed elsewhere p50 {} ms idle, {} ms meanwhile \
             ({} messages); the attacked node grew from {} to at most {} MiB",
            began.elapsed().as_secs_f64(),
            sent as f64 / began.elapsed().as_secs_f64(),
            median(&mut idle),
            median(&mut times),
            times.len(),
            before >> 20,
            most >> 20,
        );
        assert!(world.bans().await >= names, "every name was banned");
        assert!(most.saturating_sub(before) < GROWTH_MAX, "{} MiB", most >> 20);
        world.network.stop_all().await.unwrap();
    }
}
