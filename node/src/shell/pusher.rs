//! Makes outbox entries into signed items (`protocol.md` §9). What becomes of them is the core's.
//!
//! Signed with the messenger's key; with an Ed25519 or Ethereum key the same entry gives the same item, so a push that is made again
//! after a crash is recognised by its id, and in any case by its content.

use std::num::NonZeroUsize;
use std::sync::Arc;

use ao_storage::Direction;
use ao_storage::schema::{self, EvaluationKey, EvaluationRow, OutboxKey, OutboxKind, OutboxRow, ProcessRow};
use ao_storage::typed::Key as _;
use ao_types::outbox::{OutboxAssignment, OutboxMessage, OutboxSpawn, PushContext};
use ao_types::{Evaluation, Id, ItemBuilder, Outgoing, Signer};
use lru::LruCache;
use serde_json::Value;

use super::verify::Verifier;
use crate::core::input::{Act, Delivery, Follow, Input, Origin, Term};
use crate::error::Rejection;
use crate::limits::{PUSH_RESULTS_KEPT, PUSH_RUN_MAX};

/// One pusher; its cache is its own.
pub struct Pusher {
    verifier: Arc<Verifier>,
    messenger: Arc<dyn Signer>,
    parsed: LruCache<EvaluationKey, Arc<Evaluation>>,
}

/// What an entry becomes.
enum Made {
    Item(ItemBuilder, Follow),
    Existing { item: Id, process: Id },
}

/// Why it becomes nothing.
enum Unmade {
    Skip(String),
    Later(String),
}

impl From<ao_storage::Error> for Unmade {
    fn from(error: ao_storage::Error) -> Self {
        Self::Later(error.to_string())
    }
}

impl Pusher {
    /// Signs with `messenger`.
    pub fn new(verifier: Arc<Verifier>, messenger: Arc<dyn Signer>) -> Self {
        let kept = NonZeroUsize::new(PUSH_RESULTS_KEPT).unwrap_or(NonZeroUsize::MIN);
        Self { verifier, messenger, parsed: LruCache::new(kept) }
    }

    /// The next entries of a process, made ready.
    pub fn turn(&mut self, term: Term, process: Id) -> Input {
        let store = self.verifier.store.clone();
        let rows = schema::OUTBOX.prefix(&*store, &process, Direction::Forward, PUSH_RUN_MAX + 1);
        let row = schema::PROCESSES.get(&*store, &process);
        let (mut rows, row) = match (rows, row) {
            (Ok(rows), Ok(Some(row))) => (rows, row),
            (rows, row) => {
                let error = rows.err().or(row.err()).map_or("the process has no record".to_owned(), |error| error.to_string());
                tracing::warn!(event = "outbox_unreadable", %process, %error, "tried again in a moment");
                return Input::Deliveries { term, process, entries: Err(error), more: false };
            }
        };
        let more = rows.len() > PUSH_RUN_MAX;
        rows.truncate(PUSH_RUN_MAX);
        let entries = rows.into_iter().map(|(key, entry)| Delivery { key, act: self.act(term, key, &entry, &row) });
        Input::Deliveries { term, process, entries: Ok(entries.collect()), more }
    }

    fn act(&mut self, term: Term, key: OutboxKey, entry: &OutboxRow, process: &ProcessRow) -> Act {
        match self.make(key, entry, process) {
            Err(Unmade::Skip(reason)) => Act::Skip(reason),
            Err(Unmade::Later(reason)) => Act::Later(reason),
            Ok(made) => match self.submission(term, key, made) {
                Ok(act) => act,
                Err(refusal) if refusal.retry_after_s.is_some() => Act::Later(refusal.to_string()),
                Err(refusal) => Act::Skip(refusal.to_string()),
            },
        }
    }

    fn submission(&self, term: Term, key: OutboxKey, made: Made) -> Result<Act, Rejection> {
        let submission = match made {
            Made::Item(builder, follow) => {
                let signed = builder.sign(&*self.messenger);
                let item = match signed {
                    Ok(item) => item,
                    Err(error) => return Ok(Act::Skip(error.to_string())),
                };
                self.verifier.submission(Origin::Outbox { term, key, follow }, item, true, false)?
            }
            Made::Existing { item, process } => {
                let origin = Origin::Outbox { term, key, follow: Follow::default() };
                let submission = self.verifier.existing(origin, item, process, Vec::new())?;
                if !submission.facts.stored {
                    let text = format!("item {item} is not known here");
                    // What was pushed to another scheduler's process is in a frame that comes.
                    return Ok(if key.kind == OutboxKind::MessageAssignment { Act::Later(text) } else { Act::Skip(text) });
                }
                submission
            }
        };
        Ok(Act::Submit(Box::new(submission)))
    }

