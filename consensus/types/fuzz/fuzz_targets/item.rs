//! Any bytes as an item: no panic, strict within archive, accessors within bounds, views and acceptance rules included.
#![no_main]

use ao_types::message::{Kind, Module};
use ao_types::{Assignment, ContentKey, DataItem, Invocation, Process, Profile, Verified, lawful};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    let strict = DataItem::parse(bytes.clone(), Profile::Strict);
    let archive = DataItem::parse(bytes.clone(), Profile::Archive);
    assert!(strict.is_err() || archive == strict);
    let Ok(item) = archive else { return };
    let parts = 2 + item.signature().len() + item.owner().len() + 2 + 16;
    let optional = 32 * (usize::from(item.target().is_some()) + usize::from(item.anchor().is_some()));
    assert_eq!(parts + optional + item.raw_tags().len() + item.data().len(), bytes.len());
    assert_eq!(item.tags().count(), item.tag_count());
    let _ = (lawful(&item), Process::read(&item), Module::read(&item), Kind::of(&item), ContentKey::of(&item));
    let _ = Invocation::of_unassigned_process(&item, 0, 0).to_json();
    let _ = Assignment::read(Verified::reloaded_from_own_store(item.clone()));
    let _ = item.verify();
});
