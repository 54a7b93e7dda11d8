//! Four nodes in one thread: what is sent to one is in every log, with the same results, whatever the net and the power do.

use ao_consensus::frame::{FrameSignature, WireFrame};
use ao_storage::faulty::Fault;
use ao_storage::schema::{self, FrameKey};
use ao_types::{Canonical, DataItem, ItemBuilder, Tag, Verified, Wallet};
use bytes::Bytes;

use super::cluster::{Cluster, peer, wallet};
use super::rig::setup;
use super::*;
use crate::error::Code;
use crate::handle::Accepted;
use crate::network::seam::{Arrival, Judge, Order, Way};

const ENGINES: [&str; 3] = ["solo", "attest", "bft"];

fn user() -> Wallet {
    Wallet::ed25519_from_seed(&[3; 32])
}

fn tags(kind: &str, more: &[(&str, &str)]) -> Vec<Tag> {
    let fixed = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)];
    fixed.iter().chain(more).map(|(name, value)| Tag::new(*name, *value)).collect()
}

/// The module goes to node `n` only: the others ask for it.
pub fn upload(cluster: &mut Cluster, n: usize) {
    let module = ItemBuilder::new().tags(setup().default_module.0).sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap();
    cluster.worlds[n].submit(&module, true);
    cluster.settle();
}

pub fn process(cluster: &Cluster, scheduler: usize, n: u8) -> Verified<DataItem> {
    let (module, scheduler) = (cluster.worlds[0].module.to_string(), wallet(scheduler).address().to_string());
    let tags = tags("Process", &[("Module", &module), ("Scheduler", &scheduler)]);
    ItemBuilder::new().anchor([n; 32]).tags(tags).sign(&user()).unwrap()
}

pub fn message(to: Id, n: u8, more: &[(&str, &str)]) -> Verified<DataItem> {
    ItemBuilder::new().target(to).anchor([n; 32]).tags(tags("Message", more)).data(Bytes::new()).sign(&user()).unwrap()
}

#[test]
fn what_one_node_schedules_every_node_confirms_and_evaluates() {
    for engine in ENGINES {
        let mut cluster = Cluster::new(engine, 4, 1);
        upload(&mut cluster, 0);
        let spawn = process(&cluster, 0, 1);
        let born = cluster.worlds[0].submit(&spawn, false);
        cluster.settle();
        for n in 0..10 {
            cluster.worlds[0].submit(&message(spawn.id(), n, &[("Action", "Count")]), false);
            cluster.run_for(15);
        }
        cluster.settle();
        assert!(cluster.worlds[0].replies[&born].is_ok(), "{engine}");
        assert_eq!(cluster.worlds[3].log(spawn.id()).len(), 11, "{engine}");
        cluster.check(&[0, 1, 2, 3]);
        assert!(cluster.penalties.is_empty(), "{engine}: honest nodes find no fault: {:?}", cluster.penalties);
        if engine != "solo" {
            assert!(cluster.check_proofs(2) > 1, "{engine}");
        }
        if engine == "attest" {
            assert!(cluster.worlds[1].certified >= 11);
        }
    }
}

/// Two processes of two schedulers, that bounce messages between them; clients talk to nodes that schedule neither.
pub fn across(cluster: &mut Cluster, messages: u8) -> Vec<(usize, u64)> {
    upload(cluster, 0);
    let (one, two) = (process(cluster, 0, 1), process(cluster, 1, 2));
    // The module is at node 0: node 1, which must admit a process of it, asks for it.
    let mut sent = vec![(2, cluster.worlds[2].submit(&one, false)), (3, cluster.worlds[3].submit(&two, false))];
    cluster.settle();
    for n in 0..messages {
        let (to, other) = if n % 2 == 0 { (one.id(), two.id()) } else { (two.id(), one.id()) };
        let action = ["Count", "Send", "Bounce", "Fail"][usize::from(n) % 4];
        let item = message(to, n, &[("Action", action), ("To", &other.to_string()), ("Times", "2"), ("Left", "3")]);
        let at = usize::from(n) % 4;
        sent.push((at, cluster.worlds[at].submit(&item, false)));
        cluster.run_for(10);
    }
    cluster.settle();
    sent
}

