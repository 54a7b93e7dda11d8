//! The generator against a direct transcription of `protocol.md` §11, and its prefix property.

use proptest::prelude::*;

use super::*;

struct Fixed(Vec<Point>);

impl Blocks for Fixed {
    fn between(&self, from: Option<u64>, after_ms: u64, before_ms: u64) -> Option<Point> {
        let fits = |block: &&Point| {
            from.is_none_or(|from| block.block_height >= from) && after_ms < block.timestamp_ms && block.timestamp_ms < before_ms
        };
        self.0.iter().find(fits).copied()
    }
}

fn blocks(times: &[u64]) -> Fixed {
    Fixed(times.iter().zip(100..).map(|(&timestamp_ms, block_height)| Point { block_height, timestamp_ms }).collect())
}

fn group(interval: Interval) -> Group {
    let text = match interval {
        Interval::Blocks(n) => format!("{n}-blocks"),
        Interval::Seconds(n) => format!("{n}-seconds"),
    };
    Group { interval, text, tags: Vec::new() }
}

/// The pseudocode of the page, word for word.
fn page(schedule: &Schedule, all: &Fixed, origin: Point, left: Point, right_ms: u64) -> Vec<Tick> {
    let mut blocks: VecDeque<Point> =
        all.0.iter().filter(|b| left.timestamp_ms < b.timestamp_ms && b.timestamp_ms < right_ms).copied().collect();
    let (mut height, mut out, mut t) = (left.block_height, Vec::new(), left.timestamp_ms);
    while t < right_ms {
        if blocks.front().is_some_and(|block| t / 1000 >= block.timestamp_ms / 1000) {
            let cur = blocks.pop_front().unwrap();
            height = cur.block_height;
            for (index, (n, _)) in schedule.blocks.iter().enumerate() {
                if cur.block_height != origin.block_height && (cur.block_height as i128 - origin.block_height as i128) % *n as i128 == 0 {
                    out.push(Tick { of_blocks: true, index, at: cur });
                }
            }
        }
        for (index, (n, _)) in schedule.seconds.iter().enumerate() {
            let (s, o) = (t as i128 / 1000, origin.timestamp_ms as i128 / 1000);
            if s != o && (s - o) % *n as i128 == 0 {
                out.push(Tick { of_blocks: false, index, at: Point { timestamp_ms: t, block_height: height } });
            }
        }
        t += 1000;
    }
    out
}

fn walked(schedule: &Schedule, all: &Fixed, walk: &mut Walk, right_ms: u64) -> Vec<Tick> {
    std::iter::from_fn(|| walk.before(schedule, all, right_ms)).collect()
}

#[test]
fn groups_fire_in_their_order_and_keep_their_index() {
    let schedule = Schedule::new([Interval::Seconds(3), Interval::Blocks(1), Interval::Seconds(1)].map(group));
    let origin = Point { timestamp_ms: 0, block_height: 99 };
    let mut walk = Walk::new(origin, origin);
    let all = blocks(&[2_500]);
    let seen: Vec<(u64, String)> =
        walked(&schedule, &all, &mut walk, 4_000).iter().map(|tick| (tick.at.timestamp_ms, tick.identity(&schedule))).collect();
    let expected = [(1_000, "0-1-seconds"), (2_500, "0-1-blocks"), (2_000, "0-1-seconds"), (3_000, "0-1-seconds"), (3_000, "1-3-seconds")];
    assert_eq!(seen, expected.map(|(at, text)| (at, text.to_owned())));
    assert_eq!(walk.emitted(), 5);
}

#[test]
fn at_most_one_block_per_tick_and_the_rest_is_lost() {
    let schedule = Schedule::new([group(Interval::Blocks(1))]);
    let origin = Point { timestamp_ms: 0, block_height: 1 };
    let mut walk = Walk::new(origin, origin);
    let seen: Vec<u64> =
        walked(&schedule, &blocks(&[10, 20, 30, 1_500]), &mut walk, 2_000).iter().map(|tick| tick.at.block_height).collect();
    assert_eq!(seen, [100, 101]);
}

#[test]
fn a_second_with_a_message_in_it_may_fire_twice() {
    let schedule = Schedule::new([group(Interval::Seconds(2))]);
    let origin = Point { timestamp_ms: 0, block_height: 1 };
    let first = walked(&schedule, &blocks(&[]), &mut Walk::new(origin, origin), 2_300);
    let second = walked(&schedule, &blocks(&[]), &mut Walk::new(origin, Point { timestamp_ms: 2_300, ..origin }), 2_900);
    assert_eq!([first[0].at.timestamp_ms, second[0].at.timestamp_ms], [2_000, 2_300]);
}

fn interval() -> impl Strategy<Value = Interval> {
    prop_oneof![(1u64..5).prop_map(Interval::Blocks), (1u64..7).prop_map(Interval::Seconds)]
}

proptest! {
    /// In any order: blocks' times may run backwards.
    #[test]
    fn equals_the_page(
        intervals in prop::collection::vec(interval(), 0..5),
        times in prop::collection::vec(0u64..40_000, 0..20),
        origin_ms in 0u64..5_000, left_ms in 0u64..20_000, length in 0u64..25_000,
    ) {
        let (schedule, all) = (Schedule::new(intervals.into_iter().map(group)), blocks(&times));
        let origin = Point { timestamp_ms: origin_ms, block_height: 101 };
        let left = Point { timestamp_ms: left_ms, block_height: 102 };
        let seen = walked(&schedule, &all, &mut Walk::new(origin, left), left_ms + length);
        prop_assert_eq!(seen, page(&schedule, &all, origin, left, left_ms + length));
    }

    /// Evaluating up to now, any number of times, finds a prefix of what the next message finds, and nothing is found twice.
    #[test]
    fn asking_early_changes_nothing(
        intervals in prop::collection::vec(interval(), 0..5),
        mut times in prop::collection::vec(0u64..40_000, 0..20),
        left_ms in 0u64..20_000, mut asked in prop::collection::vec(0u64..20_000, 0..6), length in 20_000u64..22_000,
    ) {
        times.sort_unstable();
        asked.sort_unstable();
        let (schedule, all) = (Schedule::new(intervals.into_iter().map(group)), blocks(&times));
        let origin = Point { timestamp_ms: 0, block_height: 100 };
        let left = Point { timestamp_ms: left_ms, block_height: 102 };
        let mut walk = Walk::new(origin, left);
        let mut seen = Vec::new();
        for now in asked {
            while let Some(tick) = walk.until(&schedule, &all, left_ms + now) {
                seen.push(tick);
            }
        }
        seen.extend(walked(&schedule, &all, &mut walk, left_ms + length));
        prop_assert_eq!(seen, page(&schedule, &all, origin, left, left_ms + length));
    }
}
