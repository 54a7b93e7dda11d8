//! Logs out of bundles: in any order, with holes, forgeries, repetitions and contradictions.

use ao_types::bundle::{BundleError, build};
use ao_types::{Assignment, AssignmentContent, DataItem, ItemBuilder, Signer as _, Verified, Wallet};
use bytes::Bytes;
use proptest::prelude::*;

use super::glean::glean;

use super::*;

fn wallet(n: u8) -> Wallet {
    Wallet::ed25519_from_seed(&[n; 32])
}

const SCHEDULER: u8 = 1;

fn process_item(scheduler: u8) -> Verified<DataItem> {
    let tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Process")];
    let builder = tags.into_iter().fold(ItemBuilder::new(), |item, (name, value)| item.tag(name, value));
    let builder = builder.tag("Module", Id([3; 32]).to_string()).tag("Scheduler", wallet(scheduler).address().to_string());
    builder.sign(&wallet(9)).unwrap()
}

fn message(process: &Id, n: u64) -> Verified<DataItem> {
    let tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")];
    let builder = tags.into_iter().fold(ItemBuilder::new(), |item, (name, value)| item.tag(name, value));
    builder.target(*process).data(n.to_string().into_bytes()).sign(&wallet(8)).unwrap()
}

/// What a scheduler writes: the process at slot 0, messages behind it.
struct World {
    process: Verified<DataItem>,
    slots: Vec<(Verified<DataItem>, Assignment)>,
}

fn content(process: &Id, slot: u64, hash_chain: HashChain, message: Option<Id>) -> AssignmentContent {
    let (block_height, timestamp_ms) = (1_500_000 + slot, 1_700_000_000_000 + slot);
    AssignmentContent {
        process: *process,
        schedule_epoch: 0,
        slot: Slot(slot),
        hash_chain,
        block_height,
        timestamp_ms,
        message,
        exclude: vec![],
    }
}

impl World {
    fn new(slots: u64) -> Self {
        let process = process_item(SCHEDULER);
        let mut world = Self { process, slots: Vec::new() };
        for slot in 0..slots {
            let item = if slot == 0 { world.process.clone() } else { message(&world.id(), slot) };
            let assignment = world.assign(slot, &item);
            world.slots.push((item, assignment));
        }
        world
    }

    fn id(&self) -> Id {
        self.process.id()
    }

    fn chain_at(&self, slot: u64) -> HashChain {
        match slot.checked_sub(1) {
            None => HashChain::first(&self.id()),
            Some(before) => self.slots[before as usize].1.next_chain(),
        }
    }

    fn assign(&self, slot: u64, item: &Verified<DataItem>) -> Assignment {
        let message = (slot > 0).then(|| item.id());
        content(&self.id(), slot, self.chain_at(slot), message).sign(&wallet(SCHEDULER)).unwrap()
    }

    fn items(&self) -> Vec<Verified<DataItem>> {
        self.slots.iter().flat_map(|(item, assignment)| [item.clone(), assignment.item().clone()]).collect()
    }
}

/// What was read, and where it lies.
struct Found(Archive, Depot);

impl Found {
    fn nothing() -> Self {
        Self(Archive::default(), Depot::in_memory())
    }

    fn add_bundle(&mut self, bytes: Bytes) -> Result<(), BundleError> {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.1.len().to_be_bytes());
        let number = self.1.hold(Id(id), bytes.clone());
        self.0.take(glean(number, bytes)?).unwrap();
        Ok(())
    }

    fn log(&self, process: &Id) -> Result<Log, RecoverError> {
        self.0.log(process, &self.1)
    }
}

fn archive(items: &[Verified<DataItem>]) -> Found {
    let mut found = Found::nothing();
    found.add_bundle(build(items)).unwrap();
    found
}

fn slots(log: &Log) -> Vec<Id> {
    log.entries.iter().map(|entry| entry.item).collect()
}

#[test]
fn a_log_is_what_was_scheduled() {
    let world = World::new(5);
    let log = archive(&world.items()).log(&world.id()).unwrap();
    assert_eq!(slots(&log), world.slots.iter().map(|(item, _)| item.id()).collect::<Vec<_>>());
    assert_eq!(log.end, End::NoAssignment { slot: Slot(5), hole: false });
    assert!(log.contradictions.is_empty());
    let found = archive(&world.items());
    assert_eq!(found.0.processes().collect::<Vec<_>>(), [(&world.id(), &wallet(SCHEDULER).address())]);
    assert_eq!(found.0.assigned().collect::<Vec<_>>(), [&world.id()]);
    for (entry, (item, assignment)) in log.entries.iter().zip(&world.slots) {
        let read = |id: &Id| found.1.item(&found.0.place(id).unwrap()).unwrap();
        assert_eq!((&read(&entry.item), &read(&entry.assignment)), (item, assignment.item()));
    }
}

#[test]
fn holes_are_said_and_not_skipped() {
    let world = World::new(6);
    let without = |index: usize| {
        let mut items = world.items();
        items.remove(index);
        archive(&items).log(&world.id()).unwrap()
    };
    let log = without(2 * 3 + 1);
    assert_eq!((log.entries.len(), log.end), (3, End::NoAssignment { slot: Slot(3), hole: true }));
    let log = without(2 * 3);
    assert_eq!((log.entries.len(), log.end), (3, End::NoItem { slot: Slot(3), item: world.slots[3].0.id() }));
    let log = without(2 * 5 + 1);
    assert_eq!(log.end, End::NoAssignment { slot: Slot(5), hole: false });
    let none = archive(&world.items()[1..]).log(&world.id());
    assert!(matches!(none, Err(RecoverError::NoProcess(id)) if id == world.id()));
}