#[test]
fn any_node_takes_what_another_schedules_and_outboxes_cross_the_network() {
    for (engine, seed) in [("attest", 2), ("bft", 3), ("attest", 4)] {
        let mut cluster = Cluster::new(engine, 4, seed);
        for (at, request) in across(&mut cluster, 12) {
            let reply = &cluster.worlds[at].replies[&request];
            assert!(reply.is_ok(), "{engine}, {seed}: node {at}: {reply:?}");
        }
        cluster.check(&[0, 1, 2, 3]);
        assert!(cluster.penalties.is_empty(), "{engine}: {:?}", cluster.penalties);
    }
}

#[test]
fn an_item_is_assigned_to_a_process_of_any_scheduler() {
    let mut cluster = Cluster::new("attest", 4, 21);
    upload(&mut cluster, 0);
    let [one, two, three] = [0, 1, 2].map(|n| process(&cluster, n, 1 + n as u8));
    for spawn in [&one, &two, &three] {
        cluster.worlds[3].submit(spawn, false);
    }
    cluster.settle();
    // An outbox: what one pushes to two is assigned to three as well, whose node has it from a frame of two's.
    let more = [("Action", "Share"), ("To", &two.id().to_string()), ("With", &three.id().to_string())];
    let share = message(one.id(), 9, &more);
    cluster.worlds[3].submit(&share, false);
    cluster.settle();
    let pushed = cluster.worlds[3].log(two.id())[1].item;
    assert_eq!(cluster.worlds[3].log(three.id()).get(1).map(|row| row.item), Some(pushed));
    // A client, at a node that schedules neither.
    let request = cluster.worlds[3].assign(share.id(), two.id());
    let twice = cluster.worlds[3].assign(pushed, three.id());
    cluster.settle();
    let accepted = cluster.worlds[3].replies[&request].as_ref().unwrap();
    assert_eq!((accepted.process, accepted.slot), (Some(two.id()), Some(Slot(2))));
    assert_eq!(cluster.worlds[0].log(two.id())[2].item, share.id());
    assert_eq!(cluster.worlds[3].replies[&twice].as_ref().unwrap_err().code, Code::Duplicate);
    // What is in no frame never gets to the other's node: that is said at once.
    let loose = message(Id([77; 32]), 7, &[]);
    cluster.worlds[3].submit(&loose, true);
    cluster.settle();
    let request = cluster.worlds[3].assign(loose.id(), two.id());
    cluster.settle();
    assert_eq!(cluster.worlds[3].replies[&request].as_ref().unwrap_err().code, Code::ItemUnknown);
    cluster.check(&[0, 1, 2, 3]);
    assert!(cluster.penalties.is_empty(), "{:?}", cluster.penalties);
}

#[test]
fn who_sent_a_message_to_a_node_can_read_of_it_there_at_once() {
    let mut cluster = Cluster::new("attest", 4, 11);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    for n in 0..8 {
        let item = message(spawn.id(), n, &[("Action", "Count")]);
        let request = cluster.worlds[2].submit(&item, false);
        while !cluster.worlds[2].replies.contains_key(&request) {
            cluster.run_for(1);
        }
        let slot = cluster.worlds[2].replies[&request].as_ref().unwrap().slot;
        assert_eq!(cluster.worlds[2].log(spawn.id()).last().map(|row| row.item), Some(item.id()), "{slot:?}");
    }
}

#[test]
fn an_answer_waits_for_its_frame_no_longer_than_the_bound() {
    let mut cluster = Cluster::new("attest", 4, 12);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    let world = &mut cluster.worlds[2];
    let item = message(spawn.id(), 1, &[]);
    let request = world.submit(&item, false);
    while world.turn() {}
    let forward = world.orders.drain(..).find_map(|order| if let Order::Forward { forward, .. } = order { Some(forward) } else { None });
    let accepted = Accepted { id: item.id(), process: Some(spawn.id()), slot: Some(Slot(1)), assignment: None, timestamp_ms: 1 };
    world.arrive(Arrival::Forwarded { forward: forward.unwrap(), answer: Ok(accepted.clone()) });
    let sent = world.now();
    while world.turn() {}
    assert!(!world.replies.contains_key(&request), "no frame came");
    world.settle();
    assert_eq!(world.replies[&request], Ok(accepted));
    assert!(world.now().since_ms(sent) >= limits::FORWARD_SEEN_MS);
}

