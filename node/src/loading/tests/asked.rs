//! What is made of whoever answers, and of whoever does not.

use ao_storage::{MemoryStore, schema};
use ao_types::Slot;

use super::world::{HEIGHT, LOCATION, Log, TIME};
use crate::loading::Error;

#[tokio::test]
async fn a_scheduler_that_does_not_answer_has_not_said_that_the_log_ends() {
    let log = Log::new();
    let (gateway, scheduler) = (log.shown().await, log.shown().await);
    let store = MemoryStore::new();
    let whole = log.load(&store, &[&gateway], &[&scheduler], Some(1)).await.unwrap();
    assert_eq!((whole.added, whole.last), (2, Slot(1)));
    // The gateway knows of nothing newer: nothing of the rest is anchored.
    gateway.faults.lock().hidden.extend(&log.assignments[2..]);
    scheduler.faults.lock().down = true;
    let silent = log.load(&store, &[&gateway], &[&scheduler], None).await;
    assert!(matches!(silent, Err(Error::Nobody { .. })), "{silent:?}");
    // Nor has one that asks to be left alone from the second page on; what it said before stays.
    let store = MemoryStore::new();
    *scheduler.faults.lock() = super::world::Faults { pages: Some(1), ..Default::default() };
    let busy = log.load(&store, &[&gateway], &[&scheduler], None).await;
    assert!(matches!(busy, Err(Error::Nobody { .. })), "{busy:?}");
    scheduler.faults.lock().pages = None;
    let rest = log.load(&store, &[&gateway], &[&scheduler], None).await.unwrap();
    assert_eq!((rest.from, rest.last), (Slot(2), Slot(3)));
    // Where it answers that there is no more, there is none.
    let again = log.load(&store, &[&gateway], &[&scheduler], None).await.unwrap();
    assert_eq!((again.added, again.last), (0, Slot(3)));
    // The same of gateways alone.
    gateway.faults.lock().down = true;
    let silent = log.load(&store, &[&gateway], &[], None).await;
    assert!(matches!(silent, Err(Error::Nobody { .. })), "{silent:?}");
}

#[tokio::test]
async fn what_came_before_an_item_that_nobody_has_stays() {
    let log = Log::new();
    let (gateway, store) = (log.shown().await, MemoryStore::new());
    gateway.faults.lock().hidden.insert(log.messages[2]);
    let missing = log.load(&store, &[&gateway], &[], None).await;
    assert!(matches!(&missing, Err(Error::Missing { what }) if what.contains("slot 2")), "{missing:?}");
    gateway.faults.lock().hidden.clear();
    let rest = log.load(&store, &[&gateway], &[], None).await.unwrap();
    assert_eq!((rest.from, rest.last, rest.added, rest.linked), (Slot(2), Slot(3), 2, 2));
    assert_eq!((rest.unlinked, rest.backwards), (0, 1), "what was read and not written is not counted");
}

#[tokio::test]
async fn a_load_that_asks_for_less_than_there_is_speaks_of_what_it_asked_for() {
    let log = Log::new();
    let (gateway, store) = (log.shown().await, MemoryStore::new());
    let whole = log.load(&store, &[&gateway], &[], None).await.unwrap();
    let less = log.load(&store, &[&gateway], &[], Some(1)).await.unwrap();
    assert_eq!((whole.last, less.last, less.added), (Slot(3), Slot(1), 0));
}

#[tokio::test]
async fn of_a_slot_that_was_signed_twice_the_one_that_the_log_goes_on_from_is_loaded() {
    let log = Log::signed_again();
    let (gateway, scheduler) = (log.shown().await, log.shown().await);
    for schedulers in [vec![], vec![&scheduler]] {
        let store = MemoryStore::new();
        let first = log.load(&store, &[&gateway], &schedulers, Some(1)).await.unwrap();
        assert_eq!(first.last, Slot(1));
        assert_eq!(schema::HEADS.get(&store, &log.process).unwrap().unwrap().assignment, log.assignments[1]);
        let rest = log.load(&store, &[&gateway], &schedulers, None).await.unwrap();
        assert_eq!((rest.added, rest.last), (2, Slot(3)));
    }
    // Nobody shows yet what follows on it: it is left out until somebody does.
    gateway.faults.lock().hidden.extend(&log.assignments[2..]);
    let store = MemoryStore::new();
    let open = log.load(&store, &[&gateway], &[], None).await.unwrap();
    assert_eq!((open.last, open.added), (Slot(0), 1));
    let wanted = log.load(&store, &[&gateway], &[], Some(1)).await;
    assert!(matches!(&wanted, Err(Error::Missing { what }) if what.contains("slot 1, signed more often")), "{wanted:?}");
    gateway.faults.lock().hidden.clear();
    assert_eq!(log.load(&store, &[&gateway], &[], None).await.unwrap().last, Slot(3));
}

#[tokio::test]
async fn forged_words_on_where_a_scheduler_is_hide_none_of_its_own() {
    let log = Log::new();
    let gateway = log.shown().await;
    gateway.faults.lock().forged = true;
    let whole = log.load(&MemoryStore::new(), &[&gateway], &[], None).await.unwrap();
    assert_eq!(whole.url.as_deref(), Some(LOCATION));
}

#[tokio::test]
async fn the_chain_decides_where_gateways_contradict_each_other_about_a_block() {
    let log = Log::without_spawn();
    let (liar, honest) = (log.shown().await, log.shown().await);
    for lie in [HEIGHT + 1, HEIGHT + 1_000_000] {
        liar.faults.lock().height = Some(lie);
        let store = MemoryStore::new();
        log.load(&store, &[&liar, &honest], &[], None).await.unwrap();
        let row = schema::PROCESSES.get(&store, &log.process).unwrap().unwrap();
        assert_eq!((row.block_height, row.timestamp_ms), (HEIGHT, TIME * 1000));
    }
}
