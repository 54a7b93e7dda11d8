//! Snapshots that are changed, forged, stale, cut and endless; sources that lie.

use std::sync::Arc;

use ao_consensus::SecretKey as _;
use ao_consensus::Timestamp;
use ao_consensus::certificate::Collector;
use ao_consensus::cheap::CheapSecret;
use ao_consensus::protection::memory::MemoryProtection;
use ao_p2p::{Failure, NodeKey, PeerId};
use ao_types::codec::Canonical as _;
use ao_types::{Certificate, ResultHash};
use parking_lot::Mutex;

use super::fetch::{Ask, Came, Fetch, Pace};
use super::file::SnapshotFile;
use super::limits::{
    BODY_BYTES_MAX, CHUNKS_AT_ONCE, KEPT_PER_PROCESS, MANIFEST_BYTES_MAX, PART_BYTES, PARTS_PER_PEER, SOURCE_FAILURES_MAX,
};
use super::shelf::Shelf;
use super::*;
use crate::error::Code;
use crate::shell::membership::Membership;
use crate::shell::tests::cluster;
use crate::shell::tests::rig::Rig;

const NOW: Timestamp = Timestamp(1_000_000_000);

/// A sample, as the golden bytes and the seeds of fuzzers have it.
pub fn manifest() -> Manifest {
    let certificate = Bytes::from_static(b"certificate");
    let (result, root) = (ResultHash([6; 32]), StateHash([7; 32]));
    Manifest {
        network: NetworkId([1; 32]),
        process: Id([2; 32]),
        slot: Slot(9_999),
        module: Id([3; 32]),
        state: CertifiedStateRow { schedule_epoch: 0, result, state: root, host_abi: 5, computed: false, certificate: Some(certificate) },
        assignment: Id([8; 32]),
        hash_chain: [9; 32],
        timestamp_ms: 1_000,
        block_height: 10,
        total: CHUNK_BYTES as u64 + 5,
        chunks: vec![[11; 32], [12; 32]],
    }
}

/// L6: what other versions wrote is read for ever, and what this one writes is read by them.
#[test]
fn the_bytes_of_a_manifest_are_fixed() {
    let bytes = manifest().encode();
    assert_eq!(Manifest::decode(&bytes), Ok(manifest()));
    let run = |byte: &str| byte.repeat(32);
    let expected = [
        "01",
        &run("01"),
        &run("02"),
        "000000000000270f",
        &run("03"),
        "0000000000000000",
        &run("06"),
        &run("07"),
        "00000005",
        "0000000b6365727469666963617465",
        &run("08"),
        &run("09"),
        "00000000000003e8",
        "000000000000000a",
        "0000000000800005",
        &run("0b"),
        &run("0c"),
    ];
    assert_eq!(hex::encode(&bytes), expected.concat());
    assert_eq!(hex::encode(manifest().id()), hex::encode(Manifest { state: other_certificate(), ..manifest() }.id()), "whoever signed");
}

fn other_certificate() -> CertifiedStateRow {
    CertifiedStateRow { certificate: Some(Bytes::from_static(b"of other signers")), ..manifest().state }
}

#[test]
fn a_manifest_has_bounds_before_anything_is_allocated() {
    let at = manifest().encode().len() - 2 * 32 - 8;
    let with_total = |total: u64| {
        let mut bytes = manifest().encode();
        bytes[at..at + 8].copy_from_slice(&total.to_be_bytes());
        Manifest::decode(&bytes)
    };
    assert!(with_total(manifest().total).is_ok());
    for total in [0, 1, BODY_BYTES_MAX, BODY_BYTES_MAX + 1, u64::MAX, 2 * CHUNK_BYTES as u64 + 1] {
        assert!(with_total(total).is_err(), "{total} bytes in two chunks");
    }
    let largest = Manifest { total: BODY_BYTES_MAX, chunks: vec![[1; 32]; limits::CHUNKS_MAX], ..manifest() };
    let certificate = Some(Bytes::from(vec![0; limits::CERTIFICATE_BYTES_MAX]));
    let largest = Manifest { state: CertifiedStateRow { certificate, ..manifest().state }, ..largest };
    assert!(largest.encode().len() <= MANIFEST_BYTES_MAX);
    let longer = CertifiedStateRow { certificate: Some(Bytes::from(vec![0; limits::CERTIFICATE_BYTES_MAX + 1])), ..manifest().state };
    assert!(Manifest::decode(&Manifest { state: longer, ..manifest() }.encode()).is_err());
    let trailing = [&manifest().encode()[..], b"x"].concat();
    assert!(Manifest::decode(&trailing).is_err());
    for length in 0..manifest().encode().len() {
        assert!(Manifest::decode(&manifest().encode()[..length]).is_err(), "cut at {length}");
    }
}