#[test]
fn strangers_assign_nothing_and_forgeries_spoil_nothing_else() {
    let world = World::new(3);
    let mut items = world.items();
    let stranger = content(&world.id(), 3, world.slots[2].1.next_chain(), Some(Id([7; 32]))).sign(&wallet(5)).unwrap();
    items.push(stranger.item().clone());
    let broken_link = content(&world.id(), 3, HashChain::from_bytes([9; 32]), Some(Id([7; 32]))).sign(&wallet(SCHEDULER)).unwrap();
    let log = archive(&items).log(&world.id()).unwrap();
    assert_eq!((log.entries.len(), log.end), (3, End::NoAssignment { slot: Slot(3), hole: false }));
    items.push(broken_link.item().clone());
    let log = archive(&items).log(&world.id()).unwrap();
    assert_eq!((log.entries.len(), log.end), (3, End::Unlinked { slot: Slot(3) }));

    // The last byte of the bundle is data of message 2: its signature does not hold any more, all others do.
    let mut items = world.items();
    items.swap(4, 5);
    let mut bytes = build(&items).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let mut found = Found::nothing();
    found.add_bundle(bytes.into()).unwrap();
    assert_eq!((found.0.refused(), found.0.len()), (1, 5));
    let log = found.log(&world.id()).unwrap();
    assert_eq!((log.entries.len(), log.end), (2, End::NoItem { slot: Slot(2), item: world.slots[2].0.id() }));
    assert!(Found::nothing().add_bundle(Bytes::from_static(b"html")).is_err());
}

/// The same content signed again, with another anchor and hence another id.
fn again(assignment: &Assignment, anchor: u8) -> Assignment {
    let item = ItemBuilder::new().anchor([anchor; 32]).tags(assignment.content().tags()).sign(&wallet(SCHEDULER)).unwrap();
    Assignment::read(item).unwrap()
}

#[test]
fn what_was_signed_again_is_no_contradiction() {
    let world = World::new(4);
    let mut items = world.items();
    for anchor in 0..5 {
        items.push(again(&world.slots[2].1, anchor).item().clone());
    }
    let log = archive(&items).log(&world.id()).unwrap();
    assert_eq!(slots(&log), slots(&archive(&world.items()).log(&world.id()).unwrap()));
    assert_eq!(log.entries[2].assignment, world.slots[2].1.id(), "the next slot says which is meant");
    assert!(log.contradictions.is_empty());
    // Of the last slot nothing says so: the lowest id, whatever came first.
    items.push(again(&world.slots[3].1, 77).item().clone());
    let lowest = world.slots[3].1.id().min(again(&world.slots[3].1, 77).id());
    for _ in 0..2 {
        items.reverse();
        let log = archive(&items).log(&world.id()).unwrap();
        assert_eq!((log.entries.len(), log.entries[3].assignment), (4, lowest));
    }
}

#[test]
fn a_scheduler_that_contradicts_itself_is_caught() {
    let world = World::new(4);
    let mut items = world.items();
    let other = message(&world.id(), 99);
    let rival = world.assign(2, &other);
    items.extend([other.clone(), rival.item().clone()]);
    let log = archive(&items).log(&world.id()).unwrap();
    assert_eq!(slots(&log), world.slots.iter().map(|(item, _)| item.id()).collect::<Vec<_>>(), "the longer chain counts");
    assert_eq!(log.contradictions.len(), 1);
    // Equally long: nobody can say.
    let after = message(&world.id(), 100);
    let next = content(&world.id(), 3, rival.next_chain(), Some(after.id())).sign(&wallet(SCHEDULER)).unwrap();
    items.extend([after, next.item().clone()]);
    let log = archive(&items).log(&world.id()).unwrap();
    assert_eq!(log.entries.len(), 2);
    let End::Contradiction { slot, proof } = log.end else { panic!("{:?}", log.end) };
    assert_eq!(slot, Slot(2));
    assert_eq!([proof.0, proof.1].iter().collect::<BTreeSet<_>>(), [rival.id(), world.slots[2].1.id()].iter().collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever arrives in whatever order and however often: the same log, and never one that was not scheduled.
    #[test]
    fn order_and_repetition_change_nothing(order in prop::collection::vec(any::<prop::sample::Index>(), 1..40), lost in prop::collection::vec(0usize..12, 0..3)) {
        let world = World::new(6);
        let items: Vec<_> = world.items().into_iter().enumerate().filter(|(index, _)| *index == 0 || !lost.contains(index)).map(|(_, item)| item).collect();
        let mut mixed = Found::nothing();
        for item in order.iter().map(|index| index.get(&items)).chain(items.iter().rev()) {
            mixed.add_bundle(build(std::slice::from_ref(item))).unwrap();
        }
        let (one, two) = (archive(&items).log(&world.id()).unwrap(), mixed.log(&world.id()).unwrap());
        prop_assert_eq!(slots(&one), slots(&two));
        prop_assert_eq!(&one.end, &two.end);
        let right: Vec<Id> = world.slots.iter().map(|(item, _)| item.id()).collect();
        prop_assert!(right.starts_with(&slots(&one)));
        prop_assert_eq!(one.entries.len() == 6, one.end == End::NoAssignment { slot: Slot(6), hole: false });
    }
}
