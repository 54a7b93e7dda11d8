//! How long frames take, on the run's clock, from the moment their scheduler sent them.

use std::collections::BTreeMap;

use ao_types::Chain;

/// Times of one run, and what the nodes sent.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    open: BTreeMap<(Chain, u64), u64>,
    published: BTreeMap<(Chain, u64), u64>,
    /// From sent to certified, milliseconds, at its scheduler.
    pub certified: Vec<u64>,
    /// From sent to confirmed.
    pub confirmed: Vec<u64>,
    /// Bytes of frames, and how many parcels.
    pub frames: (u64, u64),
    /// The same of engines.
    pub engines: (u64, u64),
}

impl Timing {
    /// A frame with entries leaves its scheduler.
    pub fn on_published(&mut self, chain: Chain, sequence: u64, now: u64) {
        self.published.entry((chain, sequence)).or_insert(now);
        self.open.entry((chain, sequence)).or_insert(now);
    }

    /// Its scheduler has the certificate of a frame, and so of all before it.
    pub fn on_certified(&mut self, chain: Chain, sequence: u64, now: u64) {
        let covered: Vec<_> = self.open.range((chain, 0)..=(chain, sequence)).map(|(place, at)| (*place, *at)).collect();
        for (place, at) in covered {
            self.open.remove(&place);
            self.certified.push(now.saturating_sub(at));
        }
    }

    /// Its scheduler holds a frame for confirmed.
    pub fn on_confirmed(&mut self, chain: Chain, sequence: u64, now: u64) {
        if let Some(at) = self.published.remove(&(chain, sequence)) {
            self.confirmed.push(now.saturating_sub(at));
        }
    }

    /// Something travels.
    pub fn on_parcel(&mut self, engine: bool, bytes: usize) {
        let (sum, count) = if engine { &mut self.engines } else { &mut self.frames };
        *sum += bytes as u64;
        *count += 1;
    }
}

/// The value that `percent` of a hundred do not exceed.
pub fn percentile(values: &[u64], percent: usize) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied()
}
