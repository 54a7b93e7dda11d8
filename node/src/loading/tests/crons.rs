//! Cron groups of a loaded process: Arweave's blocks around its log, and what follows from them.

use std::collections::VecDeque;
use std::sync::Arc;

use ao_storage::schema::{self, BlockRow};
use ao_storage::{Direction, Durability, MemoryStore, Store as _, WriteBatch};
use ao_types::Slot;
use bytes::Bytes;

use super::world::{HEIGHT, Log, TIME, client, time_of};
use crate::chain::{Blocks as _, DevChain, DevGenesis};
use crate::core::cron::Point;
use crate::limits::BLOCK_DRIFT_MS;
use crate::loading::Error;
use crate::loading::blocks::fill;
use crate::shell::blocks::Span;
use crate::shell::fold::{Fold, Ground, Stop};
use crate::shell::modules::Modules;
use crate::sim::script::Script;

const GROUPS: [(&str, &str); 6] = [
    ("Cron-Interval", "45-seconds"),
    ("Cron-Tag-Action", "Count"),
    ("Cron-Interval", "2-blocks"),
    ("Cron-Tag-Action", "Count"),
    ("Cron-Interval", "7-seconds"),
    ("Cron-Interval", "1-block"),
];
/// From slot to slot: the phase of a second moves, and slots share seconds with cron messages.
const APART_MS: u64 = 405_300;

fn log() -> Arc<Log> {
    Log::with_crons(&GROUPS, APART_MS)
}

/// Slot, ordinal, identity, time and height.
type Tick = (u64, u32, String, u64, u64);

/// The pseudocode of `protocol.md`, section 11, over every block that there is.
fn page(log: &Log) -> Vec<Tick> {
    let point = |slot: usize| log.assignment(slot).content().clone();
    let origin = point(0);
    let (mut ticks, of_blocks, of_seconds) = (Vec::new(), ["2-blocks", "1-block"], ["7-seconds", "45-seconds"]);
    let number = |text: &str| text.split('-').next().unwrap().parse::<u64>().unwrap();
    for slot in 0..3 {
        let (left, right) = (point(slot), point(slot + 1).timestamp_ms);
        let inside = |height: &u64| left.timestamp_ms < time_of(*height) * 1000 && time_of(*height) * 1000 < right;
        let mut blocks: VecDeque<u64> = (HEIGHT - 50..HEIGHT + 100).filter(inside).collect();
        let (mut cur, mut ordinal, mut t) = (left.block_height, 0, left.timestamp_ms);
        let mut emit = |index: usize, text: &str, time: u64, height: u64| {
            ordinal += 1;
            ticks.push((slot as u64, ordinal, format!("{index}-{text}"), time, height));
        };
        while t < right {
            if blocks.front().is_some_and(|block| t / 1000 >= time_of(*block)) {
                cur = blocks.pop_front().unwrap();
                for (index, text) in of_blocks.into_iter().enumerate() {
                    if cur != origin.block_height && cur.abs_diff(origin.block_height) % number(text) == 0 {
                        emit(index, text, time_of(cur) * 1000, cur);
                    }
                }
            }
            for (index, text) in of_seconds.into_iter().enumerate() {
                let (s, o) = (t / 1000, origin.timestamp_ms / 1000);
                if s != o && (s - o) % number(text) == 0 {
                    emit(index, text, t, cur);
                }
            }
            t += 1000;
        }
    }
    ticks
}

fn ground(store: &Arc<MemoryStore>) -> Ground {
    let genesis = DevGenesis { timestamp_ms: TIME * 1000, height: 1, interval_ms: 1000 };
    let (vm, modules, blocks) = (Arc::new(Script), Arc::new(Modules::default()), Arc::new(DevChain::new(genesis)));
    Ground { store: store.clone(), vm, modules, blocks }
}

/// Everything that is evaluated of the log, as a node does.
fn folded(ground: &Ground, log: &Log) -> Result<Vec<Tick>, Stop> {
    let mut fold = Fold::open(ground, log.process, None)?;
    let mut ticks = Vec::new();
    for slot in 0..4 {
        let right_ms = fold.time_of(ground, Slot(slot))?;
        while let Some(step) = fold.cron_before(right_ms, false)? {
            let row = step.row.unwrap();
            ticks.push((step.slot.0, step.cron, row.cron.unwrap(), row.timestamp_ms, row.block_height));
        }
        fold.message(ground, Slot(slot))?;
    }
    // Nobody here knows when the next slot comes.
    assert_eq!(fold.cron_until(u64::MAX, false)?.map(|step| step.cron), None);
    Ok(ticks)
}