/// The connection ends after the other node has taken an item and before it said so: it is asked once more, and has it already.
#[test]
fn an_item_that_was_taken_at_the_first_asking_is_no_duplicate_at_the_second() {
    let mut cluster = Cluster::new("attest", 4, 13);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    let said = |code: Code| Err(Rejection::new(code, "it is there, or may be"));
    let forwarded = |cluster: &mut Cluster, item: &Verified<DataItem>| {
        let world = &mut cluster.worlds[2];
        let request = world.submit(item, false);
        while world.turn() {}
        let forward =
            world.orders.drain(..).find_map(|order| if let Order::Forward { forward, .. } = order { Some(forward) } else { None });
        (request, forward.unwrap())
    };
    let lost = [Code::Duplicate, Code::Underway, Code::TimedOut];
    for (n, (code, answer_first)) in (1..).zip(lost.into_iter().flat_map(|code| [(code, true), (code, false)])) {
        let item = message(spawn.id(), n, &[("Action", "Count")]);
        let (request, forward) = forwarded(&mut cluster, &item);
        if answer_first {
            cluster.worlds[2].arrive(Arrival::Forwarded { forward, answer: said(code) });
        }
        cluster.worlds[0].submit(&item, false);
        cluster.run_for(200);
        if !answer_first {
            cluster.worlds[2].arrive(Arrival::Forwarded { forward, answer: said(code) });
        }
        cluster.settle();
        let accepted = cluster.worlds[2].replies[&request].clone().unwrap();
        let row = cluster.worlds[2].log(spawn.id()).pop().unwrap();
        assert_eq!((accepted.id, accepted.slot), (item.id(), Some(Slot(n.into()))));
        assert_eq!(accepted.assignment, Some(row.assignment_id));
    }
    // What was there before it was sent is refused at once, what never comes when it was waited for.
    let known = message(spawn.id(), 2, &[("Action", "Count")]);
    let other = message(spawn.id(), 100, &[("Action", "Count")]);
    for (item, waits) in [(known, false), (other, true)] {
        for code in lost {
            let (request, forward) = forwarded(&mut cluster, &item);
            cluster.worlds[2].arrive(Arrival::Forwarded { forward, answer: said(code) });
            let sent = cluster.worlds[2].now();
            while !cluster.worlds[2].replies.contains_key(&request) {
                cluster.run_for(1);
            }
            assert_eq!(cluster.worlds[2].now().since_ms(sent) >= limits::FORWARD_LOST_MS, waits);
            assert_eq!(cluster.worlds[2].replies[&request].clone().unwrap_err().code, code);
        }
    }
}

#[test]
fn a_net_that_loses_a_third_changes_nothing() {
    let mut cluster = Cluster::new("attest", 4, 5);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    cluster.loss = 33;
    for n in 0..20 {
        cluster.worlds[0].submit(&message(spawn.id(), n, &[("Action", "Count")]), false);
        cluster.run_for(20);
    }
    cluster.run_for(2_000);
    cluster.loss = 0;
    cluster.settle();
    cluster.check(&[0, 1, 2, 3]);
}

#[test]
fn two_of_four_confirm_nothing_and_go_on_when_a_third_is_back() {
    let mut cluster = Cluster::new("attest", 4, 6);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    cluster.cut = [2, 3].into();
    let request = cluster.worlds[0].submit(&message(spawn.id(), 1, &[("Action", "Count")]), false);
    cluster.run_for(30_000);
    assert_eq!(cluster.worlds[0].replies[&request].as_ref().map(|accepted| accepted.slot), Ok(Some(Slot(1))), "it is assigned");
    assert_eq!(schema::CONFIRMED.get(&*cluster.worlds[0].store, &spawn.id()).unwrap(), Some(Slot(0)), "and not confirmed");
    cluster.cut = [3].into();
    cluster.settle();
    cluster.check(&[0, 1, 2]);
    cluster.cut.clear();
    cluster.settle();
    cluster.check(&[0, 1, 2, 3]);
}

#[test]
fn a_scheduler_that_does_not_answer_is_a_refusal_to_try_again() {
    let mut cluster = Cluster::new("attest", 4, 7);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    cluster.cut = [0].into();
    let request = cluster.worlds[2].submit(&message(spawn.id(), 1, &[("Action", "Count")]), false);
    cluster.run_for(100);
    let refusal = cluster.worlds[2].replies[&request].clone().unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_s.is_some()), (Code::Unavailable, true));
}

/// After the power fails at a write of a member: the network has one log again, and what was acknowledged is in it.
#[test]
#[ignore = "takes minutes: run it with --run-ignored all"]
fn a_crash_at_a_write_of_a_member_loses_nothing() {
    let full = std::env::var_os("AONODE_FULL").is_some();
    for engine in ["attest", "bft"] {
        for node in [0, 1] {
            let mut whole = Cluster::new(engine, 4, 8);
            across(&mut whole, 4);
            let writes = whole.worlds[node].store.writes();
            assert!(writes > 10, "{writes}");
            // A few of them everywhere, all of them where there is time.
            let step = if full { 1 } else { writes / 3 };
            for write in (1 + node as u64..=writes).step_by(step as usize) {
                crash_at(engine, node, write);
            }
        }
    }
}

