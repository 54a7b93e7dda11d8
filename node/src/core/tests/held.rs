//! Who waits while the store is read, for how long, and how many.

use super::*;
use crate::limits::{HELD_BYTES_MAX, HELD_MAX, HELD_MS_MAX};

fn at(core: &mut Core, now: Timestamp, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    core.handle(now, input, &mut out);
    out
}

/// How many were told to come again.
fn sent_away(effects: &[Effect]) -> usize {
    let refused =
        |effect: &&Effect| matches!(effect, Effect::Reply(_, Err(why)) if why.code == Code::Unavailable && why.retry_after_s.is_some());
    effects.iter().filter(refused).count()
}

#[test]
fn nothing_is_taken_before_the_store_is_read_and_nobody_is_sent_away_for_a_moment() {
    let mut core = core();
    assert!(submit(&mut core, message(1, 1)).is_empty());
    assert_eq!(core.next_deadline(NOW), Some(NOW.plus_ms(HELD_MS_MAX)));
    let effects = step(&mut core, Input::Recovered(Box::new(empty(0))));
    assert_eq!(names(&effects), ["Sign"], "it goes on by itself");
    assert_eq!(core.next_deadline(NOW), None);
}

#[test]
fn a_store_that_takes_long_to_read_sends_away_who_waited_and_who_comes() {
    let mut core = core();
    for n in 1..=3 {
        submit(&mut core, message(n, n.into()));
    }
    let late = NOW.plus_ms(HELD_MS_MAX);
    assert_eq!(sent_away(&at(&mut core, late, Input::Submit(Box::new(message(4, 4))))), 4);
    assert!(at(&mut core, late, Input::Submit(Box::new(message(5, 5)))).is_empty(), "the next one waits as long");
    assert_eq!(sent_away(&at(&mut core, late.plus_ms(HELD_MS_MAX), Input::Tick)), 1);
}

#[test]
fn so_many_wait_and_no_more() {
    let mut few = core();
    for n in 0..HELD_MAX as u64 {
        assert!(submit(&mut few, message(1, n)).is_empty());
    }
    assert_eq!(refusal(&submit(&mut few, message(1, 9_999))), Code::Unavailable);

    let mut large = core();
    let data = vec![7; HELD_BYTES_MAX / 2];
    let big = |n: u64| {
        let item = ItemBuilder::new().target(PROCESS).data(data.clone()).sign(&wallet()).unwrap();
        Submission { item: Some(item), ..message(1, n) }
    };
    assert!(submit(&mut large, big(1)).is_empty());
    assert_eq!(refusal(&submit(&mut large, big(2))), Code::Unavailable);
    assert!(submit(&mut large, message(1, 3)).is_empty(), "a small one has room");
}

#[test]
fn while_the_engine_is_to_be_made_anew_who_comes_waits_and_so_it_soon_is() {
    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    assert!(step(&mut core, Input::Renew).is_empty(), "a message is being signed");
    assert!(submit(&mut core, message(2, 2)).is_empty());
    let writing = sign(&mut core, &effects);
    let answered = written(&mut core, &writing);
    assert_eq!(names(&answered), ["Tell", "Reply", "Evaluate", "Write"], "the first one has its answer; the confirmation is written down");
    assert_eq!(names(&written(&mut core, &answered)), ["Tell", "Recover"], "nobody waits for anything but this");
    let effects = step(&mut core, Input::Recovered(Box::new(empty(1))));
    assert_eq!(names(&effects), ["LookUp"], "what it was looked up with is of the life before");
}
