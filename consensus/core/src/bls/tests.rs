use super::*;
use crate::scheme::{prove_possession, verify_possession};
use ao_types::NetworkId;
use ao_types::attestation::Statement;
use proptest::prelude::*;

fn secret(n: u8) -> BlsSecret {
    BlsSecret::from_seed([n; 32]).unwrap()
}

fn table(count: u8) -> Arc<dyn Keys> {
    Bls.keys(&(0..count).map(|n| secret(n).public()).collect::<Vec<_>>()).unwrap()
}

fn signers(of: usize, who: impl IntoIterator<Item = u16>) -> Signers {
    let mut signers = Signers::none(of);
    who.into_iter().for_each(|index| {
        signers.insert(index);
    });
    signers
}

fn sum_of(who: impl IntoIterator<Item = u8>, message: &[u8]) -> BlsSignature {
    Bls.aggregate(&who.into_iter().map(|n| secret(n).sign(message)).collect::<Vec<_>>()).unwrap()
}

fn holds(keys: &Arc<dyn Keys>, who: &Signers, message: &[u8], signature: &BlsSignature) -> bool {
    keys.sum(who).is_some_and(|keys| Bls.verify(&Claim { keys, message, signature }))
}

/// The first x for which there is a point of the curve: outside the subgroup, for all but one in 2^125 are.
fn off_subgroup_key() -> BlsKey {
    let point = |x: u8| {
        let mut bytes = [0; 48];
        (bytes[0], bytes[47]) = (0x80, x);
        bool::from(G1Affine::from_compressed_unchecked(&bytes).is_some()).then_some(BlsKey(bytes))
    };
    (1..=255).find_map(point).unwrap()
}

fn off_subgroup_signature() -> BlsSignature {
    let point = |x: u8| {
        let mut bytes = [0; 96];
        (bytes[0], bytes[95]) = (0x80, x);
        bool::from(G2Affine::from_compressed_unchecked(&bytes).is_some()).then_some(BlsSignature(bytes))
    };
    (1..=255).find_map(point).unwrap()
}

const NOTHING_KEY: BlsKey = BlsKey({
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
});

const NOTHING_SIGNATURE: BlsSignature = BlsSignature({
    let mut bytes = [0; 96];
    bytes[0] = 0xc0;
    bytes
});

#[test]
fn keys_and_signatures_are_those_of_another_library() {
    for n in 0..4 {
        let ours = secret(n);
        // bls-signatures writes scalars little-endian, everybody else big-endian.
        let mut scalar = PrivateKey::new([n; 32]).as_bytes();
        scalar.reverse();
        let theirs = blst::min_pk::SecretKey::from_bytes(&scalar).unwrap();
        assert_eq!(ours.public().0, theirs.sk_to_pk().to_bytes());
        let message = [n; 100];
        assert_eq!(ours.sign(&message).0, theirs.sign(&message, CIPHERSUITE, &[]).to_bytes());
        let (key, signature) = (theirs.sk_to_pk(), blst::min_pk::Signature::from_bytes(&ours.sign(&message).0).unwrap());
        assert_eq!(signature.verify(true, &message, CIPHERSUITE, &[], &key, true), BLST_ERROR::BLST_SUCCESS);
    }
}

#[test]
fn the_key_of_the_secret_one_is_the_generator_of_the_standard() {
    let mut one = [0; 32];
    one[31] = 1;
    let key = BlsKey(blst::min_pk::SecretKey::from_bytes(&one).unwrap().sk_to_pk().to_bytes());
    let generator = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
    assert_eq!(key.to_string(), format!("0x{generator}"));
    assert!(Bls.keys(&[key]).is_ok());
}

#[test]
fn a_sum_holds_for_exactly_those_who_signed() {
    let (keys, message) = (table(5), b"message");
    let sum = sum_of([0, 2, 3], message);
    assert!(holds(&keys, &signers(5, [0, 2, 3]), message, &sum));
    for (what, who) in [("one less", vec![0, 2]), ("one more", vec![0, 1, 2, 3]), ("another", vec![0, 2, 4]), ("nobody", vec![])] {
        assert!(!holds(&keys, &signers(5, who), message, &sum), "{what}");
    }
    assert!(!holds(&keys, &signers(6, [0, 2, 3]), message, &sum), "a bitmap of another size");
    assert!(!holds(&keys, &signers(5, [0, 2, 3]), b"another", &sum));
    assert!(!holds(&keys, &signers(5, [0, 2, 3]), message, &sum_of([0, 2, 3, 3], message)), "one share twice");
}

/// F15: a key made of others' keys verifies sums that nobody else signed. What stops it is that its owner has no secret to prove.
#[test]
fn a_rogue_key_needs_a_secret_that_nobody_has() {
    let (victim, attacker) = (secret(1), secret(2));
    let point = |key: &BlsKey| G1Projective::from(G1Affine::from_compressed(&key.0).unwrap());
    let rogue = BlsKey((point(&attacker.public()) - point(&victim.public())).to_affine().to_compressed());
    let keys = Bls.keys(&[victim.public(), rogue]).unwrap();
    let forged = attacker.sign(b"both of us say so");
    assert!(holds(&keys, &signers(2, [0, 1]), b"both of us say so", &forged), "the attack itself works");
    let message = Statement::Possession { key: rogue }.message(&ao_types::attestation::possession_scope("test"));
    for proof in [attacker.sign(&message), victim.sign(&message), forged, prove_possession(&attacker, "test")] {
        assert!(!verify_possession(&Bls, &rogue, &proof, "test"));
    }
    assert!(verify_possession(&Bls, &victim.public(), &prove_possession(&victim, "test"), "test"));
    assert!(!verify_possession(&Bls, &victim.public(), &prove_possession(&victim, "test"), "another network"));
}

