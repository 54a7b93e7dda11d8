use std::io::Write;

use proptest::prelude::*;

use super::*;

fn identity() -> Identity {
    Identity { module: Id([3; 32]), format: "test".into() }
}

/// A memory of 4 MiB with the given pages filled.
fn memory(pages: &[(u32, u8)]) -> Memory {
    let mut memory = Memory::new(4 << 20).unwrap();
    let filled = pages.iter().map(|(index, byte)| (*index, *blake3::hash(&[*byte; PAGE]).as_bytes(), vec![*byte; PAGE]));
    memory.load(4 << 20, filled).unwrap();
    memory
}

fn empty() -> Memory {
    Memory::new(4 << 20).unwrap()
}

fn full(pages: &[(u32, u8)]) -> Checkpoint {
    make(&mut memory(pages), &identity(), None).unwrap()
}

/// A checkpoint of 600 pages, so of three frames, in several runs.
fn large() -> Checkpoint {
    let pages: Vec<_> = (0..600u32).map(|page| (page + page / 100, (page % 250) as u8 + 1)).collect();
    full(&pages)
}

fn refused(checkpoint: &Checkpoint) -> String {
    match restore(&mut empty(), &identity(), std::slice::from_ref(checkpoint)) {
        Err(Error::BadCheckpoint(reason)) => reason,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn the_root_is_that_of_the_specification() {
    let (one, two) = (blake3::hash(&[1; PAGE]), blake3::hash(&[2; PAGE]));
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"aovm1").update(&[3; 32]).update(b"test").update(&(4u64 << 20).to_le_bytes());
    hasher.update(&0u32.to_le_bytes()).update(one.as_bytes()).update(&7u32.to_le_bytes()).update(two.as_bytes());
    assert_eq!(full(&[(0, 1), (7, 2)]).root.0, *hasher.finalize().as_bytes());
}

#[test]
fn what_is_restored_is_what_was_stored() {
    for checkpoint in [full(&[]), full(&[(1023, 9)]), large()] {
        let mut memory = empty();
        restore(&mut memory, &identity(), std::slice::from_ref(&checkpoint)).unwrap();
        assert_eq!(root(&mut memory, &identity()), checkpoint.root);
        let again = make(&mut memory, &identity(), None).unwrap();
        assert_eq!(again, checkpoint, "the form is canonical");
    }
}

#[test]
fn chains_have_to_fit_together() {
    let (a, b) = (full(&[(0, 1)]), full(&[(0, 2)]));
    let same = |chain: &[Checkpoint]| restore(&mut empty(), &identity(), chain).map_err(|error| error.to_string());
    assert!(same(&[a.clone(), b.clone()]).unwrap_err().contains("after another"));
    let header = Header { identity: identity(), len: 4 << 20, root: a.root, parent: Some(b.root), pages: vec![], zeroed: vec![] };
    let delta = Checkpoint { root: a.root, bytes: header.write().into(), parent: Some(b.root) };
    assert!(same(std::slice::from_ref(&delta)).unwrap_err().contains("a delta to"));
    assert!(same(&[a.clone(), delta.clone()]).unwrap_err().contains("a delta to"));
    assert!(same(&[b, delta]).unwrap_err().contains("hash to"));
    let many = vec![a; CHECKPOINT_CHAIN_MAX + 2];
    assert!(same(&many).unwrap_err().contains("a chain of"));
}

#[test]
fn another_module_format_or_root_is_refused() {
    let checkpoint = full(&[(0, 1)]);
    let mut other = identity();
    other.module = Id([4; 32]);
    assert!(restore(&mut empty(), &other, std::slice::from_ref(&checkpoint)).unwrap_err().to_string().contains("it is of module"));
    let mut other = identity();
    other.format = "tess".into();
    assert!(restore(&mut empty(), &other, std::slice::from_ref(&checkpoint)).is_err());
    assert!(refused(&Checkpoint { root: StateHash([1; 32]), ..checkpoint }).contains("for root"));
}

/// A full checkpoint with a header of our choice and the given frames.
fn crafted(len: u64, pages: Vec<u32>, frames: &[Vec<u8>]) -> Checkpoint {
    let header = Header { identity: identity(), len, root: StateHash([0; 32]), parent: None, pages, zeroed: vec![] };
    let mut bytes = header.write();
    for frame in frames {
        bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        bytes.extend_from_slice(frame);
    }
    Checkpoint { root: StateHash([0; 32]), bytes: bytes.into(), parent: None }
}

#[test]
fn declared_and_running_sizes_are_checked() {
    let bomb = zstd::bulk::compress(&vec![0; 1 << 30], 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(refused(&crafted(4 << 20, vec![0], &[bomb])).contains("declares"));
    // A stream without a declared size, endless where unpacked.
    let mut stream = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    stream.include_contentsize(false).unwrap();
    stream.write_all(&vec![7; 64 << 20]).unwrap();
    assert!(refused(&crafted(4 << 20, vec![0], &[stream.finish().unwrap()])).contains("declares"));
    let page = |byte: u8, len: usize| zstd::bulk::compress(&vec![byte; len], 1).unwrap();
    assert!(refused(&crafted(4 << 20, vec![0], &[page(7, PAGE - 1)])).contains("declares"));
    assert!(refused(&crafted(4 << 20, vec![0], &[page(0, PAGE)])).contains("empty"));
    assert!(refused(&crafted(4 << 20, vec![0], &[page(7, PAGE), page(7, PAGE)])).contains("too many"));
    assert!(refused(&crafted(4 << 20, vec![0], &[])).contains("early"));
    assert!(refused(&crafted((4 << 20) + 65536, vec![], &[])).contains("a memory of"));
    assert!(refused(&crafted(4 << 20, vec![1024], &[page(7, PAGE)])).contains("a run of"));
    assert!(refused(&crafted(100, vec![], &[])).contains("a memory of"));
}

#[test]
fn a_root_is_known_without_a_machine() {
    let (whole, module) = (large(), identity().module);
    assert_eq!(root_of(module, &whole.bytes).unwrap(), whole.root);
    let refused = |module, bytes: &[u8]| root_of(module, bytes).unwrap_err().to_string();
    assert!(refused(Id([4; 32]), &whole.bytes).contains("it is of module"));
    assert!(refused(module, &whole.bytes[..whole.bytes.len() - 1]).contains("early"));
    let header = Header { identity: identity(), len: 4 << 20, root: whole.root, parent: Some(whole.root), pages: vec![], zeroed: vec![] };
    assert!(refused(module, &header.write()).contains("a delta to"));
    let header = Header { parent: None, ..header };
    assert!(refused(module, &header.write()).contains("hash to"));
}

#[test]
fn the_form_of_the_reference_goes_both_ways() {
    let mut raw = vec![0; 1 << 20];
    raw[70_000] = 5;
    let packed = export_gzip(&raw).unwrap();
    let checkpoint = import_gzip(identity().module, "test", &packed).unwrap();
    let mut memory = empty();
    restore(&mut memory, &identity(), &[checkpoint]).unwrap();
    assert_eq!(memory.committed(0, raw.len()), raw);
    let exported = export(&import_gzip(identity().module, "test", &packed).unwrap()).unwrap();
    assert_eq!(gunzip(&exported.gzip, raw.len()).unwrap(), raw);
    assert_eq!(exported.sha256, ao_types::hash::sha256(&[&raw]));
    assert!(matches!(gunzip(&exported.gzip, raw.len() - 1), Err(Error::BadCheckpoint(_))), "no more than is asked for");
    let import = |raw: &[u8]| import_gzip(Id::default(), "test", &export_gzip(raw).unwrap());
    assert!(import(&raw[..1 << 16]).is_ok());
    for bad in [0, PAGE, (1 << 16) - 1] {
        assert!(matches!(import(&raw[..bad]), Err(Error::BadCheckpoint(_))), "{bad} bytes");
    }
    assert!(import_gzip(Id::default(), "test", b"not gzip").is_err());
    assert!(import_gzip(Id::default(), "test", &packed[..packed.len() / 2]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No damage goes unnoticed: a changed checkpoint is refused, or it is another writing of the very same state.
    #[test]
    fn damage_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        static WHOLE: std::sync::OnceLock<Checkpoint> = std::sync::OnceLock::new();
        let mut damaged = WHOLE.get_or_init(large).clone();
        let at = at.index(damaged.bytes.len());
        let mut bytes = damaged.bytes.to_vec();
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        damaged.bytes = bytes.into();
        let mut memory = empty();
        let without_machine = root_of(identity().module, &damaged.bytes).is_ok_and(|found| found == damaged.root);
        let restored = restore(&mut memory, &identity(), std::slice::from_ref(&damaged));
        prop_assert_eq!(without_machine, restored.is_ok());
        match restored {
            Ok(()) => prop_assert_eq!(root(&mut memory, &identity()), damaged.root),
            Err(Error::BadCheckpoint(_)) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// Whatever pages change, full and delta lead to the same root.
    #[test]
    fn deltas_add_up(first in prop::collection::btree_map(0u32..1024, 1u8..4, 0..40), second in prop::collection::btree_map(0u32..1024, 0u8..4, 0..40)) {
        let first: Vec<_> = first.into_iter().collect();
        let mut live = memory(&first);
        let base = make(&mut live, &identity(), None).unwrap();
        for (page, byte) in &second {
            live.overwrite(*page, *byte);
        }
        live.commit().unwrap();
        let delta = make(&mut live, &identity(), Some(base.root)).unwrap();
        let expected = make(&mut live, &identity(), None).unwrap();
        let mut restored = empty();
        restore(&mut restored, &identity(), &[base, delta]).unwrap();
        prop_assert_eq!(make(&mut restored, &identity(), None).unwrap(), expected);
    }
}

#[test]
fn what_is_taken_over_is_bounded_digested_whole_and_cleared_where_it_is_dead() {
    let mut raw = vec![7; 2 * WASM_PAGE];
    let packed = export_gzip(&raw).unwrap();
    let import = |max, dead| import(&identity(), &packed, max, &dead);
    assert!(matches!(import(WASM_PAGE, 0..0), Err(Error::BadCheckpoint(_))));
    let dead = PAGE - 3..3 * PAGE + 5;
    let (taken, sha256) = import(2 * WASM_PAGE, dead.clone()).unwrap();
    assert_eq!(sha256, ao_types::hash::sha256(&[&raw]));
    raw[dead].fill(0);
    assert_eq!(export(&taken).unwrap().sha256, ao_types::hash::sha256(&[&raw]));
    assert_eq!(root_of(identity().module, &taken.bytes).unwrap(), taken.root);
}
