use ao_types::{Profile, Verified, Wallet};
use proptest::prelude::*;

use super::*;

pub(crate) const NETWORK: NetworkId = NetworkId([7; 32]);

pub(crate) fn sign(builder: ItemBuilder) -> Verified<DataItem> {
    builder.sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap()
}

pub(crate) fn range(slots: usize) -> RangeRecord {
    RangeRecord {
        process: Id([1; 32]),
        schedule_epoch: 2,
        from: Slot(41),
        hash_chain: [3; 32],
        previous: Some(Id([4; 32])),
        slots: (0..slots).map(|n| (Id(sha256(&[&n.to_be_bytes()])), Id([n as u8; 32]))).collect(),
        results: (Slot(40), vec![ResultHash([5; 32]), ResultHash([6; 32])]),
        certificates: vec![Bytes::from_static(b"certificate"), Bytes::new()],
    }
}

pub(crate) fn frames() -> FramesRecord {
    let frame = |n: u8| FrameRecord {
        frame: Bytes::from(vec![n; 300]),
        signature: Bytes::from_static(b"signature"),
        proof: Bytes::from(vec![n; 40]),
        held: vec![Id([n; 32]); usize::from(n)],
    };
    let scheduler = Address::Arweave(Id([8; 32]));
    FramesRecord { scheduler, tenure: 1, from: 9, previous: None, frames: (0..4).map(frame).collect() }
}

pub(crate) fn state() -> StateRecord {
    StateRecord {
        process: Id([1; 32]),
        slot: Slot(9_999),
        schedule_epoch: 2,
        result: ResultHash([3; 32]),
        host_abi: 1,
        state: StateHash([4; 32]),
        item: Id([5; 32]),
        certificate: Bytes::from_static(b"certificate"),
    }
}

#[test]
fn a_state_is_read_as_it_was_written_and_refused_where_it_is_none() {
    let alone = StateRecord { certificate: Bytes::new(), ..state() };
    for record in [state(), alone] {
        assert_eq!(Record::read(&sign(record.item(&NETWORK))), Some(Ok(Record::State(record))));
    }
    let item = sign(state().item(&NETWORK));
    // Names and order are read by software that nobody can ask to change.
    let tags: Vec<String> = item.tags().map(|tag| format!("{}={}", tag.name_text(), tag.value_text())).collect();
    let golden = "Data-Protocol=ao Variant=ao.TN.1 Type=Anchor-Checkpoint Anchor-Version=1 AO-Network=0707070707070707070707070707070707070707070707070707070707070707 \
                  Process=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE Nonce=9999 Epoch=2 Host-Abi=1 \
                  State-Hash=BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ Checkpoint=BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU";
    assert_eq!(tags.join(" "), golden);
    assert_eq!(item.data(), [&[3; 32][..], &[0, 0, 0, 11], b"certificate"].concat());
    for (name, value) in [("Process", "mine"), ("Nonce", "-1"), ("Host-Abi", "4294967296"), ("State-Hash", "x"), ("Checkpoint", "")] {
        let tags = item.tags().map(|tag| tag.to_tag()).map(|tag| if tag.name == name { Tag::new(name, value) } else { tag });
        let read = Record::read(&sign(ItemBuilder::new().tags(tags.collect::<Vec<_>>()).data(item.data_bytes())));
        assert!(matches!(read, Some(Err(RecordError::Tag { tag, .. })) if tag == name), "{name}: {read:?}");
    }
    let tags = || item.tags().map(|tag| tag.to_tag()).collect::<Vec<_>>();
    for data in [&item.data()[..40], &[item.data(), &[0]].concat(), &[&[3; 32][..], &u32::MAX.to_be_bytes()].concat()] {
        let read = Record::read(&sign(ItemBuilder::new().tags(tags()).data(data.to_vec())));
        assert!(matches!(read, Some(Err(RecordError::Data(_)))), "{read:?}");
    }
}

#[test]
fn records_are_read_as_they_were_written() {
    for slots in [1, 2, 3, 100, RANGE_SLOTS_MAX] {
        let record = Record::Range(range(slots));
        assert_eq!(Record::read(&sign(record.item(&NETWORK).unwrap())), Some(Ok(record)));
    }
    let without = Record::Range(RangeRecord { previous: None, results: (Slot(0), vec![]), certificates: vec![], ..range(1) });
    assert_eq!(Record::read(&sign(without.item(&NETWORK).unwrap())), Some(Ok(without)));
    let late = ResultsRecord { process: Id([1; 32]), results: (Slot(7), vec![ResultHash([8; 32]); 3]) };
    for record in [Record::Frames(frames()), Record::Results(late), Record::Evidence(Bytes::from_static(b"two headers"))] {
        let item = sign(record.item(&NETWORK).unwrap());
        assert_eq!(item.tag(NETWORK_TAG), Some(NETWORK.to_string().as_str()));
        assert_eq!(Record::read(&item), Some(Ok(record)));
    }
    assert_eq!((range(3).to(), frames().to()), (Slot(43), 12));
}