fn crash_at(engine: &'static str, node: usize, write: u64) {
    let mut cluster = Cluster::new(engine, 4, 8);
    cluster.restart(node, Default::default(), Fault::CrashAt(write));
    let sent = across(&mut cluster, 4);
    let acknowledged: Vec<_> = sent.iter().filter_map(|(at, request)| cluster.worlds[*at].replies.get(request)?.clone().ok()).collect();
    let contents = cluster.worlds[node].store.survivors().into_iter().next().unwrap_or_default();
    cluster.restart(node, contents, Fault::None);
    cluster.settle();
    cluster.check(&[0, 1, 2, 3]);
    for accepted in acknowledged {
        let Some(process) = accepted.process else { continue };
        let there = facts::assigned(&*cluster.worlds[3].store, process, accepted.id).unwrap();
        assert_eq!(there, accepted.slot, "{engine}, node {node}, write {write}");
    }
}

#[test]
fn a_second_header_for_one_place_is_evidence_at_every_node() {
    // Whoever hears of it first, with its body or without; of the last one the own wallet signed both.
    for (listener, whole) in [(1, true), (1, false), (0, true)] {
        second_header(listener, whole);
    }
}

fn second_header(listener: usize, whole: bool) {
    let mut cluster = Cluster::new("attest", 4, 9);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    let key = FrameKey { scheduler: wallet(0).address(), tenure: 0, sequence: 0 };
    let bytes = frames::whole(&*cluster.worlds[0].store, &key).unwrap().unwrap();
    let mut wire = WireFrame::decode(&bytes).unwrap();
    wire.header.header.block_id[0] ^= 1;
    wire.header.signature = FrameSignature::sign(&wire.header.header.id(), &wallet(0)).unwrap();
    let (bytes, way) = if whole { (wire.encode(), Way::Gossip) } else { (wire.header.encode(), Way::Header) };
    let arrival = Arrival::Frame { from: peer(2), bytes: bytes.into(), way, judge: Judge::nobody() };
    cluster.worlds[listener].arrive(arrival);
    cluster.settle();
    for world in &cluster.worlds {
        let shown = schema::EVIDENCE.all(&*world.store, ao_storage::Direction::Forward, 10).unwrap();
        assert_eq!(shown.len(), 1, "listener {listener}");
        assert_eq!(world.faults, ["two-headers"]);
    }
    cluster.check(&[0, 1, 2, 3]);
}

#[test]
fn a_stranger_that_contradicts_itself_fills_no_node() {
    let mut cluster = Cluster::new("attest", 4, 22);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    let key = FrameKey { scheduler: wallet(0).address(), tenure: 0, sequence: 0 };
    let bytes = frames::whole(&*cluster.worlds[0].store, &key).unwrap().unwrap();
    let raw = WireFrame::decode(&bytes).unwrap().header;
    let two_of = |signer: &Wallet, n: u8| {
        let header = |n: u8| {
            let mut raw = raw.clone();
            raw.header.chain.scheduler = signer.address();
            raw.header.block_id[0] = n;
            raw.signature = FrameSignature::sign(&raw.header.id(), signer).unwrap();
            raw
        };
        let evidence = ao_consensus::Evidence::TwoHeaders(Box::new((header(0), header(n))));
        Arrival::Evidence { from: peer(2), bytes: evidence.encode().into(), judge: Judge::nobody() }
    };
    let kept = |cluster: &Cluster| schema::EVIDENCE.all(&*cluster.worlds[1].store, ao_storage::Direction::Forward, 100).unwrap().len();
    // Keys cost nothing: each would be an offender with places of its own.
    for n in 0..3 {
        cluster.worlds[1].arrive(two_of(&Wallet::ed25519_from_seed(&[200 + n; 32]), 1));
    }
    cluster.settle();
    assert_eq!(kept(&cluster), 0);
    assert_eq!(cluster.penalties, vec![(peer(2), 1); 3], "whoever hands it on could have known");
    // A scheduler of the network is another matter, up to the bound, and beyond it nobody is blamed for handing on what is true.
    for n in 1..=limits::EVIDENCE_OF_ONE_MAX as u8 + 4 {
        cluster.worlds[1].arrive(two_of(&wallet(0), n));
    }
    cluster.settle();
    assert_eq!((kept(&cluster), cluster.penalties.len()), (limits::EVIDENCE_OF_ONE_MAX, 3));
}

