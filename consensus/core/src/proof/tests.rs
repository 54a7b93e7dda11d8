use super::*;
use crate::block::Block;
use crate::example::{NETWORK, certify, chain, frames, rosters, statement};
use crate::tip::Built;
use ao_types::{BlockValue, Statement};
use proptest::prelude::*;

fn header(built: &Built) -> Arc<FrameHeader> {
    Arc::new(built.frame.header.clone())
}

/// Frames `k..=m` of a chain, with a certificate on `m`.
fn proof(frames: &[Built], k: usize, m: usize) -> Confirmation {
    let descendants = frames[k + 1..=m].iter().map(header).collect();
    let certificates = certify(statement(&frames[m]), 0, 3).into_iter().collect();
    Confirmation { header: header(&frames[k]), proof: Arc::new(Proof::Chain { descendants, certificates }) }
}

fn changed(confirmation: &Confirmation, change: impl Fn(&mut Vec<Arc<FrameHeader>>, &mut Vec<Certificate>)) -> Confirmation {
    let Proof::Chain { mut descendants, mut certificates } = Proof::clone(&confirmation.proof) else { unreachable!("a chain") };
    change(&mut descendants, &mut certificates);
    Confirmation { header: confirmation.header.clone(), proof: Arc::new(Proof::Chain { descendants, certificates }) }
}

#[test]
fn a_frame_is_confirmed_by_a_certificate_on_a_descendant_if_one_is_carried_between() {
    let frames = frames(8, |n| n == 3 || n == 6);
    let rosters = rosters();
    for k in 0..7 {
        for m in k + 1..8 {
            // Frame 3 carries a certificate of 2, frame 6 one of 5.
            let confirmed = [(3, 2), (6, 5)].iter().any(|(carrier, of)| (k + 1..=m).contains(carrier) && k <= *of);
            let verdict = verify(&proof(&frames, k, m), &rosters);
            let nothing = Err(ProofError::NothingCarried { frame: frames[k].id });
            assert_eq!(verdict, if confirmed { Ok(()) } else { nothing }, "{k} by {m}");
        }
    }
}

#[test]
fn a_certified_frame_alone_is_not_confirmed() {
    let frames = frames(2, |n| n == 1);
    let certificates = certify(statement(&frames[0]), 0, 3).into_iter().collect();
    let lone = Confirmation { header: header(&frames[0]), proof: Arc::new(Proof::Chain { descendants: Vec::new(), certificates }) };
    assert_eq!(verify(&lone, &rosters()), Err(ProofError::NothingCarried { frame: frames[0].id }));
}

#[test]
fn a_proof_that_was_changed_proves_nothing() {
    let (frames, others) = (frames(5, |n| n == 2 || n == 4), frames(5, |n| n == 3));
    let (good, rosters) = (proof(&frames, 1, 4), rosters());
    assert_eq!(verify(&good, &rosters), Ok(()));
    type Change<'a> = &'a dyn Fn(&mut Vec<Arc<FrameHeader>>, &mut Vec<Certificate>);
    let bad = |change: Change<'_>| verify(&changed(&good, change), &rosters).unwrap_err();
    assert_eq!(bad(&|headers, _| drop(headers.remove(1))), ProofError::Descent { index: 1 });
    assert_eq!(bad(&|headers, _| headers.swap(0, 1)), ProofError::Descent { index: 0 });
    assert_eq!(bad(&|headers, _| headers[2] = header(&others[4])), ProofError::Descent { index: 2 });
    assert!(matches!(bad(&|_, certificates| certificates.clear()), ProofError::Certificates { .. }));
    assert!(matches!(bad(&|_, certificates| certificates.push(certificates[0].clone())), ProofError::Certificates { .. }));
    assert!(matches!(bad(&|headers, _| drop(headers.pop())), ProofError::Certificates { .. }));
    let signature = certify(statement(&frames[3]), 0, 3).unwrap().signature;
    assert!(matches!(bad(&|_, certificates| certificates[0].signature = signature), ProofError::Verify(VerifyError::Signature)));
    assert!(matches!(bad(&|_, certificates| certificates[0].epoch = ao_types::Epoch(1)), ProofError::Certificates { .. }));
    let foreign = Rosters::new(ao_types::NetworkId([8; 32]), Arc::new(crate::cheap::Cheap), [0; 32]);
    assert_eq!(verify(&good, &foreign), Err(ProofError::Network));
    let unknown = Rosters::new(NETWORK, Arc::new(crate::cheap::Cheap), [0; 32]);
    assert!(matches!(verify(&good, &unknown), Err(ProofError::Verify(VerifyError::UnknownEpoch { .. }))));
    let alone = Confirmation { proof: Arc::new(Proof::Alone), ..good };
    assert_eq!(verify(&alone, &rosters), Err(ProofError::Alone));
}