fn blocks(store: &MemoryStore) -> Vec<(u64, BlockRow)> {
    schema::BLOCKS.all(store, Direction::Forward, 1000).unwrap()
}

#[tokio::test]
async fn a_loaded_process_has_the_cron_messages_of_the_rule_over_arweaves_blocks() {
    let log = log();
    let expected = page(&log);
    let (of_blocks, of_seconds): (Vec<&Tick>, Vec<&Tick>) = expected.iter().partition(|tick| tick.2.contains("block"));
    assert!(of_blocks.len() > 5 && of_seconds.len() > 100, "{expected:?}");
    // Blocks that lie before the one below them are among them, and a second that fires twice.
    assert!(of_blocks.windows(2).any(|two| two[0].3 > two[1].3), "{of_blocks:?}");
    for singly in [false, true] {
        let (one, two, store) = (log.shown().await, log.shown().await, Arc::new(MemoryStore::new()));
        for gateway in [&one, &two] {
            gateway.faults.lock().blocks_singly = singly;
        }
        let loaded = log.load(&store, &[&one, &two], &[], None).await.unwrap();
        let kept = blocks(&store);
        assert!(loaded.blocks == kept.len() as u64 && kept.len() < 50, "{} blocks", kept.len());
        let times: Vec<u64> = kept.iter().map(|(_, row)| row.timestamp_ms).collect();
        let (first, last) = (TIME * 1000 - BLOCK_DRIFT_MS, TIME * 1000 + 3 * APART_MS + BLOCK_DRIFT_MS);
        assert!(times[0] <= first && *times.last().unwrap() >= last, "{times:?}");
        assert_eq!((one.faults.lock().blocks_shown > 0, two.faults.lock().blocks_shown > 0), (!singly, !singly));
        let again = log.load(&store, &[&one, &two], &[], None).await.unwrap();
        assert_eq!((again.blocks, blocks(&store)), (0, kept));
        assert_eq!(folded(&ground(&store), &log).unwrap(), expected, "singly: {singly}");
    }
}

#[tokio::test]
async fn nothing_is_evaluated_across_a_block_that_is_not_there() {
    let log = log();
    let (gateway, store) = (log.shown().await, Arc::new(MemoryStore::new()));
    gateway.faults.lock().blocks_hidden.insert(HEIGHT + 6);
    let missing = log.load(&store, &[&gateway], &[], None).await;
    assert!(matches!(&missing, Err(Error::Missing { what }) if what == &format!("block {}", HEIGHT + 6)), "{missing:?}");
    let kept = blocks(&store);
    assert_eq!(kept.last().unwrap().0, HEIGHT + 5, "what lies before stays");
    let ground = ground(&store);
    let stopped = folded(&ground, &log);
    assert!(matches!(&stopped, Err(Stop::NotEvaluated(why)) if why.contains("blocks between")), "{stopped:?}");
    gateway.faults.lock().blocks_hidden.clear();
    let loaded = log.load(&store, &[&gateway], &[], None).await.unwrap();
    assert_eq!(loaded.blocks, (blocks(&store).len() - kept.len()) as u64);
    assert_eq!(folded(&ground, &log).unwrap(), page(&log));
    // A slot less needs fewer.
    let store = Arc::new(MemoryStore::new());
    let less = log.load(&store, &[&gateway], &[], Some(1)).await.unwrap();
    assert!(less.blocks < loaded.blocks + kept.len() as u64, "{less:?}");
}

#[tokio::test]
async fn blocks_that_do_not_follow_on_each_other_are_none() {
    let log = log();
    let (gateway, liar) = (log.shown().await, log.shown().await);
    liar.faults.lock().blocks_astray.insert(HEIGHT + 3);
    // Alone it is believed, but not against itself.
    let store = Arc::new(MemoryStore::new());
    let astray = log.load(&store, &[&liar], &[], None).await;
    assert!(matches!(&astray, Err(Error::Untrue { what, .. }) if what == &format!("block {}", HEIGHT + 3)), "{astray:?}");
    // Two that contradict each other are believed in nothing.
    let split = log.load(&store, &[&liar, &gateway], &[], None).await;
    assert!(matches!(&split, Err(Error::Missing { what }) if what == &format!("block {}", HEIGHT + 3)), "{split:?}");
    log.load(&store, &[&gateway], &[], None).await.unwrap();
    assert_eq!(folded(&ground(&store), &log).unwrap(), page(&log));
}