#[test]
fn a_frame_that_breaks_a_rule_is_refused_and_costs_who_could_have_known() {
    let mut cluster = Cluster::new("attest", 4, 10);
    upload(&mut cluster, 0);
    let spawn = process(&cluster, 0, 1);
    cluster.worlds[0].submit(&spawn, false);
    cluster.settle();
    // The scheduler's next frame says the slot of before again.
    let key = FrameKey { scheduler: wallet(0).address(), tenure: 0, sequence: 0 };
    let first = frames::whole(&*cluster.worlds[0].store, &key).unwrap().unwrap();
    let body = WireFrame::decode(&first).unwrap().body;
    let last = cluster.last_tip(0, 0);
    let draft = ao_consensus::Draft {
        network_id: cluster.network(),
        epoch: ao_types::Epoch(0),
        control_height: 0,
        closed: Vec::new(),
        certificates: Vec::new(),
        body: body.clone(),
        now: last.timestamp,
        block: (last.block_height, [0; 48]),
    };
    let built = last.build(draft).unwrap();
    let signature = FrameSignature::sign(&built.id, &wallet(0)).unwrap();
    let header = ao_consensus::RawHeader { header: built.frame.header, signature };
    let bytes = Bytes::from(WireFrame { header, body }.encode());
    let arrives = |cluster: &mut Cluster, from: usize, way: Way| {
        cluster.worlds[1].arrive(Arrival::Frame { from: peer(from), bytes: bytes.clone(), way, judge: Judge::nobody() });
        cluster.settle();
    };
    // Its signatures hold: whoever only hands it on is not to blame.
    arrives(&mut cluster, 2, Way::Gossip);
    assert_eq!((cluster.penalties.len(), cluster.worlds[1].log(spawn.id()).len()), (0, 1), "{:?}", cluster.penalties);
    arrives(&mut cluster, 0, Way::Gossip);
    assert_eq!(cluster.penalties, vec![(peer(0), 1)], "its scheduler is");
    arrives(&mut cluster, 2, Way::Asked);
    assert_eq!(cluster.penalties[1..], [(peer(2), 1)], "and so is whoever keeps it and gives it to who asks");
    assert_eq!(cluster.worlds[1].log(spawn.id()).len(), 1);
    assert!(cluster.worlds[1].faults[0].contains("slot 0"), "{:?}", cluster.worlds[1].faults);
}

#[test]
fn forged_certificates_fill_no_node() {
    let mut cluster = Cluster::new("attest", 4, 14);
    let chain = ao_consensus::Chain { scheduler: wallet(0).address(), tenure: 0 };
    let mut tip = ao_consensus::ChainTip::opened(chain);
    let sent = limits::FRAMES_UNCONFIRMED_MAX + 40;
    for _ in 0..sent {
        // Carries "certificates" of the frame before: in form they open the window, whatever the signature is.
        let certificates = tip.recent.back().map(|last| {
            let statement = ao_types::Statement::Frame { chain, sequence: tip.next_sequence - 1, frame: last.frame };
            let mut signers = ao_types::Signers::none(4);
            assert!((0..3).all(|index| signers.insert(index)));
            ao_types::Certificate { statement, epoch: ao_types::Epoch(0), signers, signature: ao_types::BlsSignature([7; 96]) }
        });
        let body = ao_consensus::Body::of(Vec::new());
        let draft = ao_consensus::Draft {
            network_id: cluster.network(),
            epoch: ao_types::Epoch(0),
            control_height: 0,
            closed: Vec::new(),
            certificates: certificates.into_iter().collect(),
            body: body.clone(),
            now: ao_consensus::Timestamp(20_000),
            block: (100, [0; 48]),
        };
        let built = tip.build(draft).unwrap();
        let signature = FrameSignature::sign(&built.id, &wallet(0)).unwrap();
        let header = ao_consensus::RawHeader { header: built.frame.header, signature };
        let bytes = Bytes::from(WireFrame { header, body }.encode());
        tip = built.tip;
        cluster.worlds[1].arrive(Arrival::Frame { from: peer(2), bytes, way: Way::Gossip, judge: Judge::nobody() });
        while cluster.worlds[1].turn() {}
    }
    let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: 0, sequence };
    let rows = schema::FRAMES.range(&*cluster.worlds[1].store, &key(0), &key(u64::MAX), ao_storage::Direction::Forward, 10_000).unwrap();
    assert_eq!(rows.len() as u64, limits::FRAMES_UNCONFIRMED_MAX, "of {sent}");
}