#[test]
fn a_carried_certificate_that_does_not_hold_confirms_nothing() {
    // A header is a scheduler's word: it can carry whatever it likes.
    let mut liar = certify(statement(&frames(1, |_| false)[0]), 0, 3).unwrap();
    liar.signature = ao_types::BlsSignature([1; 96]);
    let first = frames(1, |_| false).remove(0);
    let second = crate::example::next(&first.tip, 1, vec![liar]);
    let confirmation = proof(&[first, second], 0, 1);
    assert_eq!(verify(&confirmation, &rosters()), Err(ProofError::Verify(VerifyError::Signature)));
}

fn block(frames: &[Built]) -> Block {
    let header = BlockHeader {
        network_id: NETWORK,
        height: 9,
        parent: BlockValue([1; 32]),
        time: crate::Timestamp(5),
        ops_root: [0; 32],
        ops_count: 0,
        frames_root: [0; 32],
        frames_count: 0,
        state_root: [2; 32],
        next_committee: None,
    };
    let refs = frames.iter().map(|built| FrameRef { chain: chain(), sequence: built.frame.header.sequence, frame: built.id });
    Block::new(header, Vec::new(), refs.collect())
}

fn in_block(frames: &[Built], index: usize, round: u32, certified_round: u32) -> Confirmation {
    let block = block(frames);
    let value = block.header.value();
    let mut certificate = certify(Statement::Block { height: 9, round: certified_round, value }, 0, 3).unwrap();
    certificate.statement = block.header.statement(round);
    let path = block.frame_path(index).unwrap();
    let proof = Proof::Block { block: Box::new(block.header), index: index as u32, path, certificate };
    Confirmation { header: header(&frames[index]), proof: Arc::new(proof) }
}

#[test]
fn a_decided_block_confirms_the_frames_that_it_names_by_the_same_function() {
    let frames = frames(5, |_| false);
    for index in 0..5 {
        let good = in_block(&frames, index, 2, 2);
        assert_eq!(verify(&good, &rosters()), Ok(()));
        let another = Confirmation { header: header(&frames[(index + 1) % 5]), ..good };
        assert_eq!(verify(&another, &rosters()), Err(ProofError::Path { what: "frame in its block" }));
    }
    let other_round = in_block(&frames, 0, 2, 3);
    assert_eq!(verify(&other_round, &rosters()), Err(ProofError::Verify(VerifyError::Signature)), "the round is signed");
}

#[test]
fn a_slot_is_proven_through_the_history_of_a_later_frame() {
    let frames = frames(20, |n| n % 2 == 1);
    let confirmation = proof(&frames, 16, 19);
    let mut after = |n: u64| {
        if n == 0 { Some(crate::history::History::default()) } else { frames.get(n as usize - 1).map(|built| built.tip.history.clone()) }
    };
    let mut id = |n: u64| frames.get(n as usize).map(|built| built.id);
    let path = crate::history::prove(16, 5, &mut after, &mut id).unwrap();
    let entry = EntryPath::of(&frames[5].frame.entries, 1).unwrap();
    let slot = SlotProof { entry, ancestor: Some((frames[5].frame.header.clone(), path)), confirmation: confirmation.clone() };
    assert_eq!(verify_slot(&slot, &rosters()), Ok(()));
    assert_eq!(SlotProof::decode(&slot.encode()), Ok(slot.clone()));
    let mut lie = slot.clone();
    lie.entry.entry.content_hash[0] ^= 1;
    assert_eq!(verify_slot(&lie, &rosters()), Err(ProofError::Path { what: "entry in its frame" }));
    let mut lie = slot.clone();
    lie.ancestor.as_mut().unwrap().0.timestamp.0 += 1;
    assert_eq!(verify_slot(&lie, &rosters()), Err(ProofError::Path { what: "ancestor in the history" }));
    let later = SlotProof { ancestor: Some((frames[17].frame.header.clone(), slot.ancestor.clone().unwrap().1)), ..slot.clone() };
    assert_eq!(verify_slot(&later, &rosters()), Err(ProofError::Ancestor));
    let own = EntryPath::of(&frames[16].frame.entries, 0).unwrap();
    assert_eq!(verify_slot(&SlotProof { entry: own, ancestor: None, confirmation }, &rosters()), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// No byte of a proof can be changed without its being noticed, or being another proof of the same frame.
    #[test]
    fn a_changed_byte_proves_nothing_else(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let frames = frames(4, |n| n == 2);
        let good = proof(&frames, 1, 3);
        let mut bytes = good.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(read) = Confirmation::decode(&bytes) {
            prop_assert!(verify(&read, &rosters()).is_err(), "byte {} bit {}", at, bit);
        }
    }
}
