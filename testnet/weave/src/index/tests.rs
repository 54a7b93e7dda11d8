//! Bundles that are sound, nested, spoiled; blocks that go; views.

use ao_types::bundle::build;
use ao_types::{DataItem, ItemBuilder, Signer as _, Verified, Wallet};

use super::*;

fn wallet(n: u8) -> Wallet {
    Wallet::ed25519_from_seed(&[n; 32])
}

fn item(n: u8, note: &str) -> Verified<DataItem> {
    ItemBuilder::new().target(Id([n; 32])).tag("Note", note).tag("Kind", "test").data(note.as_bytes().to_vec()).sign(&wallet(n)).unwrap()
}

fn nest(items: &[Verified<DataItem>]) -> Verified<DataItem> {
    let builder = ItemBuilder::new().tag("Bundle-Format", "binary").tag("Bundle-Version", "2.0.0");
    builder.data(build(items)).sign(&wallet(200)).unwrap()
}

fn entry(root: u8, inside: &Inside, size: u64) -> Entry {
    Entry {
        head: Head::Item(inside.head.clone()),
        data: Data::Root { root: Id([root; 32]), size, offset: inside.data_offset, length: inside.data_bytes },
        root: Id([root; 32]),
        parent: Some(inside.parent.unwrap_or(Id([root; 32]))),
        offset: inside.offset,
    }
}

/// The items of one root, at a height.
fn connect(index: &mut Index, height: u64, root: u8, items: &[Verified<DataItem>]) {
    let bytes = build(items);
    let size = bytes.len() as u64;
    for inside in unbundle(bytes).items {
        assert!(index.insert(height, entry(root, &inside, size)));
    }
}

fn notes(index: &Index, view: &View, search: &Search) -> Vec<String> {
    index.search(view, search, None).entries.iter().map(|(_, entry)| entry.tag("Note").unwrap_or_default()).collect()
}

fn any() -> Search {
    Search { first: 100, sort: Sort::Ascending, ..Search::default() }
}

fn by_tag(name: &str, values: &[&str]) -> Search {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Search { tags: vec![TagFilter { name: name.into(), values, not: false }], ..any() }
}

#[test]
fn nested_items_are_found_with_their_bundle_and_their_bytes() {
    let (a, b, c) = (item(1, "a"), item(2, "b"), item(3, "c"));
    let inner = nest(&[b.clone(), c.clone()]);
    let root = build(&[a.clone(), inner.clone()]);
    let out = unbundle(root.clone());
    assert!(out.spoiled.is_empty());
    let found: Vec<_> = out.items.iter().map(|inside| (inside.head.id(), inside.parent)).collect();
    assert_eq!(found, [(a.id(), None), (inner.id(), None), (b.id(), Some(inner.id())), (c.id(), Some(inner.id()))]);
    for (inside, whole) in out.items.iter().zip([&a, &inner, &b, &c]) {
        let (offset, data) = (inside.offset as usize, inside.data_offset as usize);
        assert_eq!(root[offset..][..whole.as_bytes().len()], whole.as_bytes()[..]);
        assert_eq!(root[data..][..inside.data_bytes as usize], *whole.data());
    }
}

#[test]
fn one_bad_item_spoils_its_bundle_and_no_other() {
    let (a, b, c) = (item(1, "a"), item(2, "b"), item(3, "c"));
    let inner = nest(&[b.clone(), c.clone()]);
    // The last byte is data of `c`: the signature of the item around it is broken as well, hence built anew around broken bytes.
    let mut broken = build(&[b, c]).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let builder = ItemBuilder::new().tag("Bundle-Format", "binary").tag("Bundle-Version", "2.0.0");
    let spoiled = builder.data(broken).sign(&wallet(200)).unwrap();
    let out = unbundle(build(&[a.clone(), spoiled.clone(), inner]));
    assert_eq!(out.items.len(), 5, "three of the root, two of the sound one");
    assert_eq!(out.spoiled.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [Some(spoiled.id())]);

    let mut root = build(&[a]).to_vec();
    *root.last_mut().unwrap() ^= 1;
    let out = unbundle(root.into());
    assert_eq!((out.items.len(), out.spoiled.len()), (0, 1));
    assert_eq!(unbundle(Bytes::from_static(b"no bundle")).spoiled.len(), 1);
}

#[test]
fn deep_nests_are_left_closed() {
    let mut nested = item(1, "core");
    for _ in 0..20 {
        nested = nest(&[nested]);
    }
    let out = unbundle(build(&[nested]));
    assert_eq!((out.items.len(), out.spoiled.len()), (17, 1));
}