#[test]
fn what_this_build_does_not_know_is_kept_and_skipped() {
    let with = |kind: &str, version: &str| {
        let item = ItemBuilder::new().tag("Data-Protocol", "ao").tag("Type", kind).tag("Anchor-Version", version).data("?");
        Record::read(&sign(item))
    };
    let unknown = |kind: &str, version: &str| Some(Ok(Record::Unknown { kind: kind.into(), version: version.into() }));
    assert_eq!(with("Anchor-Handover", "1"), unknown("Anchor-Handover", "1"));
    assert_eq!(with(RANGE, "2"), unknown(RANGE, "2"));
    assert_eq!(with("Message", "1"), None);
    assert_eq!(Record::read(&sign(ItemBuilder::new().tag("Type", RANGE))), None);
    assert_eq!(Record::Unknown { kind: RANGE.into(), version: "2".into() }.item(&NETWORK), None);
}

/// The item again, with one tag or the data as given.
fn changed(record: &RangeRecord, tag: Option<(&str, &str)>, data: impl Fn(&[u8]) -> Vec<u8>) -> Option<Result<Record, RecordError>> {
    let item = sign(record.item(&NETWORK));
    let mut tags: Vec<Tag> = item.tags().map(|tag| tag.to_tag()).collect();
    if let Some((name, value)) = tag {
        tags.iter_mut().filter(|tag| tag.name == name).for_each(|tag| tag.value = value.into());
    }
    Record::read(&sign(ItemBuilder::new().tags(tags).data(data(item.data()))))
}

#[test]
fn a_record_that_contradicts_itself_is_refused() {
    let record = range(3);
    let same = |data: &[u8]| data.to_vec();
    let tag = |name, value| changed(&record, Some((name, value)), same).unwrap();
    assert!(matches!(tag("To-Nonce", "44"), Err(RecordError::Slots { .. })));
    assert!(matches!(tag("Count", "2"), Err(RecordError::Slots { .. })));
    assert!(matches!(tag("Count", "0"), Err(RecordError::Slots { .. })));
    assert!(matches!(tag("Count", "4294967296"), Err(RecordError::Data(CodecError::Bound { .. }))));
    assert!(matches!(tag("Count", "-1"), Err(RecordError::Tag { tag: "Count", .. })));
    assert!(matches!(tag("Process", "mine"), Err(RecordError::Tag { tag: "Process", .. })));
    assert!(matches!(tag("Prev-Range", ""), Err(RecordError::Tag { tag: "Prev-Range", .. })));
    assert!(matches!(tag("Root", &Id([0; 32]).to_string()), Err(RecordError::Root { .. })));
    let turned = |data: &[u8]| [&data[64..128], &data[..64], &data[128..]].concat();
    assert!(matches!(changed(&record, None, turned), Some(Err(RecordError::Root { .. }))), "order is part of the root");
    let longer = |data: &[u8]| [data, &[0]].concat();
    assert!(matches!(changed(&record, None, longer), Some(Err(RecordError::Data(CodecError::Trailing { .. })))));
    let too_many = RangeRecord { certificates: vec![Bytes::new(); RANGE_CERTIFICATES_MAX + 1], ..range(1) };
    assert!(matches!(changed(&too_many, None, same), Some(Err(RecordError::Data(CodecError::Bound { .. })))));
    let too_many = RangeRecord { results: (Slot(0), vec![ResultHash([0; 32]); RANGE_RESULTS_MAX + 1]), ..range(1) };
    assert!(matches!(changed(&too_many, None, same), Some(Err(RecordError::Data(CodecError::Bound { .. })))));
    assert!(matches!(changed(&range(RANGE_SLOTS_MAX + 1), None, same), Some(Err(RecordError::Data(CodecError::Bound { .. })))));
}

#[test]
fn frames_are_counted_before_room_is_made_for_them() {
    let item = sign(frames().item(&NETWORK));
    let tags: Vec<Tag> = item.tags().map(|tag| tag.to_tag()).collect();
    let huge = [&(FRAMES_MAX as u32 + 1).to_be_bytes()[..], &item.data()[4..]].concat();
    let read = Record::read(&sign(ItemBuilder::new().tags(tags).data(huge)));
    assert!(matches!(read, Some(Err(RecordError::Data(CodecError::Bound { .. })))), "{read:?}");
}

proptest! {
    /// Whatever a stranger signs is read, refused, or none of ours, and costs no more than its bytes.
    #[test]
    fn no_item_is_too_strange(kind in "Anchor-(Range|Frames|Evidence|Checkpoint|New)", count in "[0-9]{1,20}", from in "[0-9]{1,20}", data in proptest::collection::vec(any::<u8>(), 0..600)) {
        let item = ItemBuilder::new().tag("Data-Protocol", "ao").tag("Type", kind).tag("Anchor-Version", VERSION)
            .tag("Count", count.clone()).tag("From-Nonce", from.clone()).tag("To-Nonce", from.clone()).tag("From-Sequence", from.clone()).tag("To-Sequence", from)
            .tag("Tenure", count).data(data);
        let item = sign(item).into_inner();
        let item = DataItem::parse(item.into_bytes(), Profile::Strict).unwrap();
        if let Some(Ok(record)) = Record::read(&item) {
            prop_assert!(!matches!(record, Record::Range(_)), "a root cannot be guessed");
        }
    }
}
