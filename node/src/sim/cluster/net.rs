//! How long things travel, which are lost, and between whom the net is cut.

use std::collections::BTreeMap;

use crate::sim::dice::Dice;
use crate::sim::plan::{Latency, Plan};

/// Milliseconds one way between regions: 100 at the mean over the ten pairs.
const REGIONS: [[u64; 5]; 5] =
    [[1, 40, 45, 110, 75], [40, 1, 100, 95, 125], [45, 100, 1, 130, 130], [110, 95, 130, 1, 150], [75, 125, 130, 150, 1]];

/// The mean one-way time between two regions.
pub const WAN5_MEAN_MS: u64 = 100;

/// Of a hundred, how much a journey between regions varies.
const JITTER_PERCENT: u64 = 5;

/// The net of a run.
pub struct Net {
    latency: Latency,
    /// Of a hundred.
    pub loss: u64,
    /// Of a hundred.
    pub duplicate: u64,
    /// Cuts by their place in the plan: nodes on the one side, and whether they still get through to the other.
    cuts: BTreeMap<usize, (Vec<usize>, bool)>,
    dice: Dice,
}

impl Net {
    /// Of a plan, whole.
    pub fn of(plan: &Plan) -> Self {
        let (loss, duplicate) = (plan.loss, plan.duplicate);
        Self { latency: plan.latency, loss, duplicate, cuts: BTreeMap::new(), dice: Dice::of(plan.seed, "net") }
    }

    /// These nodes are cut off; `one_way`: they are still heard.
    pub fn cut(&mut self, name: usize, nodes: Vec<usize>, one_way: bool) {
        self.cuts.insert(name, (nodes, one_way));
    }

    /// The cut is mended.
    pub fn mend(&mut self, name: usize) {
        self.cuts.remove(&name);
    }

    /// No fault is left.
    pub fn calm(&mut self) {
        self.cuts.clear();
        (self.loss, self.duplicate) = (0, 0);
    }

    /// Whether something can get from one node to another.
    pub fn connects(&self, from: usize, to: usize) -> bool {
        let (inside, outside) = (|nodes: &[usize]| nodes.contains(&from), |nodes: &[usize]| nodes.contains(&to));
        self.cuts.values().all(|(nodes, one_way)| inside(nodes) == outside(nodes) || (*one_way && inside(nodes)))
    }

    /// When copies of a parcel arrive, from now: none, one, or two. The second is as if it had never been seen.
    pub fn journeys(&mut self, from: usize, to: usize) -> [Option<u64>; 2] {
        let lost = self.dice.chance(self.loss);
        let (first, second) = (self.time(from, to), self.time(from, to));
        let twice = self.dice.chance(self.duplicate);
        if lost || !self.connects(from, to) {
            return [None, None];
        }
        [Some(first), twice.then_some(first + second)]
    }

    /// One journey, milliseconds.
    pub fn time(&mut self, from: usize, to: usize) -> u64 {
        match self.latency {
            Latency::Lan => self.dice.within((1, 3)),
            Latency::Within(low, high) => self.dice.within((low, high)),
            Latency::Wan5 => {
                let mean = REGIONS[from % 5][to % 5];
                let jitter = mean * JITTER_PERCENT / 100;
                self.dice.within((mean - jitter, mean + jitter))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_regions_are_100_ms_apart() {
        let pairs: Vec<u64> = (0..5).flat_map(|a| (0..a).map(move |b| REGIONS[a][b])).collect();
        assert_eq!(pairs.iter().sum::<u64>(), WAN5_MEAN_MS * pairs.len() as u64);
        (0..5).for_each(|a| (0..5).for_each(|b| assert_eq!(REGIONS[a][b], REGIONS[b][a])));
    }

    #[test]
    fn a_cut_is_between_the_sides_and_one_way_if_it_says_so() {
        let mut net = Net::of(&Plan { loss: 0, ..Plan::calm("attest", 4, 1) });
        net.cut(0, vec![2, 3], false);
        assert!(net.connects(2, 3) && net.connects(0, 1) && !net.connects(0, 2) && !net.connects(2, 0));
        assert_eq!(net.journeys(2, 0), [None, None]);
        net.cut(1, vec![1], true);
        assert!(net.connects(1, 0) && !net.connects(0, 1));
        net.calm();
        assert!(net.connects(0, 2) && net.journeys(2, 0)[0].is_some());
    }
}
