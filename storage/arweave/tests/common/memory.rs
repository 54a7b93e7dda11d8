//! A keeper in memory, which can refuse, be full, and die.

use std::collections::{BTreeMap, BTreeSet};

use ao_arweave::driver::{KeepError, Keeper, Remembered, Rows};
use ao_arweave::pipeline::{Alarm, Shipment, Spent};
use ao_types::{Canonical as _, DataItem, Verified};
use parking_lot::Mutex;

#[derive(Default)]
pub struct Kept {
    pub rows: BTreeMap<u64, Vec<u8>>,
    pub parcels: BTreeMap<u64, Vec<Verified<DataItem>>>,
    pub spent: Spent,
    pub settled: BTreeSet<u64>,
    pub alarms: Vec<Alarm>,
    pub writes: u64,
    /// Every so many writes one fails.
    pub refuse_every: u64,
    /// After so many writes the node dies: what was written is durable, and nothing that follows from it was done.
    pub dies_after: Option<u64>,
    /// There is no room on the disk.
    pub full: bool,
}

#[derive(Default)]
pub struct Memory(pub Mutex<Kept>);

impl Keeper for Memory {
    fn load(&self) -> Result<Remembered, KeepError> {
        let kept = self.0.lock();
        let shipments = kept.rows.values().map(|row| Shipment::decode(row).unwrap()).collect();
        Ok(Remembered { shipments, spent: kept.spent, next: 1 })
    }

    fn remember(&self, rows: Rows<'_>) -> Result<(), KeepError> {
        let mut kept = self.0.lock();
        if kept.full {
            return Err(KeepError("no space left on device".into()));
        }
        kept.writes += 1;
        if kept.refuse_every > 0 && kept.writes.is_multiple_of(kept.refuse_every) {
            return Err(KeepError("the disk is full".into()));
        }
        for row in rows.shipments {
            kept.rows.insert(row.number, row.encode());
        }
        kept.spent = rows.spent.unwrap_or(kept.spent);
        if let Some((number, parcel)) = rows.parcel {
            kept.parcels.insert(number, parcel.items.clone());
        }
        // Nothing is settled twice without having been unsettled.
        assert!(rows.settled.iter().all(|number| kept.settled.insert(*number)));
        assert!(rows.unsettled.iter().all(|number| kept.settled.remove(number)));
        if kept.dies_after == Some(kept.writes) {
            kept.dies_after = None;
            return Err(KeepError("killed".into()));
        }
        Ok(())
    }

    fn items(&self, shipment: u64) -> Result<Vec<Verified<DataItem>>, KeepError> {
        self.0.lock().parcels.get(&shipment).cloned().ok_or_else(|| KeepError("no such shipment".into()))
    }

    fn alarm(&self, _shipment: u64, alarm: Alarm, _why: &str) {
        self.0.lock().alarms.push(alarm);
    }
}
