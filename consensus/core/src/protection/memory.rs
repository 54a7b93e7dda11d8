//! The rules over rows in memory: what the simulator and tests use, and the model that a durable store is tested against.

use std::collections::BTreeMap;

use ao_types::{BlsKey, Chain};

use super::{ChainRow, Conflict, Guard, Kind, Position, Protection, SignedRow, Watermark, place};

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryProtection {
    chains: BTreeMap<(BlsKey, Chain), ChainRow>,
    signed: BTreeMap<Position, SignedRow>,
    watermarks: BTreeMap<(BlsKey, Kind, String), Watermark>,
}

impl MemoryProtection {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Protection for MemoryProtection {
    type Error = Conflict;

    fn chain_row(&self, key: &BlsKey, chain: &Chain) -> Result<Option<ChainRow>, Conflict> {
        Ok(self.chains.get(&(*key, *chain)).cloned())
    }

    fn signed_row(&self, position: &Position) -> Result<Option<SignedRow>, Conflict> {
        Ok(self.signed.get(position).cloned())
    }

    fn watermark(&self, position: &Position) -> Result<Option<Watermark>, Conflict> {
        Ok(self.watermarks.get(&(position.key, position.kind, position.scope.clone())).cloned())
    }

    fn record(&mut self, guards: &[Guard]) -> Result<(), Conflict> {
        for guard in self.check(guards)? {
            match guard {
                Guard::Chain(row) => drop(self.chains.insert((row.key, row.chain), row)),
                Guard::Signed(row) => drop(self.signed.insert(row.position.clone(), row)),
            }
        }
        Ok(())
    }

    fn raise(&mut self, watermark: &Watermark) -> Result<(), Conflict> {
        let key = (watermark.0.key, watermark.0.kind, watermark.0.scope.clone());
        let higher = self.watermarks.get(&key).is_none_or(|old| place(&old.0) < place(&watermark.0));
        if higher {
            self.watermarks.insert(key, watermark.clone());
        }
        Ok(())
    }

    fn conflict(error: &Conflict) -> Option<&Conflict> {
        Some(error)
    }

    fn rows(&self, key: &BlsKey) -> Result<(Vec<Guard>, Vec<Watermark>), Conflict> {
        let chains = self.chains.values().filter(|row| row.key == *key).cloned().map(Guard::Chain);
        let signed = self.signed.values().filter(|row| row.position.key == *key).cloned().map(Guard::Signed);
        let watermarks = self.watermarks.values().filter(|one| one.0.key == *key).cloned().collect();
        Ok((chains.chain(signed).collect(), watermarks))
    }

    fn keys(&self) -> Result<Vec<BlsKey>, Conflict> {
        let chains = self.chains.keys().map(|(key, _)| *key);
        let others = self.signed.keys().map(|position| position.key).chain(self.watermarks.keys().map(|(key, ..)| *key));
        let mut keys: Vec<BlsKey> = chains.chain(others).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}
