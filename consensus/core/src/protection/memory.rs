//! The rules over rows in memory: what the simulator and tests use, and the model that a durable store is tested against.

use std::collections::BTreeMap;

use ao_types::{BlsKey, Chain};

use super::{ChainRow, Conflict, Guard, Kind, Permit, Position, Protection, SignedRow, Watermark, may_replace, may_sign, place};

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryProtection {
    chains: BTreeMap<(BlsKey, Chain), ChainRow>,
    signed: BTreeMap<Position, SignedRow>,
    watermarks: BTreeMap<(BlsKey, Kind, String), Watermark>,
}

enum Undo {
    Nothing,
    Chain((BlsKey, Chain), Option<Box<ChainRow>>),
    Signed(Position),
}

impl MemoryProtection {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a row in; what undoes it.
    fn put(&mut self, guard: &Guard) -> Undo {
        match guard {
            Guard::Chain(row) => {
                let place = (row.key, row.chain);
                Undo::Chain(place, self.chains.insert(place, row.clone()).map(Box::new))
            }
            // What is there already is the same, or the check had refused.
            Guard::Signed(row) if self.signed.contains_key(&row.position) => Undo::Nothing,
            Guard::Signed(row) => {
                self.signed.insert(row.position.clone(), row.clone());
                Undo::Signed(row.position.clone())
            }
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Chain(place, Some(row)) => drop(self.chains.insert(place, *row)),
            Undo::Chain(place, None) => drop(self.chains.remove(&place)),
            Undo::Signed(position) => drop(self.signed.remove(&position)),
        }
    }

    fn check(&self, guard: &Guard) -> Result<(), Conflict> {
        match guard {
            Guard::Chain(next) => may_replace(self.chains.get(&(next.key, next.chain)), next),
            Guard::Signed(row) => {
                let root = row.root.ok_or_else(|| Conflict::Position(Box::new(row.position.clone())))?;
                let existing = self.signed.get(&row.position);
                let key = (row.position.key, row.position.kind, row.position.scope.clone());
                match may_sign(&row.position, &root, existing, self.watermarks.get(&key)) {
                    Ok(Permit::Fresh | Permit::Repeat(_)) => Ok(()),
                    Err(conflict) => Err(conflict),
                }
            }
        }
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
        // Later rows of one call are checked against earlier ones, and nothing is kept unless all pass.
        let mut before = Vec::with_capacity(guards.len());
        for guard in guards {
            if let Err(conflict) = self.check(guard) {
                before.into_iter().rev().for_each(|undo| self.undo(undo));
                return Err(conflict);
            }
            before.push(self.put(guard));
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