    fn make(&mut self, key: OutboxKey, entry: &OutboxRow, process: &ProcessRow) -> Result<Made, Unmade> {
        let evaluation = self.evaluation(&EvaluationKey { process: key.process, slot: key.slot, cron: key.cron })?;
        let context = PushContext {
            process: key.process,
            module: Some(process.module),
            scheduler: self.verifier.scheduler,
            pushed_for: entry.pushed_for,
            row: key.to_bytes(),
        };
        let skip = |error: ao_types::outbox::Skip| Unmade::Skip(error.to_string());
        let gone = || Unmade::Skip("the result has no such entry".to_owned());
        let (index, part) = (key.index as usize, key.part as usize);
        match key.kind {
            OutboxKind::Message => {
                let message = evaluation.messages.get(index).ok_or_else(gone)?;
                let message = OutboxMessage::read(message).map_err(skip)?;
                let follow = Follow { spawned: false, assignments: message.assign_to.len() as u32 };
                Ok(Made::Item(message.to_item(&context), follow))
            }
            OutboxKind::Spawn => {
                let spawn = OutboxSpawn::read(evaluation.spawns.get(index).ok_or_else(gone)?).map_err(skip)?;
                Ok(Made::Item(spawn.to_item(&context), Follow { spawned: true, assignments: 0 }))
            }
            OutboxKind::Spawned => {
                let spawn = OutboxSpawn::read(evaluation.spawns.get(index).ok_or_else(gone)?).map_err(skip)?;
                let created = entry.subject.ok_or_else(gone)?;
                Ok(Made::Item(spawn.notice(&context, created), Follow::default()))
            }
            OutboxKind::Assignment => {
                let assignment = OutboxAssignment::read(evaluation.assignments.get(index).ok_or_else(gone)?).map_err(skip)?;
                let process = *assignment.processes.get(part).ok_or_else(gone)?;
                Ok(Made::Existing { item: assignment.message, process })
            }
            OutboxKind::MessageAssignment => {
                let message = OutboxMessage::read(evaluation.messages.get(index).ok_or_else(gone)?).map_err(skip)?;
                let process = *message.assign_to.get(part).ok_or_else(gone)?;
                Ok(Made::Existing { item: entry.subject.ok_or_else(gone)?, process })
            }
        }
    }

    /// The item that an entry of a stored result becomes, for pushing it by hand. Follow-ups are those of the outbox, not of this.
    pub fn again(&mut self, key: OutboxKey, pushed_for: Option<Id>) -> Result<ao_types::Verified<ao_types::DataItem>, Rejection> {
        use crate::error::Code;
        let store = self.verifier.store.clone();
        let process = schema::PROCESSES.get(&*store, &key.process).map_err(|error| super::modules::store_failed(&error))?;
        let process = process.ok_or_else(|| Rejection::new(Code::ProcessUnknown, format!("process {} is not known here", key.process)))?;
        let entry = OutboxRow { pushed_for, subject: None, attempts: 0, not_before_ms: 0 };
        match self.make(key, &entry, &process) {
            Ok(Made::Item(builder, _)) => {
                builder.sign(&*self.messenger).map_err(|error| Rejection::new(Code::RequestInvalid, error.to_string()))
            }
            Ok(Made::Existing { .. }) => Err(Rejection::new(Code::RequestInvalid, "an assignment is not pushed but assigned")),
            Err(Unmade::Skip(reason)) => Err(Rejection::new(Code::MessageUnknown, reason)),
            Err(Unmade::Later(reason)) => Err(Rejection::retry(Code::Unavailable, reason, 1)),
        }
    }

    fn evaluation(&mut self, key: &EvaluationKey) -> Result<Arc<Evaluation>, Unmade> {
        if let Some(found) = self.parsed.get(key) {
            return Ok(found.clone());
        }
        let row = schema::EVALUATIONS.get(&*self.verifier.store, key)?;
        let row = row.ok_or_else(|| Unmade::Skip("the result is not in the store".to_owned()))?;
        let evaluation = Arc::new(reread(&row).ok_or_else(|| Unmade::Skip("the result cannot be read".to_owned()))?);
        self.parsed.put(*key, evaluation.clone());
        Ok(evaluation)
    }
}

/// The lists of a stored result, with the exact bytes that its text cannot carry.
fn reread(row: &EvaluationRow) -> Option<Evaluation> {
    let Value::Object(mut fields) = serde_json::from_slice(&row.json).ok()? else { return None };
    let mut list = |name: &str| match fields.remove(name) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let outgoing = |list: Vec<Value>, kind: OutboxKind| {
        let entries = list.into_iter().zip(0..).map(|(entry, index)| Outgoing {
            fields: if let Value::Object(fields) = entry { fields } else { serde_json::Map::new() },
            data: row.exact_data.iter().find(|exact| exact.kind == kind && exact.index == index).map(|exact| exact.data.clone()),
        });
        entries.collect()
    };
    Some(Evaluation {
        messages: outgoing(list("Messages"), OutboxKind::Message),
        spawns: outgoing(list("Spawns"), OutboxKind::Spawn),
        assignments: list("Assignments"),
        ..Evaluation::default()
    })
}
