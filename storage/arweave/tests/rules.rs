//! Single rules of the pipeline, answer by answer: what is never paid for twice, what is waited for, and what is said about it.

use ao_arweave::limits::{ANCHOR_BLOCKS, CONFIRMATIONS, PROMISE_BLOCKS, READ_BACK_BLOCKS};
use ao_arweave::pipeline::{
    Alarm, Answer, Budget, Bundle, Effect, Held, Input, Known, Pipeline, Place, Posted, Promise, Seeded, Settings, Shipment, Spent, Stage,
    Task, Via,
};
use ao_types::{Canonical as _, Id};
use bytes::Bytes;

const TIP: u64 = 1000;

/// A pipeline with one shipment, and everything that it says.
struct Hand {
    settings: Settings,
    pipeline: Pipeline,
    now: u64,
    row: Option<Shipment>,
    tasks: Vec<Task>,
    alarms: Vec<(Alarm, String)>,
    signed: u8,
    settled: bool,
}

impl Hand {
    fn new(via: Via) -> Self {
        let settings = Settings { via, copies: 2, confirmations: CONFIRMATIONS, budget: Budget { day_max: u128::MAX, floor: 0 } };
        let pipeline = Pipeline::restore(settings, [], Spent::default(), 1);
        let (tasks, alarms) = (Vec::new(), Vec::new());
        let mut hand = Self { settings, pipeline, now: 1_000_000, row: None, tasks, alarms, signed: 0, settled: false };
        hand.give(Input::Tip(TIP));
        let bundle = Bundle { root: [1; 32], bytes: 300_000, chunks: 2, items: 2, since_ms: 0, covered: Vec::new() };
        hand.give(Input::Composed(bundle));
        hand
    }

    fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.pipeline.handle(self.now, u32::MAX, input, &mut effects).unwrap();
        for effect in effects {
            match effect {
                Effect::Remember(row, _) => self.row = Some(Shipment::decode(&row.encode()).unwrap()),
                Effect::Task { task, .. } => self.tasks.push(task),
                Effect::Alarm { alarm, why, .. } => self.alarms.push((alarm, why)),
                Effect::Settled(_) => self.settled = true,
                Effect::Unsettled(_) => self.settled = false,
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.give(Input::Answer { shipment: 1, answer });
    }

    /// The one task that is out, after as much time as that takes.
    fn task(&mut self) -> Task {
        for _ in 0..20 {
            if let Some(task) = self.tasks.pop() {
                assert!(self.tasks.is_empty());
                return task;
            }
            self.now += 60_000;
            self.give(Input::Time);
        }
        panic!("nothing is done: {:?}", self.row);
    }

    /// Nothing is out, however much time passes.
    fn rests(&mut self) {
        for _ in 0..20 {
            self.now += 60_000;
            self.give(Input::Time);
        }
        assert_eq!(self.tasks, []);
    }

    fn sign(&mut self, anchor_height: u64) {
        match self.task() {
            Task::Quote { .. } => self.answer(Answer::Quoted { price: 100, anchor: [0; 48], anchor_height, balance: 1_000_000 }),
            other => panic!("{other:?}"),
        }
        self.signs();
    }

    fn signs(&mut self) {
        let task = self.task();
        assert!(matches!(task, Task::Sign(_)), "{task:?}");
        self.signed += 1;
        self.answer(Answer::Signed { id: Id([self.signed; 32]), head: Bytes::from_static(b"head") });
    }

    /// Whom a carrier is not to be posted to.
    fn posts(&mut self) -> Vec<String> {
        match self.task() {
            Task::Post { except, .. } => except,
            other => panic!("{other:?}"),
        }
    }

    fn posted(&mut self, endpoint: &str, outcome: Posted) {
        self.answer(Answer::Posted { endpoint: endpoint.into(), outcome });
    }

    fn refused(&mut self, endpoint: &str) {
        self.posts();
        self.posted(endpoint, Posted::Refused("no".into()));
    }

    fn crash(&mut self) {
        self.tasks.clear();
        self.pipeline = Pipeline::restore(self.settings, self.row.clone(), Spent::default(), 2);
        self.give(Input::Tip(TIP));
    }

    /// Posted to two, uploaded to both.
    fn spread(&mut self) {
        for endpoint in ["http://a", "http://b"] {
            self.posts();
            self.posted(endpoint, Posted::Taken(None));
            let task = self.task();
            assert!(matches!(task, Task::Seed { count: 2, .. }), "{task:?}");
            self.answer(Answer::Seeded(Seeded::Taken(2)));
        }
    }

    fn status(&mut self, known: Known) {
        match self.task() {
            Task::Status { carriers } => self.answer(Answer::Status(vec![known; carriers.len()])),
            other => panic!("{other:?}"),
        }
    }

    fn row(&self) -> &Shipment {
        self.row.as_ref().unwrap()
    }

    fn heard(&self) -> Vec<Alarm> {
        self.alarms.iter().map(|(alarm, _)| *alarm).collect()
    }
}

#[test]
fn a_dispute_is_waited_out_and_not_paid_for() {
    let mut hand = Hand::new(Via::Chain);
    hand.sign(TIP - 6);
    hand.spread();
    // Its anchor is too old, and somebody says that it is in a block which nobody else shows.
    hand.give(Input::Tip(TIP - 6 + ANCHOR_BLOCKS));
    for _ in 0..30 {
        hand.status(Known::Disputed);
    }
    assert_eq!((hand.heard(), hand.row().carriers.len()), (vec![Alarm::Disputed], 1));
    // Nobody answers: that is no reason either.
    hand.task();
    hand.answer(Answer::Failed);
    // It was mined after all.
    let place = Place { height: TIP, block: Bytes::from_static(&[1; 48]), carrier: Id([1; 32]), transaction: Id([1; 32]) };
    hand.status(Known::Mined(place.clone()));
    assert_eq!((&hand.row().stage, hand.signed), (&Stage::Mined(place), 1));

    // And where enough say that it was not, another is signed.
    let mut hand = Hand::new(Via::Chain);
    hand.sign(TIP - 6);
    hand.spread();
    hand.status(Known::Pending);
    hand.give(Input::Tip(TIP - 6 + ANCHOR_BLOCKS));
    hand.status(Known::Unknown);
    hand.sign(TIP + 30);
    assert_eq!((hand.signed, hand.row().carriers.len()), (2, 2));
}

#[test]
fn sources_that_disagree_about_a_block_are_told_of() {
    let mut hand = Hand::new(Via::Chain);
    hand.sign(TIP - 6);
    hand.spread();
    let place = Place { height: TIP, block: Bytes::from_static(&[1; 48]), carrier: Id([1; 32]), transaction: Id([1; 32]) };
    hand.status(Known::Mined(place));
    for _ in 0..12 {
        let task = hand.task();
        assert!(matches!(task, Task::Block(_)), "{task:?}");
        hand.answer(Answer::Block(Held::Split));
    }
    assert_eq!(hand.heard(), [Alarm::Disputed]);
}

#[test]
fn refusals_lead_to_one_more_transaction_in_a_life_and_a_crash_begins_no_other() {
    let mut hand = Hand::new(Via::Chain);
    hand.sign(TIP - 6);
    hand.refused("http://a");
    assert_eq!(hand.posts(), ["http://a"], "one endpoint alone is not believed");
    hand.posted("http://b", Posted::Refused("no".into()));
    hand.sign(TIP - 6);
    assert!(hand.row().signed_again);
    for _ in 0..5 {
        hand.crash();
        hand.refused("http://a");
        hand.refused("http://b");
        assert_eq!(hand.heard().pop(), Some(Alarm::Refused));
    }
    assert_eq!((hand.signed, hand.row().carriers.len()), (2, 2));
}

#[test]
fn what_somebody_took_is_not_signed_again_for_a_refusal() {
    let mut hand = Hand::new(Via::Chain);
    hand.sign(TIP - 6);
    // One takes the header and will not keep the chunks, the other refuses the header: the first may have told the whole network.
    hand.posts();
    hand.posted("http://a", Posted::Taken(None));
    assert!(matches!(hand.task(), Task::Seed { .. }));
    hand.answer(Answer::Seeded(Seeded::Refused("exceeds_disk_pool_size_limit".into())));
    assert_eq!(hand.posts(), ["http://a"]);
    hand.posted("http://b", Posted::Refused("no".into()));
    assert_eq!(hand.posts(), ["http://b", "http://a"]);
    // Nobody else is left: the first is tried again, for it may have room by now.
    hand.posted("", Posted::Failed);
    assert_eq!(hand.posts(), ["http://b"]);
    hand.posted("http://c", Posted::Refused("no".into()));
    assert_eq!((hand.posts(), hand.signed, hand.row().stage.clone()), (vec!["http://b".into(), "http://c".into()], 1, Stage::Posted));
}

fn promise(given: u64, deadline: u64) -> Posted {
    Posted::Taken(Some(Promise { given, deadline, receipt: Bytes::from_static(b"{}") }))
}

#[test]
fn a_service_has_its_time_whatever_it_writes_into_its_receipt() {
    let mut hand = Hand::new(Via::Service);
    hand.signs();
    hand.posts();
    hand.posted("http://s", promise(TIP, u64::MAX));
    hand.status(Known::Pending);
    // After half of it another one gets the item too.
    hand.give(Input::Tip(TIP + PROMISE_BLOCKS / 2));
    assert_eq!(hand.posts(), ["http://s"]);
    hand.posted("http://t", promise(TIP + PROMISE_BLOCKS / 2, TIP + PROMISE_BLOCKS / 2 + 200));
    hand.status(Known::Pending);
    assert_eq!(hand.heard(), []);
    hand.give(Input::Tip(TIP + PROMISE_BLOCKS + 1));
    let broken: Vec<_> = hand.row().broken.iter().map(|holder| holder.endpoint.clone()).collect();
    assert_eq!((hand.heard(), broken), (vec![Alarm::Breach], vec!["http://s".to_owned()]));
    assert!(hand.row().broken[0].promise.as_ref().is_some_and(|promise| promise.receipt == "{}"), "the receipt is kept as evidence");
    // The second one fails as well: others are looked for, and where there are none, those who broke their word are asked once more.
    hand.tasks.clear();
    hand.posted("", Posted::Failed);
    hand.give(Input::Tip(TIP + PROMISE_BLOCKS / 2 + 201));
    while hand.posts() == ["http://s", "http://t"] {
        hand.posted("", Posted::Failed);
    }
    assert_eq!(hand.heard(), [Alarm::Breach, Alarm::Breach]);
    hand.posted("http://s", promise(TIP + 320, TIP + 520));
    assert_eq!((hand.signed, hand.row().copies.len(), hand.row().broken.len()), (1, 1, 2));
}

#[test]
fn settled_is_what_somebody_else_hands_out_as_long_as_somebody_else_may_have_it() {
    let mut hand = Hand::new(Via::Chain);
    hand.sign(TIP - 6);
    hand.spread();
    let place = Place { height: TIP, block: Bytes::from_static(&[1; 48]), carrier: Id([1; 32]), transaction: Id([1; 32]) };
    hand.status(Known::Mined(place));
    let mut asked = Vec::new();
    for tip in TIP..TIP + CONFIRMATIONS + READ_BACK_BLOCKS {
        hand.give(Input::Tip(tip));
        // Whatever else is done, every block is checked and read back once.
        loop {
            match hand.task() {
                Task::Block(_) => {
                    hand.answer(Answer::Block(Held::Holds));
                    if tip + 1 < TIP + CONFIRMATIONS {
                        break;
                    }
                }
                Task::Seed { .. } => hand.answer(Answer::Seeded(Seeded::Taken(2))),
                Task::ReadBack { except, .. } => {
                    asked.push((tip, except.len()));
                    hand.answer(Answer::ReadBack(except.is_empty()));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        if hand.settled {
            break;
        }
        // What is to be uploaded again is, before the next block comes.
        while !hand.tasks.is_empty() {
            hand.tasks.clear();
            hand.answer(Answer::Seeded(Seeded::Taken(2)));
        }
    }
    let patient = asked.iter().filter(|(_, except)| *except == 2).count() as u64;
    assert!(hand.settled && patient >= READ_BACK_BLOCKS - 1, "{asked:?}");
    hand.rests();
}