fn membership(of: usize) -> Arc<Membership> {
    cluster::membership("attest", 0, of, Arc::new(Mutex::new(MemoryProtection::new())))
}

fn sign(membership: &Membership, manifest: &Manifest, who: &[u64]) -> Bytes {
    let statement = states::statement(manifest.process, manifest.slot, &manifest.state);
    let roster = membership.rosters.get(membership.committee.epoch()).unwrap().clone();
    let mut collector = Collector::new(&membership.network, membership.scheme.clone(), roster, statement);
    for n in who {
        let secret = CheapSecret::new(n + 1);
        let index = membership.committee.index_of(&secret.public()).unwrap();
        assert!(collector.add(index, secret.sign(&statement.message(&membership.network))));
    }
    collector.certificate().certificate.unwrap().encode().into()
}

/// A full checkpoint of some pages, its module and root.
fn state(pages: usize) -> (Id, StateHash, Bytes) {
    let module = Id([3; 32]);
    let mut memory = vec![0_u8; (pages * ao_vm::limits::PAGE).next_multiple_of(1 << 16)];
    // Nothing that packs well: chunks are of packed bytes.
    let mut seed = 7_u64;
    for byte in memory.iter_mut().take(pages * ao_vm::limits::PAGE) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (seed >> 33) as u8;
    }
    let made = ao_vm::checkpoint::import_gzip(module, "test", &ao_vm::checkpoint::export_gzip(&memory).unwrap()).unwrap();
    (module, made.root, made.bytes)
}

/// A snapshot that holds, of a network of four.
pub fn whole(pages: usize) -> (Arc<Membership>, Manifest, Bytes) {
    let membership = membership(4);
    let (module, root, body) = state(pages);
    let sample = manifest();
    let state = CertifiedStateRow { state: root, host_abi: ao_vm::HOST_ABI, certificate: None, ..sample.state.clone() };
    let row = CheckpointRow { root, bytes: body.len() as u64, ..sample.row() };
    let mut made = Manifest::of(membership.network, (sample.process, module, sample.slot), state, &row, &body);
    made.timestamp_ms = NOW.0 - 1_000;
    made.state.certificate = Some(sign(&membership, &made, &[0, 1, 2]));
    (membership, made, body)
}

/// Of one field.
type Change = fn(&mut Manifest);

fn trust<'a>(membership: &'a Membership, roots: &'a [Root]) -> Trust<'a> {
    Trust { network: membership.network, rosters: Some(&membership.rosters), trust_period_ms: 10_000, roots }
}

#[test]
fn what_a_quorum_vouches_for_is_taken_and_whatever_is_changed_is_not() {
    let (membership, good, body) = whole(40);
    let trust = trust(&membership, &[]);
    let check = |manifest: &Manifest| manifest.check(&trust).and_then(|()| manifest.check_body(&body));
    check(&good).unwrap();
    good.check_age(&trust, good.timestamp_ms, NOW).unwrap();
    let changed: [(&str, Change); 10] = [
        ("network", |one| one.network = NetworkId([9; 32])),
        ("process", |one| one.process = Id([9; 32])),
        ("slot", |one| one.slot = Slot(1)),
        ("module", |one| one.module = Id([9; 32])),
        ("schedule epoch", |one| one.state.schedule_epoch = 1),
        ("result", |one| one.state.result = ResultHash([9; 32])),
        ("root", |one| one.state.state = StateHash([9; 32])),
        ("host ABI", |one| one.state.host_abi += 1),
        ("certificate", |one| one.state.certificate = Some(Bytes::from_static(b"forged"))),
        ("size", |one| one.total += 1),
    ];
    for (what, change) in changed {
        let mut one = good.clone();
        change(&mut one);
        assert!(check(&one).is_err(), "{what} may be changed");
    }
    // The rest is compared with the log by whoever takes it over (`shell::begin`), and the name changes with it.
    let described: [Change; 4] =
        [|one| one.assignment = Id([0; 32]), |one| one.hash_chain = [0; 32], |one| one.timestamp_ms += 1, |one| one.block_height += 1];
    for change in described {
        let mut one = good.clone();
        change(&mut one);
        assert_ne!(one.id(), good.id());
    }
}

