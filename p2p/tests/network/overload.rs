//! Too much of everything: memory stays bounded, and those who behave are served.

use std::time::{Duration, Instant};

use ao_p2p::limits::EVENTS;
use ao_p2p::{Command, Config, Event, Failure, Kind, Network, Offence, RequestId, Topic, Verdict};
use tokio::time::timeout;

use crate::common::{DEADLINE, Node, config, pair, tcp};
use crate::hostile::{self, TIPS};

/// Bytes of physical memory of this process, the attackers' included.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_messages_a_second() {
    let (mut node, mut friend) = pair(config(1), config(2)).await;
    let before = resident();
    let began = Instant::now();
    let (mut sent, mut most, mut round, mut banned) = (0_u32, 0, 0_u32, 0);
    while began.elapsed() < Duration::from_secs(3) {
        // a new key as often as the last one is banned
        let mut hostile = hostile::new();
        hostile.meet(&node.address, TIPS).await;
        let peer = hostile.peer;
        let burst = Instant::now();
        let mut open = true;
        while open && burst.elapsed() < Duration::from_secs(1) {
            for _ in 0..500 {
                sent += 1;
                hostile.gossip(TIPS, format!("malformed {sent}").into_bytes());
            }
            open = hostile.turn().await;
        }
        node.banned(peer).await;
        banned += 1;
        drop(hostile);
        // those who behave are heard meanwhile
        round += 1;
        friend.publish(Topic::Tips, round.to_be_bytes().to_vec());
        assert_eq!(node.gossip().await, round.to_be_bytes());
        most = most.max(resident().saturating_sub(before));
    }
    println!("{sent} malformed messages in {:?}, {banned} bans, memory grew by {} KiB at most", began.elapsed(), most >> 10);
    assert!(banned >= 1 && sent >= 500, "{banned} bans, {sent} messages");
    assert!(most < 96 << 20, "memory grew by {most} bytes in {sent} messages");
    node.publish(Topic::Tips, "still here");
    assert_eq!(friend.gossip().await, b"still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_above_that_does_not_read_loses_gossip_and_nothing_else() {
    // nobody reads this one's events for a while
    let (sleeper, mut events) = Network::start(Config { gossip_rate: u32::MAX, ..config(1) }).unwrap();
    let address = loop {
        if let Some(Event::Listening(address)) = timeout(DEADLINE, events.recv()).await.unwrap() {
            break address;
        }
    };
    let known = ao_p2p::KnownPeer { peer: sleeper.peer_id(), addresses: vec![address] };
    let mut busy = Node::start(Config { static_peers: vec![known.clone()], ..config(2) }).await;
    busy.connected(known.peer).await;
    let before = resident();
    // twice what its queue holds; each also says whether the sleeper still takes part
    let mut published = 0_u32;
    while published < 2 * EVENTS as u32 {
        for _ in 0..64 {
            published += 1;
            busy.publish(Topic::Votes, [&published.to_be_bytes()[..], &[0; 500]].concat());
        }
        let id = RequestId(u64::from(published));
        busy.send(Command::Request { id, peer: known.peer, kind: Kind::Direct, data: "are you there?".into() });
        let heard = busy
            .wait("a receipt", |event| match event {
                Event::Answered { id: found, result, .. } if found == id => Some(result),
                _ => None,
            })
            .await;
        assert!(matches!(heard, Ok(_) | Err(Failure::Busy)), "{heard:?}");
    }
    assert!(resident().saturating_sub(before) < 96 << 20);
    let text = sleeper.metrics_text();
    assert!(text.contains("aonode_p2p_shed_total{reason=\"gossip\"}"), "nothing was shed:\n{text}");
    // what must not be lost is there when it wakes, behind what was in the queue
    sleeper.send(Command::Penalise { peer: busy.peer, offence: Offence::Fault }).unwrap();
    sleeper.send(Command::Penalise { peer: busy.peer, offence: Offence::Fault }).unwrap();
    let (mut gossiped, mut connected, mut gone) = (0, false, false);
    let read = async {
        while let Some(event) = events.recv().await {
            match event {
                Event::Gossip { id, .. } => {
                    gossiped += 1;
                    let _ = sleeper.send(Command::Verdict { id, verdict: Verdict::Ignore });
                }
                Event::Connected { .. } => connected = true,
                Event::Disconnected(_) => gone = true,
                Event::Banned(_) => {}
                _ => {}
            }
            if gone {
                return;
            }
        }
    };
    timeout(DEADLINE, read).await.unwrap();
    assert!(connected && gossiped > 0 && gossiped < published, "{gossiped} of {published}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_questions_are_turned_away_here_and_not_there() {
    use ao_p2p::limits::REQUESTS_PER_PEER;
    let silent = Node::with(tcp(1), |_, _| Verdict::Accept, |_, _| None).await;
    let mut node = Node::start(Config { static_peers: vec![silent.known()], ..tcp(2) }).await;
    node.connected(silent.peer).await;
    for id in 0..REQUESTS_PER_PEER as u64 + 5 {
        node.send(Command::Request { id: RequestId(id), peer: silent.peer, kind: Kind::Item, data: id.to_be_bytes().to_vec().into() });
    }
    for _ in 0..5 {
        let (id, result) = node
            .wait("a refusal", |event| match event {
                Event::Answered { id, result, .. } => Some((id, result)),
                _ => None,
            })
            .await;
        assert!(id.0 >= REQUESTS_PER_PEER as u64);
        assert_eq!(result, Err(Failure::TooMany));
    }
}