#[test]
fn a_proof_of_possession_is_no_attestation_and_the_other_way_round() {
    let one = secret(1);
    let statement = Statement::Possession { key: one.public() };
    assert!(!verify_possession(&Bls, &one.public(), &one.sign(&statement.message(&NetworkId([0; 32]))), "test"));
}

#[test]
fn what_is_no_point_no_member_of_the_group_or_nothing_is_refused() {
    for key in [NOTHING_KEY, off_subgroup_key(), BlsKey([0; 48]), BlsKey([0xff; 48])] {
        assert_eq!(Bls.keys(&[secret(0).public(), key]).err(), Some(SchemeError::Key { key }));
        assert!(!verify_possession(&Bls, &key, &secret(0).sign(b""), "test"));
    }
    let keys = table(1);
    for signature in [NOTHING_SIGNATURE, off_subgroup_signature(), BlsSignature([0; 96]), BlsSignature([0xff; 96])] {
        assert!(!holds(&keys, &signers(1, [0]), b"m", &signature));
        let claim = Claim { keys: keys.one(0).unwrap(), message: b"m", signature: &signature };
        assert!(!Bls.verify_batch(&[claim], &[0; 32]));
    }
    assert_eq!(Bls.aggregate(&[]), Err(SchemeError::Empty));
    assert_eq!(Bls.aggregate(&[secret(0).sign(b"m"), BlsSignature([0xff; 96])]), Err(SchemeError::Signature { index: 1 }));
}

#[test]
fn keys_that_cancel_out_make_no_sum() {
    let one = G1Projective::from(G1Affine::from_compressed(&secret(1).public().0).unwrap());
    let opposite = BlsKey((-one).to_affine().to_compressed());
    let keys = Bls.keys(&[secret(1).public(), opposite]).unwrap();
    assert!(keys.sum(&signers(2, [0, 1])).is_none(), "the sum of all is the identity, which everything verifies under");
}

#[test]
fn a_batch_holds_only_if_each_does_even_if_errors_would_cancel_out() {
    let keys = table(3);
    let messages: [&[u8]; 3] = [b"a", b"b", b"b"];
    let good: Vec<BlsSignature> = (0..3).map(|n| secret(n).sign(messages[usize::from(n)])).collect();
    let batch = |signatures: &[BlsSignature]| {
        let claim = |n: usize| Claim { keys: keys.one(n as u16).unwrap(), message: messages[n], signature: &signatures[n] };
        Bls.verify_batch(&(0..3).map(claim).collect::<Vec<_>>(), &[9; 32])
    };
    assert!(batch(&good));
    assert!(Bls.verify_batch(&[], &[9; 32]));
    assert!(!batch(&[good[0], good[1], good[1]]));
    // Both of b are wrong by the same point, one up and one down: their plain sum is right.
    let point = |signature: &BlsSignature| G2Projective::from(G2Affine::from_compressed(&signature.0).unwrap());
    let delta = point(&secret(7).sign(b"delta"));
    let bent = |signature: &BlsSignature, delta: G2Projective| BlsSignature((point(signature) + delta).to_affine().to_compressed());
    let crooked = [good[0], bent(&good[1], delta), bent(&good[2], -delta)];
    assert_eq!(Bls.aggregate(&crooked), Bls.aggregate(&good));
    assert!(!batch(&crooked));
}

#[test]
fn a_secret_shows_only_its_key() {
    let one = secret(0xab);
    let shown = format!("{one:?}");
    assert!(shown.contains(&one.public().to_string()) && !shown.contains(&hex::encode(&one.scalar()[..4])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whether the missing are subtracted or the signers added, the sum is the same.
    #[test]
    fn the_sum_of_keys_does_not_depend_on_how_it_is_made(bits: u16) {
        let keys = table(9);
        let who: Vec<u16> = (0..9).filter(|bit| bits >> bit & 1 == 1).collect();
        let point = |index: &u16| G1Projective::from(G1Affine::from_compressed(&secret(*index as u8).public().0).unwrap());
        let expected = who.iter().fold(G1Projective::identity(), |sum, index| sum + point(index));
        prop_assert_eq!(keys.sum(&signers(9, who.clone())).is_some(), !who.is_empty());
        if let Some(sum) = keys.sum(&signers(9, who)) {
            prop_assert_eq!(sum.0, expected.to_affine().to_uncompressed());
        }
    }
}

/// Secret and public key of the test vectors of ERC-2335.
#[test]
fn a_scalar_is_read_as_key_files_write_it() {
    let mut scalar = [0; 32];
    hex::decode_to_slice("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", &mut scalar).unwrap();
    let secret = BlsSecret::from_scalar(scalar).unwrap();
    let public = "0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07";
    assert_eq!((secret.public().to_string().as_str(), secret.scalar()), (public, &scalar));
    let again = BlsSecret::from_seed([3; 32]).unwrap();
    assert_eq!(BlsSecret::from_scalar(*again.scalar()).unwrap().sign(b"a"), again.sign(b"a"));
    assert_eq!(BlsSecret::from_scalar([0; 32]).unwrap_err(), SchemeError::Secret);
    assert_eq!(BlsSecret::from_scalar([0xff; 32]).unwrap_err(), SchemeError::Secret);
}
