//! From an older disk format to this binary's, one function per step.
//!
//! A step turns format n into n + 1 in one atomic batch that also raises the number, so a crash between two steps is a start from the
//! one reached. There is no way back: a newer format is refused.

use crate::schema::{self, FORMAT};
use crate::{Direction, Durability, Error, Store, Table, WriteBatch};

/// Turns one format into the next: reads the store, says what to write.
pub(crate) type Step = fn(&dyn Store) -> Result<WriteBatch, Error>;

/// `STEPS[n]` leads from format n + 1 to n + 2.
const STEPS: &[Step] = &[frames_with_every_field];

const _: () = assert!(STEPS.len() as u32 + 1 == FORMAT, "every format but the first has a step that leads to it");

/// Brings a store to this binary's format, or names the reason why it cannot be read. An empty store gets its first rows.
pub(crate) fn prepare(store: &dyn Store) -> Result<(), Error> {
    run(store, STEPS)
}

fn run(store: &dyn Store, steps: &[Step]) -> Result<(), Error> {
    let supported = steps.len() as u32 + 1;
    let Some(found) = schema::DISK_FORMAT.get(store)? else { return initialise(store, supported) };
    if found > supported {
        return Err(Error::TooNew { found, supported });
    }
    if found == 0 {
        return Err(unreadable("format 0 was never written"));
    }
    for (reached, step) in (found..).zip(&steps[found as usize - 1..]) {
        tracing::info!(from = reached, to = reached + 1, "migrating the data directory");
        let mut batch = step(store)?;
        schema::DISK_FORMAT.put(&mut batch, &(reached + 1));
        store.write(batch, Durability::Synced)?;
    }
    Ok(())
}

fn initialise(store: &dyn Store, format: u32) -> Result<(), Error> {
    // The format is the first thing written. Rows without it are what is left of something.
    for table in Table::ALL {
        if !store.scan(*table, &[], &[], Direction::Forward, 1)?.is_empty() {
            return Err(unreadable("there are rows but no format version"));
        }
    }
    let mut batch = WriteBatch::default();
    schema::DISK_FORMAT.put(&mut batch, &format);
    schema::CREATED_BY.put(&mut batch, &env!("CARGO_PKG_VERSION").to_owned());
    store.write(batch, Durability::Synced)
}

fn unreadable(reason: &str) -> Error {
    Error::Corrupt { what: "format version".into(), place: "table meta".into(), reason: reason.into() }
}

/// 1 → 2: frames carry every field of `consensus.md` §3. Format 1 knew networks of one node only, whose frames nobody else has seen and
/// nothing proves: they are dropped, what stood in them is confirmed (which is what the engine of such a network says of anything durable),
/// and the chain begins anew.
fn frames_with_every_field(store: &dyn Store) -> Result<WriteBatch, Error> {
    const PAGE: usize = 1024;
    let (mut batch, mut from) = (WriteBatch::default(), Vec::new());
    loop {
        let page = store.scan(Table::Frames, &from, &[], Direction::Forward, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        from = [last, &[0][..]].concat();
        page.into_iter().for_each(|(key, _)| batch.delete(Table::Frames, key.to_vec()));
    }
    let mut from = Vec::new();
    loop {
        let page = schema::HEADS.scan(store, &from, &[], Direction::Forward, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        from = [&last.0[..], &[0]].concat();
        page.iter().for_each(|(process, head)| schema::CONFIRMED.put(&mut batch, process, &head.slot));
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    fn rename_network(store: &dyn Store) -> Result<WriteBatch, Error> {
        let mut batch = WriteBatch::default();
        let old = schema::NETWORK.get(store)?.unwrap_or_default();
        schema::NETWORK.put(&mut batch, &format!("{old}+"));
        Ok(batch)
    }

    fn fail(_: &dyn Store) -> Result<WriteBatch, Error> {
        Err(Error::Io("step failed".into()))
    }

    #[test]
    fn an_empty_store_gets_the_format_once() {
        let store = MemoryStore::new();
        prepare(&store).unwrap();
        assert_eq!(schema::DISK_FORMAT.get(&store).unwrap(), Some(FORMAT));
        let first = store.contents();
        prepare(&store).unwrap();
        assert_eq!(store.contents(), first);
    }

    #[test]
    fn frames_of_format_1_are_dropped_and_what_stood_in_them_is_confirmed() {
        use ao_types::{Address, Id, Slot};
        let store = MemoryStore::new();
        run(&store, &[]).unwrap();
        let mut batch = WriteBatch::default();
        let head = |slot| schema::Head {
            schedule_epoch: 0,
            slot: Slot(slot),
            assignment: Id([1; 32]),
            hash_chain: [2; 32],
            timestamp_ms: 3,
            block_height: 4,
        };
        for process in 0..=255 {
            schema::HEADS.put(&mut batch, &Id([process; 32]), &head(u64::from(process) + 7));
        }
        schema::CONFIRMED.put(&mut batch, &Id([1; 32]), &Slot(3));
        for sequence in 0..3000u64 {
            let key = schema::FrameKey { scheduler: Address::Arweave(Id([9; 32])), tenure: 0, sequence };
            // As format 1 wrote it: no tip, and a version byte that this binary no longer reads.
            batch.put(Table::Frames, crate::typed::Key::to_bytes(&key), bytes::Bytes::from_static(b"\x01old"));
        }
        store.write(batch, Durability::Synced).unwrap();
        prepare(&store).unwrap();
        assert_eq!(schema::DISK_FORMAT.get(&store).unwrap(), Some(2));
        assert!(store.scan(Table::Frames, &[], &[], Direction::Forward, 1).unwrap().is_empty());
        assert_eq!(schema::CONFIRMED.get(&store, &Id([1; 32])).unwrap(), Some(Slot(8)));
        assert_eq!(schema::CONFIRMED.all(&store, Direction::Forward, 999).unwrap().len(), 256);
    }

    #[test]
    fn steps_run_in_order_from_the_format_found_and_stop_where_one_fails() {
        let store = MemoryStore::new();
        run(&store, &[]).unwrap();
        assert!(run(&store, &[rename_network, rename_network, fail]).is_err());
        assert_eq!(schema::DISK_FORMAT.get(&store).unwrap(), Some(3), "two of three steps were made");
        assert_eq!(schema::NETWORK.get(&store).unwrap().as_deref(), Some("++"));
        run(&store, &[fail, fail, rename_network]).unwrap();
        assert_eq!(schema::NETWORK.get(&store).unwrap().as_deref(), Some("+++"), "steps already made are not made again");
    }

    #[test]
    fn what_a_newer_binary_wrote_is_refused_and_left_alone() {
        let store = MemoryStore::new();
        run(&store, &[rename_network]).unwrap();
        let before = store.contents();
        match run(&store, &[]) {
            Err(Error::TooNew { found: 2, supported: 1 }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(store.contents(), before);
    }

    #[test]
    fn rows_without_a_format_are_not_adopted() {
        let store = MemoryStore::new();
        let mut batch = WriteBatch::default();
        schema::ACCOUNTS.put(&mut batch, &"a".into(), &schema::AccountRow { balance: 1 });
        store.write(batch, Durability::Synced).unwrap();
        assert!(matches!(prepare(&store), Err(Error::Corrupt { .. })));
    }
}