#[tokio::test]
async fn a_log_that_the_chain_is_not_settled_behind_waits_for_it() {
    let log = Log::with_crons(&GROUPS, 2_000_000);
    let (gateway, store) = (log.shown().await, Arc::new(MemoryStore::new()));
    let early = log.load(&store, &[&gateway], &[], None).await;
    assert!(matches!(&early, Err(Error::Missing { what }) if what.contains("which no fork can take back")), "{early:?}");
    assert!(log.load(&store, &[&gateway], &[], Some(2)).await.is_ok());
}

#[tokio::test]
async fn a_log_beside_more_blocks_than_are_kept_is_refused() {
    let log = log();
    let (gateway, store) = (log.shown().await, Arc::new(MemoryStore::new()));
    log.load(&store, &[&gateway], &[], None).await.unwrap();
    let all = blocks(&store).len() as u64;
    let fill = async |max: u64| {
        let mut batch = WriteBatch::default();
        blocks(&store).iter().for_each(|(height, _)| schema::BLOCKS.delete(&mut batch, height));
        store.write(batch, Durability::Buffered).unwrap();
        fill(&client(&[&gateway], &[]), &*store, log.process, Slot(3), max, &mut |_, _, _| ()).await
    };
    assert_eq!(fill(all).await.unwrap(), all);
    assert!(matches!(fill(all - 1).await, Err(Error::Blocks { max, .. }) if max == all - 1));
}

fn put(store: &MemoryStore, rows: impl IntoIterator<Item = (u64, u64)>) {
    let mut batch = WriteBatch::default();
    for (height, timestamp_ms) in rows {
        schema::BLOCKS.put(&mut batch, &height, &BlockRow { timestamp_ms, id: Bytes::new() });
    }
    store.write(batch, Durability::Buffered).unwrap();
}

#[test]
fn a_span_answers_for_the_times_that_it_has_all_blocks_of() {
    let store = MemoryStore::new();
    let minute = 60_000;
    // Of another log, long before; a gap; the one that is wanted; one long behind.
    put(&store, (0..9).map(|n| (n, n * minute)));
    put(&store, (20..60).map(|n| (n, n * minute)));
    put(&store, (90..99).map(|n| (n, n * minute)));
    let span = Span::around(&store, 35 * minute, 100).unwrap();
    let reach = BLOCK_DRIFT_MS / minute;
    let covers = [(35, 40), (20 + reach, 59 - reach), (19 + reach, 40), (35, 60 - reach), (90, 80)];
    assert_eq!(covers.map(|(after, before)| span.covers(after * minute, before * minute)), [true, true, false, false, true]);
    let between = |from, after: u64, before: u64| span.between(from, after, before).map(|at| at.block_height);
    assert_eq!((between(None, 35 * minute, 40 * minute), between(None, 35 * minute, 36 * minute)), (Some(36), None));
    assert_eq!((between(Some(38), 35 * minute, 40 * minute), between(Some(40), 35 * minute, 40 * minute)), (Some(38), None));
    assert_eq!(span.between(None, 0, 1), None);
    let at = Point { timestamp_ms: 37 * minute, block_height: 37 };
    assert_eq!(span.between(Some(37), 0, u64::MAX), Some(at));
    assert_eq!(Span::around(&MemoryStore::new(), 0, 9).unwrap(), Span::default());
    assert!(!Span::default().covers(1, 2));
    // No more than may be are held.
    let short = Span::around(&store, 35 * minute, 20).unwrap();
    assert_eq!((short.between(Some(39), 0, u64::MAX).is_some(), short.between(Some(40), 0, u64::MAX)), (true, None));
}

#[test]
fn what_runs_back_further_than_blocks_do_is_as_if_it_were_not_there() {
    let store = MemoryStore::new();
    let late = 100 * BLOCK_DRIFT_MS;
    put(&store, [(1, 0), (2, late), (3, late - BLOCK_DRIFT_MS), (4, late + 1), (5, late - BLOCK_DRIFT_MS), (6, 2 * late)]);
    let span = Span::around(&store, BLOCK_DRIFT_MS, 9).unwrap();
    assert_eq!(span.between(Some(3), 0, u64::MAX).map(|at| at.block_height), Some(3));
    assert_eq!(span.between(Some(5), 0, u64::MAX), None);
    assert!(span.covers(BLOCK_DRIFT_MS, late + 1 - BLOCK_DRIFT_MS) && !span.covers(BLOCK_DRIFT_MS, late));
}
