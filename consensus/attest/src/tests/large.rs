//! Committees that are cut into slices (rule G1).

use ao_consensus::pace::Pace;
use ao_types::Canonical;

use super::rig::*;
use super::world::World;
use crate::draw::{Seed, members_of, slice_count, slice_of};
use crate::limits::SLICES_FROM;
use crate::wire::Message;

const MEMBERS: usize = 200;

fn seed(net: &Net) -> Seed {
    Seed::new(&net.network, net.committee(0).epoch(), &net.chain, 0)
}

fn top(net: &Net) -> Vec<u16> {
    seed(net).draw(0, net.committee(0), 0..MEMBERS as u16)
}

fn of_slice(net: &Net, slice: usize) -> Vec<u16> {
    let among = members_of(slice, slice_count(MEMBERS), MEMBERS);
    seed(net).draw(slice as u64 + 1, net.committee(0), among)
}

/// A member that adds nothing up.
fn plain(net: &Net, slice: usize) -> u16 {
    let busy = |member: &u16| top(net).contains(member) || of_slice(net, slice).contains(member) || *member == net.host;
    members_of(slice, slice_count(MEMBERS), MEMBERS).find(|member| !busy(member)).unwrap()
}

#[test]
fn a_share_goes_to_its_slice_first_and_later_to_those_of_the_whole() {
    const { assert!(MEMBERS >= SLICES_FROM) };
    let net = Net::of(MEMBERS);
    let (member, mut line) = (plain(&net, 1), net.line());
    let mut rig = Rig::member(&net, member);
    rig.frame(&line.frame(vec![]));
    let seen = rig.write();
    let mut expected: Vec<String> = of_slice(&net, 1).iter().map(|member| format!("share 0 → {}", rig.name(&net.peer(*member)))).collect();
    let mut shares: Vec<String> = only(&seen, "share").into_iter().map(str::to_owned).collect();
    expected.sort();
    shares.sort();
    assert_eq!(shares, expected);
    let later = rig.pass(100);
    assert!(later.contains(&format!("share 0 → {}", rig.name(&net.peer(net.host)))), "both aggregators of the slice may be silent");
    rig.assert_sound();
}

#[test]
fn an_aggregator_of_a_slice_sends_one_sum_and_another_when_it_has_grown() {
    let net = Net::of(MEMBERS);
    let slice = 1;
    let aggregator = of_slice(&net, slice)[0];
    let (mut rig, mut line) = (Rig::member(&net, aggregator), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let members: Vec<u16> = members_of(slice, slice_count(MEMBERS), MEMBERS).filter(|member| *member != aggregator).collect();
    members[..9].iter().for_each(|member| drop(rig.share(*member, &frame)));
    let seen = rig.pass(12);
    let to_scheduler = format!("sum of 10 0 → {}", rig.name(&net.peer(net.host)));
    assert!(seen.contains(&to_scheduler), "{seen:?}");
    assert!(only(&rig.pass(200), "sum").is_empty(), "nothing new");
    rig.share(members[9], &frame);
    assert_eq!(only(&rig.pass(2_000), "sum of 11").len(), only(&seen, "sum of 10").len());
    rig.assert_sound();
}

#[test]
fn sums_become_a_certificate() {
    let net = Net::of(MEMBERS);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let slices = slice_count(MEMBERS);
    let mut seen = Vec::new();
    for slice in 0..slices {
        let (aggregator, members) = (of_slice(&net, slice)[0], members_of(slice, slices, MEMBERS));
        seen.extend(rig.hear(net.peer(aggregator), &Message::Sum(net.certificate(&frame, members))));
    }
    assert_eq!(only(&seen, "certified"), ["certified 0"]);
    assert!(only(&seen, "penalise").is_empty(), "{seen:?}");
    rig.assert_sound();
}

#[test]
fn sums_of_others_are_not_taken_and_bad_ones_are_found() {
    let net = Net::of(MEMBERS);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let slices = slice_count(MEMBERS);
    let good = |slice| net.certificate(&frame, members_of(slice, slices, MEMBERS));
    let outsider = plain(&net, 0);
    let name = rig.name(&net.peer(outsider));
    assert_eq!(rig.hear(net.peer(outsider), &Message::Sum(good(0))), [format!("penalise {name} Foreign")]);
    let wrong_slice = net.certificate(&frame, members_of(1, slices, MEMBERS));
    let aggregator = of_slice(&net, 0)[0];
    let by = rig.name(&net.peer(aggregator));
    if !of_slice(&net, 1).contains(&aggregator) {
        assert_eq!(rig.hear(net.peer(aggregator), &Message::Sum(wrong_slice)), [format!("penalise {by} Foreign")]);
    }
    let mut bad = good(0);
    bad.signature = net.share(0, &frame).signature;
    assert!(rig.hear(net.peer(aggregator), &Message::Sum(bad)).is_empty(), "not checked before it counts");
    let mut seen = Vec::new();
    for slice in 1..slices {
        seen.extend(rig.hear(net.peer(of_slice(&net, slice)[0]), &Message::Sum(good(slice))));
    }
    assert_eq!(only(&seen, "penalise"), [format!("penalise {by} BadSignature")]);
    assert_eq!(only(&seen, "certified"), ["certified 0"], "three slices of four are a quorum");
    assert_eq!(slice_of(aggregator, slices), 0);
    rig.assert_sound();
}

/// What a node may spend on votes in a second (`consensus.md` §13).
const VOTE_BYTES_MAX: u64 = 1 << 20;

/// In the first second nobody knows yet how long a certificate takes: shares and the last certificates are said again too early.
const FIRST_BYTES_MAX: u64 = 4 << 20;

/// And the size of a certificate.
const CERTIFICATE_BYTES_MAX: usize = 400;

/// At ten frames a second, whatever a node does for a committee of this size: it schedules, adds up, or only signs.
#[test]
#[allow(clippy::print_stdout, reason = "the figures, for who asks for them")]
fn votes_of_a_large_committee_are_cheap_for_everybody() {
    let members = if std::env::var_os("AONODE_FULL").is_some() { 1_000 } else { MEMBERS };
    let mut world = World::new(&Net::of(members), 5, &[]);
    world.lines[0].1 = Pace::new(100);
    world.run(1_000, true);
    let first = std::mem::replace(&mut world.said, vec![0; members]);
    let seconds = 2;
    world.run((seconds - 1) * 1_000, true);
    assert!(world.owed >= 10 * seconds - 1, "{} frames", world.owed);
    world.assert_safe();
    assert!(world.confirmed() as u64 + 6 >= world.owed, "{} of {} frames are confirmed", world.confirmed(), world.owed);
    let of = |said: &[u64]| (said.iter().max().copied().unwrap_or(0), said.iter().sum::<u64>() / members as u64);
    let ((most, mean), (most_first, mean_first)) = (of(&world.said), of(&first));
    let certificate = world.net.quorum(&world.net.line().frame(vec![])).encode().len();
    println!(
        "{members} members: votes cost {most} B/s at most, {mean} B/s at the mean (the first second {most_first} and {mean_first}); \
         a certificate has {certificate} bytes"
    );
    assert!(most <= VOTE_BYTES_MAX, "{most} bytes a second");
    assert!(most_first <= FIRST_BYTES_MAX, "{most_first} bytes in the first second");
    assert!((1..=CERTIFICATE_BYTES_MAX).contains(&certificate), "{certificate} bytes");
}
