//! Items built, read and broken: properties that hold for all of them, and the rules that no vector shows.

mod common;

use ao_types::bundle::{self, Bundle, UnpackLimits, unpack};
use ao_types::{DataItem, Id, ItemBuilder, ItemError, Profile, SignError, Signer, Tag, Verified, Wallet};
use bytes::Bytes;
use proptest::prelude::*;

fn wallet(seed: u8) -> Wallet {
    Wallet::ed25519_from_seed(&[seed; 32])
}

fn builder() -> impl Strategy<Value = ItemBuilder> {
    let tags = prop::collection::vec((".{1,20}", ".{0,60}"), 0..12);
    let field = || prop::option::of(any::<[u8; 32]>());
    (field(), field(), tags, prop::collection::vec(any::<u8>(), 0..2_000)).prop_map(|(target, anchor, tags, data)| {
        let builder = ItemBuilder::new().tags(tags.into_iter().map(|(name, value)| Tag::new(name, value))).data(data);
        let builder = if let Some(target) = target { builder.target(Id(target)) } else { builder };
        if let Some(anchor) = anchor { builder.anchor(anchor) } else { builder }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_built_parses_verifies_and_says_the_same(builder in builder(), ethereum in any::<bool>()) {
        let wallet = if ethereum { ethereum_wallet() } else { wallet(1) };
        let item = builder.clone().sign(&wallet).unwrap();
        let bytes = item.as_bytes().clone();
        let again = DataItem::parse(bytes.clone(), Profile::Strict).unwrap().verify().unwrap();
        prop_assert_eq!(&again, &item);
        prop_assert_eq!(again.address(), wallet.address());
        let mut rebuilt = ItemBuilder::new().tags(again.tags().to_vec()).data(again.data_bytes());
        if let Some(target) = again.target() { rebuilt = rebuilt.target(target); }
        if let Some(anchor) = again.anchor() { rebuilt = rebuilt.anchor(*anchor); }
        // Deterministic keys: the same content is the same item.
        prop_assert_eq!(rebuilt.sign(&wallet).unwrap().into_inner().into_bytes(), bytes.clone());
        // Without hashes it is the same.
        prop_assert_eq!(DataItem::tags_in(&bytes, Profile::Strict).unwrap().to_vec(), item.tags().to_vec());
        let reloaded = Verified::reload_as(item.id(), bytes, Profile::Strict).unwrap();
        prop_assert_eq!((reloaded.id(), reloaded.data(), reloaded.target()), (item.id(), item.data(), item.target()));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed(builder in builder(), place in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = builder.sign(&wallet(2)).unwrap().as_bytes().to_vec();
        let at = place.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(DataItem::parse(bytes.into(), Profile::Archive).and_then(DataItem::verify).is_err());
    }

    #[test]
    fn any_prefix_is_refused_or_unsigned(builder in builder(), length in any::<prop::sample::Index>()) {
        let bytes = builder.sign(&wallet(2)).unwrap().as_bytes().clone();
        let cut = bytes.slice(..length.index(bytes.len()));
        prop_assert!(DataItem::parse(cut, Profile::Archive).and_then(DataItem::verify).is_err());
    }

    #[test]
    fn noise_never_panics_and_strict_is_within_archive(mut noise in prop::collection::vec(any::<u8>(), 0..400), code in 0_u8..9) {
        if noise.len() > 2 {
            noise[0] = code;
            noise[1] = 0;
        }
        let strict = DataItem::parse(noise.clone().into(), Profile::Strict);
        let archive = DataItem::parse(noise.clone().into(), Profile::Archive);
        prop_assert!(strict.is_err() || archive.is_ok());
        for (profile, parsed) in [(Profile::Strict, &strict), (Profile::Archive, &archive)] {
            let tags = DataItem::tags_in(&noise, profile).map(|tags| tags.count());
            prop_assert_eq!(tags, parsed.clone().map(|item| item.tag_count()));
            let reloaded = Verified::reload_as(Id([1; 32]), noise.clone().into(), profile);
            prop_assert_eq!(reloaded.err(), parsed.clone().err());
        }
        if let Ok(item) = archive {
            prop_assert_eq!(item.tags().count(), item.tag_count());
            prop_assert!(item.verify().is_err());
        }
        let _ = Bundle::parse(noise.into(), Profile::Archive).map(|bundle| bundle.verify(Profile::Archive));
    }

    #[test]
    fn bundles_give_back_what_went_in(builders in prop::collection::vec(builder(), 0..6)) {
        let items: Vec<Verified<DataItem>> = builders.into_iter().map(|one| one.sign(&wallet(3)).unwrap()).collect();
        let bytes = bundle::build(&items);
        let parsed = Bundle::parse(bytes.clone(), Profile::Strict).unwrap();
        prop_assert_eq!(parsed.len(), items.len());
        prop_assert_eq!(parsed.verify(Profile::Strict).unwrap(), items.clone());
        for (entry, item) in parsed.entries().zip(&items) {
            prop_assert_eq!(parsed.bytes_of(&entry), Some(item.as_bytes().clone()));
            let past = bundle::BundleEntry { size: bytes.len(), ..entry };
            prop_assert_eq!(parsed.bytes_of(&past), None);
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert_eq!(Bundle::parse(longer.clone().into(), Profile::Strict).unwrap_err().code(), "E_BUNDLE_TRAILING");
        prop_assert!(Bundle::parse(longer.into(), Profile::Archive).is_ok());
    }
}

fn ethereum_wallet() -> Wallet {
    Wallet::from_jwk(&format!(r#"{{"kty":"EC","crv":"secp256k1","d":"{}"}}"#, common::b64(&[9; 32]))).unwrap()
}

#[test]
fn an_item_shares_memory_with_the_bytes_it_came_from() {
    let bytes = ItemBuilder::new().tag("A", "1").data(vec![7; 10_000]).sign(&wallet(1)).unwrap().as_bytes().clone();
    let item = DataItem::parse(bytes.clone(), Profile::Strict).unwrap();
    assert_eq!(item.as_bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(item.data_bytes().as_ptr(), bytes[item.data_offset()..].as_ptr());
    assert_eq!(item.clone().as_bytes().as_ptr(), bytes.as_ptr());
}

#[test]
fn the_first_of_repeated_tags_is_read() {
    let item = ItemBuilder::new().tag("A", "1").tag("A", "2").tag("a", "3").sign(&wallet(1)).unwrap();
    assert_eq!((item.tag("A"), item.tag("a"), item.tag("B")), (Some("1"), Some("3"), None));
}

#[test]
fn what_the_strict_profile_refuses_is_not_signed() {
    let sign = |builder: ItemBuilder| builder.sign(&wallet(1)).unwrap_err();
    let many = ItemBuilder::new().tags((0..129).map(|n| Tag::new(format!("n{n}"), "")));
    assert!(matches!(sign(many), SignError::Content(ItemError::TagLimit { found: 129, max: 128, .. })));
    assert!(matches!(sign(ItemBuilder::new().tag("", "x")), SignError::Content(ItemError::TagEmpty { index: 0 })));
    let long_name = ItemBuilder::new().tag("n".repeat(1025), "x");
    assert!(matches!(sign(long_name), SignError::Content(ItemError::TagLimit { found: 1025, .. })));
    let long_value = ItemBuilder::new().tag("n", "v".repeat(3073));
    assert!(matches!(sign(long_value), SignError::Content(ItemError::TagLimit { found: 3073, .. })));
    let section = ItemBuilder::new().tag("n".repeat(1024), "v".repeat(3072));
    assert!(matches!(sign(section), SignError::Content(ItemError::TagLimit { max: 4096, .. })));
    // The largest that fits.
    ItemBuilder::new().tag("n".repeat(1018), "v".repeat(3072)).sign(&wallet(1)).unwrap();
}

#[test]
fn a_signer_that_lies_about_its_lengths_makes_no_item() {
    struct Short;
    impl Signer for Short {
        fn signature_type(&self) -> ao_types::SignatureType {
            ao_types::SignatureType::Ed25519
        }
        fn owner(&self) -> &[u8] {
            &[1; 32]
        }
        fn address(&self) -> ao_types::Address {
            ao_types::Address::Ethereum([0; 20])
        }
        fn sign(&self, _: &[u8; 48]) -> Result<Vec<u8>, SignError> {
            Ok(vec![0; 63])
        }
    }
    assert!(matches!(ItemBuilder::new().sign(&Short), Err(SignError::Key(_))));
}

/// A bundle in an item in a bundle, `depth` times.
fn nest(depth: u32) -> Bytes {
    let mut bytes = bundle::build(&[ItemBuilder::new().data("innermost").sign(&wallet(4)).unwrap()]);
    for _ in 0..depth {
        let carrier = ItemBuilder::new().tag("Bundle-Format", "binary").tag("Bundle-Version", "2.0.0").data(bytes);
        bytes = bundle::build(&[carrier.sign(&wallet(4)).unwrap()]);
    }
    bytes
}

#[test]
fn nesting_is_bounded_and_reported() {
    let seen = |depth, limits| {
        let mut deepest = 0;
        let report = unpack(nest(depth), Profile::Strict, limits, |found| deepest = deepest.max(found.depth)).unwrap();
        (report.items, report.too_deep, report.cut_short, deepest)
    };
    let limits = UnpackLimits::default();
    assert_eq!(seen(16, limits), (17, 0, false, 16));
    assert_eq!(seen(21, limits), (17, 1, false, 16));
    assert_eq!(seen(300, limits), (17, 1, false, 16));
    assert_eq!(seen(10, UnpackLimits { items_max: 4, ..limits }), (4, 0, true, 3));
    assert!(seen(10, UnpackLimits { bytes_max: 1_000, ..limits }).2);
}

#[test]
fn a_broken_inner_bundle_leaves_its_carrier_and_its_neighbours() {
    let carrier = ItemBuilder::new().tag("Bundle-Format", "binary").tag("Bundle-Version", "2.0.0").data("noise");
    let items = [carrier.sign(&wallet(4)).unwrap(), ItemBuilder::new().data("fine").sign(&wallet(4)).unwrap()];
    let mut bytes = bundle::build(&items).to_vec();
    let report = unpack(bytes.clone().into(), Profile::Strict, UnpackLimits::default(), |_| ()).unwrap();
    assert_eq!((report.items, report.broken_bundles, report.broken_items), (2, 1, 0));
    // The first item's type, behind a table of two rows.
    bytes[32 + 128] = 0x77;
    let report = unpack(bytes.clone().into(), Profile::Strict, UnpackLimits::default(), |_| ()).unwrap();
    assert_eq!((report.items, report.broken_items), (1, 1));
    assert_eq!(Bundle::parse(bytes.into(), Profile::Strict).unwrap().verify(Profile::Strict).unwrap_err().code(), "E_SIG_TYPE");
}