#[test]
fn every_filter_alone_and_together() {
    let mut index = Index::default();
    connect(&mut index, 10, 100, &[item(1, "a"), item(2, "b")]);
    connect(&mut index, 11, 101, &[item(1, "c"), nest(&[item(3, "d")])]);
    let found = |search: &Search| notes(&index, &View::ALL, search).join("");
    assert_eq!(found(&any()), "abcd");
    assert_eq!(found(&Search { sort: Sort::Descending, ..any() }), "dcba");
    assert_eq!(found(&by_tag("Kind", &["test"])), "abcd");
    assert_eq!(found(&by_tag("Note", &["d", "a", "x"])), "ad");
    assert_eq!(found(&by_tag("note", &["a"])), "", "names are exact");
    let mut not = by_tag("Note", &["a"]);
    not.tags[0].not = true;
    not.tags.push(TagFilter { name: "Kind".into(), values: vec![], not: false });
    assert_eq!(found(&not), "bcd");
    assert_eq!(found(&Search { owners: Some(vec![wallet(1).address()]), ..any() }), "ac");
    assert_eq!(found(&Search { recipients: Some(vec![Id([2; 32])]), ..any() }), "b");
    assert_eq!(found(&Search { ids: Some(vec![item(3, "d").id(), item(1, "a").id(), Id([9; 32])]), ..any() }), "ad");
    assert_eq!(found(&Search { bundled_in: Some(vec![Id([100; 32])]), ..any() }), "ab");
    assert_eq!(found(&Search { bundled_in: Some(vec![nest(&[item(3, "d")]).id()]), ..any() }), "d");
    assert_eq!(found(&Search { min: Some(11), ..any() }), "cd");
    assert_eq!(found(&Search { max: Some(10), owners: Some(vec![wallet(1).address()]), ..any() }), "a");
}

#[test]
fn pages_follow_one_another_and_late_items_come_behind_a_cursor() {
    let mut index = Index::default();
    connect(&mut index, 10, 100, &[item(1, "a"), item(2, "b"), item(3, "c")]);
    connect(&mut index, 11, 101, &[item(4, "d")]);
    for descending in [false, true] {
        let search = Search { first: 2, sort: if descending { Sort::Descending } else { Sort::Ascending }, ..any() };
        let first = index.search(&View::ALL, &search, None);
        assert!(first.more && first.entries.len() == 2);
        let second = index.search(&View::ALL, &search, first.end);
        assert!(!second.more && second.entries.len() == 2);
        let all: Vec<_> = first.entries.iter().chain(&second.entries).map(|(_, entry)| entry.tag("Note").unwrap()).collect();
        assert_eq!(all.concat(), if descending { "dcba" } else { "abcd" });
    }
    let end = index.search(&View::ALL, &any(), None).end;
    connect(&mut index, 10, 102, &[item(5, "late")]);
    assert!(index.search(&View::ALL, &any(), end).entries.is_empty(), "unbundled later, it lies behind the cursor");
    assert_eq!(notes(&index, &View::ALL, &any()), ["a", "b", "c", "late", "d"]);
}

#[test]
fn a_block_that_goes_takes_its_items_but_not_those_of_another_bundle() {
    let mut index = Index::default();
    connect(&mut index, 10, 100, &[item(1, "a")]);
    connect(&mut index, 11, 101, &[item(1, "a"), item(2, "b")]);
    connect(&mut index, 12, 102, &[item(2, "b"), item(3, "c")]);
    assert_eq!(notes(&index, &View::ALL, &any()), ["a", "b", "c"]);
    index.disconnect(11);
    assert_eq!(notes(&index, &View::ALL, &any()), ["a", "b"]);
    connect(&mut index, 12, 102, &[item(2, "b")]);
    index.disconnect(11);
    index.disconnect(10);
    assert_eq!(notes(&index, &View::ALL, &any()), ["a"]);

    let mut index = Index::default();
    connect(&mut index, 12, 102, &[item(2, "b")]);
    connect(&mut index, 11, 101, &[item(2, "b")]);
    index.disconnect(11);
    assert_eq!(notes(&index, &View::ALL, &any()), ["b"], "the lower block's took over");
    index.disconnect(10);
    let left = (index.len(), index.by_owner.len(), index.by_tag.len(), index.by_parent.len(), index.spare.len());
    assert_eq!(left, (0, 0, 0, 0, 0));
}

#[test]
fn what_waits_is_first_of_the_newest_and_is_in_a_block_later() {
    let mut index = Index::default();
    connect(&mut index, WAITING, 100, &[item(1, "a")]);
    connect(&mut index, 10, 101, &[item(2, "b")]);
    let newest = Search { sort: Sort::Descending, ..any() };
    assert_eq!(notes(&index, &View::ALL, &newest), ["a", "b"]);
    assert_eq!(notes(&index, &View::ALL, &Search { min: Some(0), ..any() }), ["b"], "a window of heights has only blocks");
    connect(&mut index, 11, 100, &[item(1, "a")]);
    assert_eq!(notes(&index, &View::ALL, &Search { min: Some(11), ..any() }), ["a"]);
}

#[test]
fn views_differ() {
    let mut index = Index::default();
    connect(&mut index, 10, 100, &[item(1, "a"), nest(&[item(2, "b")])]);
    connect(&mut index, 11, 101, &[item(3, "c")]);
    let behind = View { height_max: Some(10), ..View::ALL };
    assert_eq!(notes(&index, &behind, &by_tag("Kind", &["test"])), ["a", "b"]);
    let unbundles_late = View { item_height_max: Some(10), ..View::ALL };
    assert_eq!(notes(&index, &unbundles_late, &by_tag("Kind", &["test"])), ["a", "b"]);
    let hides = View { hidden: BTreeSet::from([item(1, "a").id(), nest(&[item(2, "b")]).id()]), ..View::ALL };
    assert_eq!(notes(&index, &hides, &by_tag("Kind", &["test"])), ["c"]);
    assert!(index.get(&hides, &item(1, "a").id()).is_none() && index.get(&View::ALL, &item(1, "a").id()).is_some());
}