#[test]
fn foreign_committees_minorities_and_nobody_are_not_believed() {
    let (membership, good, _) = whole(4);
    let with = |certificate: Option<Bytes>| Manifest { state: CertifiedStateRow { certificate, ..good.state.clone() }, ..good.clone() };
    let trust_all = trust(&membership, &[]);
    let foreign = cluster::membership("attest", 0, 7, Arc::new(Mutex::new(MemoryProtection::new())));
    let theirs = with(Some(sign(&foreign, &good, &[0, 1, 2, 3, 4])));
    assert!(matches!(theirs.check(&trust_all), Err(Refused::Untrue(Untrue::Certificate(_)))));
    let mut minority = Certificate::decode(good.state.certificate.as_ref().unwrap()).unwrap();
    let last = minority.signers.iter().last().unwrap();
    minority.signers.remove(last);
    assert!(matches!(with(Some(minority.encode().into())).check(&trust_all), Err(Refused::Untrue(Untrue::Certificate(_)))));
    for nobody in [None, Some(Bytes::new())] {
        assert!(matches!(with(nobody).check(&trust_all), Err(Refused::Untrue(Untrue::Uncertified { .. }))));
    }
    // On a network of one nobody vouches, so a stranger's file is believed only if the operator says so.
    let alone = Trust { rosters: None, ..trust_all.clone() };
    assert!(with(Some(Bytes::new())).check(&alone).is_err());
    let roots = [Root { slot: good.slot, state: good.state.state }];
    with(Some(Bytes::new())).check(&Trust { roots: &roots, ..alone.clone() }).unwrap();
    let other = [Root { slot: Slot(1), state: good.state.state }, Root { slot: good.slot, state: StateHash([1; 32]) }];
    assert!(with(Some(Bytes::new())).check(&Trust { roots: &other, ..alone }).is_err());
}

/// A root that the operator named is a reason to begin there. It makes no certificate true, and nothing is kept or told as certified.
#[test]
fn an_unchecked_certificate_is_not_kept_as_one() {
    let (membership, good, _) = whole(4);
    let mut flipped = good.state.certificate.clone().unwrap().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let roots = [Root { slot: good.slot, state: good.state.state }];
    let (all, named) = (trust(&membership, &[]), trust(&membership, &roots));
    let with = |certificate: Option<Bytes>| Manifest { state: CertifiedStateRow { certificate, ..good.state.clone() }, ..good.clone() };
    for wrong in [Some(flipped.into()), Some(Bytes::new()), None] {
        let one = with(wrong);
        one.check(&named).unwrap();
        let (store, mut also) = (ao_storage::MemoryStore::new(), ao_storage::WriteBatch::default());
        one.imported(&named).iter().for_each(|row| ao_storage::schema::CERTIFIED_STATES.put(&mut also, &(one.process, one.slot), row));
        ao_storage::Store::write(&store, also, ao_storage::Durability::Synced).unwrap();
        assert_eq!(states::newest(&store, one.process, Slot(u64::MAX - 1)).unwrap(), None);
    }
    for trust in [all, named] {
        assert_eq!(good.imported(&trust), Some(CertifiedStateRow { computed: false, ..good.state.clone() }));
    }
}

/// F48: time travels, and what was believed is not any more.
#[test]
fn what_is_older_than_the_trust_period_needs_a_word_of_the_operator() {
    let (membership, good, _) = whole(4);
    let roots = [Root { slot: good.slot, state: good.state.state }];
    let (all, named) = (trust(&membership, &[]), trust(&membership, &roots));
    for (later_ms, taken) in [(0, true), (9_000, true), (9_001, false), (u64::MAX / 2, false)] {
        let now = NOW.plus_ms(later_ms);
        assert_eq!(good.check_age(&all, good.timestamp_ms, now).is_ok(), taken, "{later_ms} ms later");
        good.check_age(&named, good.timestamp_ms, now).unwrap();
    }
}

#[test]
fn roots_are_written_as_they_are_read() {
    let root = Root { slot: Slot(9_999), state: StateHash([0xab; 32]) };
    assert_eq!(root.to_string().parse::<Root>(), Ok(root));
    for wrong in ["", "9999", "9999:", "9999:ab", &format!("x:{}", "ab".repeat(32)), &format!("9:{}", "zz".repeat(32))] {
        assert!(wrong.parse::<Root>().is_err(), "{wrong}");
    }
}

