use proptest::prelude::*;

use super::*;

fn read(section: &[u8], canonical: bool) -> Result<Vec<Tag>, TagError> {
    TagReader::new(section, canonical).map(|tag| tag.map(|tag| tag.to_tag())).collect()
}

/// One tag `a = b` in each legal form, and what the two profiles say.
#[test]
fn legal_forms_are_read_and_only_one_is_canonical() {
    let one = vec![Tag::new("a", "b")];
    let forms: [(&[u8], &str); 4] = [
        (&[2, 2, b'a', 2, b'b', 0], "canonical"),
        (&[1, 8, 2, b'a', 2, b'b', 0], "a block with a byte size"),
        (&[0x82, 0, 2, b'a', 2, b'b', 0], "a padded number"),
        (&[2, 2, b'a', 0x82, 0, b'b', 0], "a padded number"),
    ];
    for (section, rule) in forms {
        assert_eq!(read(section, false), Ok(one.clone()), "{rule}");
        match read(section, true) {
            Ok(tags) => assert_eq!((tags, rule), (one.clone(), "canonical")),
            Err(TagError::NonCanonical { rule: found, .. }) => assert_eq!(found, rule),
            Err(other) => panic!("{rule}: {other}"),
        }
    }
    let two_blocks = [2, 2, b'a', 2, b'b', 2, 2, b'c', 2, b'd', 0];
    assert_eq!(read(&two_blocks, false), Ok(vec![Tag::new("a", "b"), Tag::new("c", "d")]));
    assert!(matches!(read(&two_blocks, true), Err(TagError::NonCanonical { rule: "more than one block", .. })));
    assert_eq!(read(&[0], false), Ok(vec![]));
    assert!(matches!(read(&[0], true), Err(TagError::NonCanonical { .. })));
    assert_eq!(read(&[], true), Ok(vec![]));
}

#[test]
fn what_is_not_avro_is_refused_whatever_the_profile() {
    let sections: [(&[u8], &str); 9] = [
        (&[2, 2, b'a', 2, b'b'], "it ends inside a number"),
        (&[2, 2, b'a', 2, b'b', 0, 0], "bytes after the terminator"),
        (&[2, 1, b'a', 2, b'b', 0], "negative length"),
        (&[2, 2, b'a', 20, b'b', 0], "a string past the end"),
        (&[200, 1, 2, b'a'], "more tags than bytes"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], "a number over 64 bits"),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], "a number over 64 bits"),
        (&[1, 10, 2, b'a', 2, b'b', 0], "a block does not end where it says"),
        (&[1, 7, 2, b'a', 2, b'b', 0], "negative block size"),
    ];
    for (section, rule) in sections {
        match read(section, false) {
            Err(TagError::Avro { rule: found, .. }) => assert_eq!(found, rule),
            other => panic!("{rule}: {other:?}"),
        }
        assert!(read(section, true).is_err(), "{rule}");
    }
    // The most negative count is its own absolute value in 64 bits.
    let lowest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0];
    assert!(matches!(read(&lowest, false), Err(TagError::Avro { rule: "more tags than bytes", .. })));
}

#[test]
fn a_reader_that_failed_has_ended() {
    let mut reader = TagReader::new(&[4, 2, b'a', 2, b'b', 1, 0, 0], false);
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_encoded_is_read_back(tags in prop::collection::vec((".{0,12}", "[a-zа-я]{0,80}"), 0..70)) {
        let tags: Vec<Tag> = tags.into_iter().map(|(name, value)| Tag::new(name, value)).collect();
        let section = encode_all(&tags);
        prop_assert_eq!(read(&section, true).unwrap(), tags.clone());
        prop_assert_eq!(Tags::of_checked(&section).to_vec(), tags);
    }

    #[test]
    fn whatever_is_canonical_is_what_encode_writes(section in prop::collection::vec(any::<u8>(), 0..64)) {
        let tags: Result<Vec<TagRef<'_>>, TagError> = TagReader::new(&section, true).collect();
        if let Ok(tags) = tags {
            prop_assert_eq!(encode(tags.iter().copied()), section.clone());
            let lax: Vec<TagRef<'_>> = TagReader::new(&section, false).map(Result::unwrap).collect();
            prop_assert_eq!(lax, tags);
        }
    }

    #[test]
    fn numbers_round_trip(number in 0..i64::MAX as u64) {
        prop_assert_eq!(read_long(&encode_long(number)), Some(number as i64));
    }
}