#[test]
fn a_module_that_any_node_has_is_enough_to_spawn_and_one_that_nobody_has_is_refused() {
    let mut cluster = Cluster::new("attest", 4, 13);
    // Nobody has it yet: the client hears it when all who can be asked have said so.
    let early = process(&cluster, 1, 1);
    let request = cluster.worlds[2].submit(&early, false);
    cluster.settle();
    assert_eq!(cluster.worlds[2].replies[&request].as_ref().unwrap_err().code, Code::ModuleRefused);
    upload(&mut cluster, 3);
    let spawn = process(&cluster, 1, 2);
    let request = cluster.worlds[2].submit(&spawn, false);
    cluster.settle();
    assert_eq!(cluster.worlds[2].replies[&request].as_ref().map(|accepted| accepted.slot), Ok(Some(Slot(0))));
    cluster.check(&[0, 1, 2, 3]);
    assert!(cluster.penalties.is_empty(), "{:?}", cluster.penalties);
}

#[test]
fn a_process_whose_frame_is_not_here_yet_gets_its_messages_and_only_a_wallet_is_a_wallet() {
    let mut cluster = Cluster::new("attest", 4, 14);
    upload(&mut cluster, 0);
    let (one, two) = (process(&cluster, 0, 1), process(&cluster, 1, 2));
    cluster.worlds[0].submit(&one, false);
    cluster.settle();
    cluster.cut = [0].into();
    cluster.worlds[1].submit(&two, false);
    cluster.run_for(3_000);
    cluster.cut.clear();
    assert!(cluster.worlds[0].log(two.id()).is_empty() && !cluster.worlds[1].log(two.id()).is_empty());
    let wallet_of_nobody = Id([77; 32]).to_string();
    let sent = [
        message(one.id(), 1, &[("Action", "Send"), ("To", &two.id().to_string())]),
        message(one.id(), 2, &[("Action", "Send"), ("To", &wallet_of_nobody)]),
        // A client's message to a process that this node has not heard of.
        message(two.id(), 3, &[("Action", "Count")]),
    ];
    let requests: Vec<u64> = sent.iter().map(|item| cluster.worlds[0].submit(item, false)).collect();
    cluster.settle();
    for request in requests {
        assert!(cluster.worlds[0].replies[&request].is_ok(), "{:?}", cluster.worlds[0].replies[&request]);
    }
    assert_eq!(cluster.worlds[2].log(two.id()).len(), 3, "its birth, what was pushed, what the client sent");
    assert_eq!(cluster.worlds[2].log(one.id()).len(), 3);
    cluster.check(&[0, 1, 2, 3]);
}

#[test]
fn whether_a_process_exists_is_said_by_enough_nodes_or_not_at_all() {
    let mut cluster = Cluster::new("attest", 4, 15);
    let code = |cluster: &mut Cluster, n: u8| {
        let request = cluster.worlds[0].submit(&message(Id([n; 32]), n, &[]), false);
        cluster.run_for(limits::SEEK_MS + 1_000);
        cluster.worlds[0].replies[&request].as_ref().unwrap_err().clone()
    };
    assert_eq!(code(&mut cluster, 1).code, Code::ProcessUnknown);
    cluster.cut = [2, 3].into();
    let refusal = code(&mut cluster, 2);
    assert_eq!((refusal.code, refusal.retry_after_s.is_some()), (Code::Unavailable, true), "one of three is not enough");
}

#[test]
fn submissions_that_wait_for_others_are_bounded_and_do_not_wait_for_ever() {
    let mut cluster = Cluster::new("attest", 4, 16);
    let world = &mut cluster.worlds[0];
    let requests: Vec<u64> = (0..=limits::SEEKS_MAX)
        .map(|n| {
            let mut id = [9; 32];
            id[..4].copy_from_slice(&(n as u32).to_be_bytes());
            world.submit(&message(Id(id), 1, &[]), false)
        })
        .collect();
    while world.turn() {}
    let refused: Vec<_> = requests.iter().filter_map(|request| world.replies.get(request)).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].as_ref().unwrap_err().code, Code::Busy);
    world.at(world.now().plus_ms(limits::SEEK_MS));
    world.tick();
    while world.turn() {}
    assert!(requests.iter().all(|request| world.replies[request].is_err()));
}