/// Every chunk, changed, cut, swapped and endless, in a file.
#[test]
fn a_file_is_taken_whole_and_unchanged_or_not_at_all() {
    // 2 500 pages of 4 KiB that do not pack: two chunks.
    let (_, manifest, body) = whole(2_500);
    assert_eq!(manifest.chunks.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.snapshot");
    let mut bytes = Vec::new();
    file::write(&mut bytes, &manifest, &body).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        SnapshotFile::open(&path)
    };
    let read = open(&bytes).unwrap();
    assert_eq!((&read.manifest, read.body().unwrap()), (&manifest, body.to_vec()));
    assert!(read.chunk(2).is_err(), "there are two");
    let head = bytes.len() - body.len();
    for at in [head, head + CHUNK_BYTES, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let index = ((at - head) / CHUNK_BYTES) as u32;
        let file = open(&changed).unwrap();
        assert!(matches!(file.body(), Err(Refused::Chunk { index: found }) if found == index), "byte {at}");
        assert!(file.chunk(1 - index).is_ok(), "the other one is as it was");
    }
    for wrong in
        [&bytes[..bytes.len() - 1], &[&bytes[..], b"x"].concat(), &bytes[..head - 1], &bytes[..5], b"", b"a tar of ../../etc/passwd"]
    {
        assert!(matches!(open(wrong), Err(Refused::Malformed(_))));
    }
    let mut endless = bytes[..12].to_vec();
    endless[8..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(open(&endless), Err(Refused::Malformed(_))), "nothing is allocated for what is only claimed");
    assert!(matches!(SnapshotFile::open(folder.path()), Err(Refused::Malformed(_) | Refused::Io(_))), "a folder is no snapshot");
    // Chunks of another state, with a manifest that names them: the root gives it away.
    let (_, _, other) = state(2_501);
    let chunks = other.chunks(CHUNK_BYTES).map(|chunk| sha256(&[chunk])).collect();
    let swapped = Manifest { total: other.len() as u64, chunks, ..manifest };
    let mut bytes = Vec::new();
    file::write(&mut bytes, &swapped, &other).unwrap();
    assert!(matches!(open(&bytes).unwrap().body(), Err(Refused::Body(_))));
}

#[test]
fn a_shelf_keeps_the_newest_and_leaves_strangers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path().join("snapshots"));
    assert!(shelf.list().unwrap().is_empty() && shelf.changed().is_none());
    let (_, manifest, body) = whole(4);
    let put = |process: u8, slot: u64| {
        let one = Manifest { process: Id([process; 32]), slot: Slot(slot), timestamp_ms: slot, ..manifest.clone() };
        shelf.put(&one, &body, 0).unwrap()
    };
    let kept = |process: u8| {
        let of = shelf.list().unwrap().into_iter().filter(|entry| entry.manifest.process == Id([process; 32]));
        of.map(|entry| entry.manifest.slot.0).collect::<Vec<_>>()
    };
    (1..=4).for_each(|slot| drop(put(1, slot)));
    put(2, 1);
    std::fs::write(folder.path().join("snapshots/notes.txt"), b"mine").unwrap();
    std::fs::write(folder.path().join("snapshots/other.snapshot"), b"none").unwrap();
    assert_eq!((kept(1), kept(2)), (vec![4, 3], vec![1]));
    assert_eq!(kept(1).len(), KEPT_PER_PROCESS);
    let old = put(1, 2);
    assert!(old.exists() && kept(1) == [4, 3, 2], "what was asked for stays until another comes");
    put(1, 5);
    assert_eq!(kept(1), [5, 4]);
    assert!(folder.path().join("snapshots/notes.txt").exists() && folder.path().join("snapshots/other.snapshot").exists());
}

#[test]
fn nothing_is_written_into_the_reserve_of_the_disk_and_nothing_goes_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path().join("snapshots"));
    let (_, manifest, body) = whole(4);
    let put = |slot: u64, reserve: u64| shelf.put(&Manifest { slot: Slot(slot), ..manifest.clone() }, &body, reserve);
    (1..=2).for_each(|slot| drop(put(slot, 0).unwrap()));
    let files = || std::fs::read_dir(folder.path().join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let before = files();
    assert!(matches!(put(3, u64::MAX), Err(Refused::NoRoom { .. })) && matches!(shelf.has_room(u64::MAX), Err(Refused::NoRoom { .. })));
    assert_eq!(files(), before, "no half a file either, and the oldest is still there");
    shelf.has_room(0).unwrap();
    put(3, 0).unwrap();
    assert_eq!(files().len(), KEPT_PER_PROCESS);
}

/// A writer that died leaves half a file; one that is at it is left alone, and so is whatever is not ours.
#[test]
fn halves_of_files_go_once_nobody_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_, manifest, body) = whole(4);
    let old = std::time::SystemTime::now() - std::time::Duration::from_millis(limits::DEAD_WRITE_MS + 60_000);
    let names = [(".a-1.snapshot.1.0.new", true), (".a-1.snapshot.1.1.new", false), (".notes.new", true), ("a.snapshot.1.0.new", true)];
    for (name, dead) in names {
        std::fs::write(folder.path().join(name), b"half").unwrap();
        if dead {
            let file = std::fs::File::options().append(true).open(folder.path().join(name)).unwrap();
            file.set_modified(old).unwrap();
        }
    }
    Shelf::new(folder.path().to_owned()).put(&manifest, &body, 0).unwrap();
    let left = names.map(|(name, _)| folder.path().join(name).exists());
    assert_eq!(left, [false, true, true, true]);
}

/// Strangers only ask; what lies there under the name is handed on only if it is the state that this node holds certified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_is_made_if_there_is_room_and_made_again_if_it_is_another() {
    let rig = Rig::certifying_every(4);
    let process = rig.spawn(&[]).await;
    for _ in 0..4 {
        rig.send(process, &[("Action", "Count")], "").await.unwrap();
    }
    rig.settled(process, 4).await;
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path().join("snapshots"));
    rig.node.set_disk_reserve(u64::MAX);
    let refused = maker::make(&rig.node, &shelf, process, None).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s.is_some()), (Code::ReadOnly, true), "{}", refused.message);
    assert!(std::fs::read_dir(folder.path().join("snapshots")).unwrap().next().is_none(), "no file");
    rig.node.set_disk_reserve(0);
    let (path, made) = maker::make(&rig.node, &shelf, process, None).await.unwrap();
    assert_eq!((made.slot, made.state.certificate.as_deref()), (Slot(3), Some(&b""[..])));
    let changed = || std::fs::metadata(&path).unwrap().modified().unwrap();
    let first = changed();
    maker::make(&rig.node, &shelf, process, None).await.unwrap();
    assert_eq!(changed(), first, "what is there is not made again");
    // Under the same name: another state, and this one with a certificate that nobody could have made.
    let other = CertifiedStateRow { state: StateHash([9; 32]), ..made.state.clone() };
    let forged = CertifiedStateRow { certificate: Some(Bytes::from_static(b"forged")), ..made.state.clone() };
    for state in [other, forged] {
        let body = SnapshotFile::open(&path).unwrap().part(0, CHUNK_BYTES).unwrap();
        shelf.put(&Manifest { state, ..made.clone() }, &body, 0).unwrap();
        let (_, again) = maker::make(&rig.node, &shelf, process, None).await.unwrap();
        assert_eq!((&again, &SnapshotFile::open(&path).unwrap().manifest), (&made, &made));
    }
    rig.stop();
}

pub fn peer(n: u8) -> PeerId {
    NodeKey::from_seed(&mut [n; 32]).unwrap().peer_id().unwrap()
}

fn part(body: &Bytes, ask: &Ask) -> Bytes {
    let start = usize::from(ask.chunk) * CHUNK_BYTES + usize::from(ask.part) * PART_BYTES;
    body.slice(start..(start + PART_BYTES).min(body.len()).min((usize::from(ask.chunk) + 1) * CHUNK_BYTES))
}

/// A body that is no state: fetching looks at chunks only.
fn chunks(count: usize) -> (Manifest, Bytes) {
    let body: Bytes = (0..count * CHUNK_BYTES - 7).map(|at| (at >> 16) as u8 ^ at as u8).collect::<Vec<_>>().into();
    let chunks = body.chunks(CHUNK_BYTES).map(|chunk| sha256(&[chunk])).collect();
    (Manifest { total: body.len() as u64, chunks, ..manifest() }, body)
}

/// F47: one source lies about every chunk, one is honest.
#[test]
fn with_one_honest_source_everything_comes_and_liars_are_named() {
    let (manifest, body) = chunks(3);
    let (liar, honest) = (peer(1), peer(2));
    let mut fetch = Fetch::new(manifest, |_| false, &[liar, honest]);
    let (mut came, mut bad, mut now) = (std::collections::BTreeMap::new(), Vec::new(), NOW);
    while !fetch.is_done() {
        let asks = fetch.poll(now);
        assert!(!asks.is_empty() && !fetch.is_lost());
        for ask in asks {
            let mut bytes = part(&body, &ask).to_vec();
            if ask.peer == liar && ask.part == 5 {
                bytes[0] ^= 1;
            }
            match fetch.answered(now, ask, Ok(bytes.into())) {
                Came::Chunk(index, bytes) => drop(came.insert(index, bytes)),
                Came::Bad(who) => bad.push(who),
                Came::Going => {}
                Came::Failed => panic!("nothing failed"),
            }
        }
        now = now.plus_ms(1);
    }
    assert_eq!(bad, [liar], "asked nothing more once it was found out");
    assert_eq!(came.values().flat_map(|bytes| bytes.to_vec()).collect::<Vec<_>>(), body.to_vec());
}

#[test]
fn what_is_asked_for_is_bounded_and_spread() {
    let (manifest, _) = chunks(6);
    let peers: Vec<PeerId> = (1..=3).map(peer).collect();
    let mut fetch = Fetch::new(manifest.clone(), |index| index == 0, &peers);
    let asks = fetch.poll(NOW);
    let of = |who: &PeerId| asks.iter().filter(|ask| ask.peer == *who).count();
    assert!(peers.iter().all(|who| of(who) == PARTS_PER_PEER), "{asks:?}");
    let under_way: std::collections::BTreeSet<u16> = asks.iter().map(|ask| ask.chunk).collect();
    assert!(under_way.len() <= CHUNKS_AT_ONCE && !under_way.contains(&0), "what is here is not asked for");
    assert!(fetch.poll(NOW).is_empty(), "once");
    // A part of another size is no part: an endless one is none either.
    for wrong in [Bytes::new(), vec![0; PART_BYTES + 1].into(), vec![0; PART_BYTES - 1].into()] {
        let mut fetch = Fetch::new(manifest.clone(), |_| false, &peers[..1]);
        let ask = fetch.poll(NOW)[0];
        assert_eq!(fetch.answered(NOW, ask, Ok(wrong)), Came::Bad(peers[0]));
        assert!(fetch.is_lost());
    }
}

#[test]
fn sources_that_fail_rest_and_are_given_up_in_the_end() {
    let (manifest, _) = chunks(1);
    let only = peer(1);
    let mut fetch = Fetch::new(manifest.clone(), |_| false, &[only]);
    for n in 0..3 * u64::from(SOURCE_FAILURES_MAX) {
        let now = NOW.plus_ms(n * limits::SOURCE_REST_MS_MAX);
        let ask = fetch.poll(now)[0];
        assert_eq!(fetch.answered(now, ask, Err(Failure::Duplicate)), Came::Failed);
        assert!(fetch.poll(now).is_empty() && !fetch.is_lost(), "it rests, and answers for nothing");
    }
    let mut fetch = Fetch::new(manifest.clone(), |_| false, &[only]);
    let (mut now, mut tries) = (NOW, 0);
    while !fetch.is_lost() {
        for ask in fetch.poll(now) {
            match fetch.answered(now, ask, Err(Failure::Timeout)) {
                Came::Failed => tries += 1,
                came => assert_eq!(came, Came::Going, "the others of a chunk that failed count for nothing"),
            }
        }
        assert!(fetch.poll(now).is_empty(), "it rests");
        now = now.plus_ms(limits::SOURCE_REST_MS_MAX);
    }
    assert_eq!(tries, SOURCE_FAILURES_MAX);
    let mut fetch = Fetch::new(manifest, |_| false, &[only, peer(2)]);
    let ask = fetch.poll(NOW)[0];
    assert_eq!(fetch.answered(NOW, ask, Err(Failure::NotFound)), Came::Failed);
    assert!(!fetch.is_lost() && fetch.poll(NOW).iter().all(|ask| ask.peer == peer(2)), "who does not have it is asked once");
}

/// Sources that drip hold nobody up for ever, and slow ones that go on are waited for.
#[test]
fn what_drips_is_stuck_and_what_is_slow_is_not() {
    let mut pace = Pace::new(NOW);
    let later = |n: u64| NOW.plus_ms(n * (limits::JOIN_STUCK_MS + 1));
    for n in 1..4 {
        pace.came(limits::STUCK_BYTES_MIN);
        assert!(!pace.is_stuck(later(n)), "slow");
    }
    pace.came(limits::STUCK_BYTES_MIN - 1);
    assert!(!pace.is_stuck(later(3).plus_ms(limits::JOIN_STUCK_MS)), "not yet");
    assert!(pace.is_stuck(later(4)), "parts now and then are not enough");
}
