//! From bytes to a submission: parse, check the signature, apply the rules, look up what the store knows.
//!
//! The only place where an item of somebody else becomes [`Verified`]. It decides nothing that depends on other items; that is the core's.

use std::sync::Arc;

use ao_storage::schema::{self, ItemKind};
use ao_storage::{Direction, Store};
use ao_types::lawful::Rules;
use ao_types::message::{Kind, OnBoot};
use ao_types::{Address, ContentKey, DataItem, Id, ItemError, Lawful, PeerId, Profile, Verified};
use ao_vm::Vm;
use bytes::Bytes;

use super::doorway::Place as Room;
use super::facts::{self, Looked, Settled};
use super::frames::{self, born};
use super::membership::Neighbours;
use super::modules::{Modules, refused, store_failed};
use crate::core::effect::{Again, Ask};
use crate::core::input::{Facts, Indexed, Input, Origin, Place, Received, RequestId, Submission};
use crate::error::{Code, Rejection};
use crate::handle::AssignRequest;
use crate::limits::{EXCLUDED_BYTES_MAX, EXCLUDED_MAX, ITEM_BYTES_MAX, MODULE_ITEM_BYTES_MAX};
use crate::network::seam::{Judge, Load, Way};

/// What the pool can be asked.
#[derive(Debug)]
pub enum Task {
    /// An item of a client.
    Item {
        /// Who waits.
        request: RequestId,
        /// As it came.
        bytes: Bytes,
        /// Results that follow are pushed.
        push: bool,
        /// It need not go into a log.
        store: bool,
        /// Another node sent it here: it is not forwarded again.
        forwarded: bool,
    },
    /// An item that is here already, for a process.
    Assign {
        /// Who waits.
        request: RequestId,
        /// Which and where.
        assign: AssignRequest,
        /// It came from another node.
        forwarded: bool,
    },
    /// A signed wish about a monitor.
    Monitor {
        /// Who waits.
        request: RequestId,
        /// The process.
        process: Id,
        /// The item.
        bytes: Bytes,
        /// Start, or stop.
        on: bool,
    },
    /// Facts that have become too old.
    LookUp(Box<Submission>),
    /// What it lacked is here.
    Place(Box<Submission>),
    /// The same of a frame.
    LookUpFrame(Box<Received>),
    /// A frame from outside.
    Frame {
        /// Who handed it on.
        from: PeerId,
        /// As it came.
        bytes: Bytes,
        /// How.
        way: Way,
        /// Where the verdict goes.
        judge: Judge,
        /// Its place among what came from outside.
        place: Option<Room>,
    },
    /// Evidence from outside.
    Evidence {
        /// Who handed it on.
        from: PeerId,
        /// As it came.
        bytes: Bytes,
        /// Where the verdict goes.
        judge: Judge,
        /// Its place among what came from outside.
        place: Option<Room>,
    },
    /// An item that was asked for: stored, in no log.
    Wanted {
        /// As it came.
        bytes: Bytes,
        /// Its place among what came from outside.
        place: Option<Room>,
    },
    /// Where a scheduler says that it is reached.
    Location {
        /// Who sent it.
        from: PeerId,
        /// As it came.
        bytes: Bytes,
        /// Its place among what came from outside.
        place: Option<Room>,
    },
    /// The facts around a process.
    Process(Again),
    /// Records of the engine that a peer wants.
    Recall(ao_consensus::Recall),
}

impl Task {
    /// What another node asks on behalf of its clients and processes. It is never handed on again.
    pub fn forwarded(request: RequestId, load: Load) -> Self {
        match load {
            Load::Item(bytes) => Self::Item { request, bytes, push: true, store: false, forwarded: true },
            Load::Assign(assign) => Self::Assign { request, assign, forwarded: true },
        }
    }

    /// Who must hear of it if it fails; a monitor looks again by itself.
    pub fn asker(&self) -> Option<Origin> {
        match self {
            Self::Item { request, .. } | Self::Assign { request, .. } | Self::Monitor { request, .. } => Some(Origin::Request(*request)),
            Self::Process(again) => again.request.map(Origin::Request),
            Self::LookUp(submission) | Self::Place(submission) => Some(submission.origin),
            Self::LookUpFrame(_)
            | Self::Frame { .. }
            | Self::Evidence { .. }
            | Self::Wanted { .. }
            | Self::Location { .. }
            | Self::Recall(_) => None,
        }
    }
}

/// A task that came to nothing.
#[derive(Debug)]
pub struct Failed {
    /// Who must hear of it.
    pub asker: Option<Origin>,
    /// Why.
    pub refusal: Rejection,
}

/// See the module documentation. Shared by the workers.
pub struct Verifier {
    /// To look things up.
    pub store: Arc<dyn Store>,
    /// To admit modules.
    pub vm: Arc<dyn Vm>,
    /// Modules kept.
    pub modules: Arc<Modules>,
    /// How far the store is settled.
    pub settled: Arc<Settled>,
    /// This node's scheduler.
    pub scheduler: Address,
    /// Who else schedules.
    pub neighbours: Arc<Neighbours>,
}

impl Verifier {
    /// Does one task: an input for the core, or an answer for whoever waits.
    pub fn work(&self, task: Task) -> Result<Input, Failed> {
        let asker = task.asker();
        self.input(task).map_err(|refusal| Failed { asker, refusal })
    }

    fn input(&self, task: Task) -> Result<Input, Rejection> {
        match task {
            Task::Item { request, bytes, push, store, forwarded } => {
                let item = verified(bytes)?;
                let submission = self.submission(Origin::Request(request), item, push, store);
                if forwarded && let Ok(Submission { place: Place::Elsewhere { scheduler, .. }, .. }) = &submission {
                    let text = format!("{scheduler} schedules this process, not the node that was asked");
                    return Err(Rejection::new(Code::NotOurs, text));
                }
                submission.map(|submission| Input::Submit(Box::new(submission)))
            }
            Task::Assign { request, assign, forwarded } => {
                self.assignment(request, assign, forwarded).map(|submission| Input::Submit(Box::new(submission)))
            }
            Task::LookUp(submission) => {
                let facts = self.facts(&submission)?;
                Ok(Input::Submit(Box::new(Submission { facts, ..*submission })))
            }
            Task::Place(submission) => {
                let Submission { origin, item, push, sought, .. } = *submission;
                let item = item.ok_or_else(|| Rejection::new(Code::Internal, "an item that is stored lacks nothing"))?;
                let placed = self.submission(origin, item, push, false)?;
                Ok(Input::Submit(Box::new(Submission { sought, ..placed })))
            }
            Task::Monitor { request, process, bytes, on } => {
                let item = verified(bytes)?;
                if item.target() != Some(process) {
                    return Err(Rejection::new(Code::TagInvalid, format!("the item's target is not process {process}")));
                }
                self.around(Again { request: Some(request), process, ask: Ask::Monitor { item: item.id(), on } })
            }
            Task::Process(again) => self.around(again),
            Task::Recall(recall) => {
                let found = schema::ENGINE_RECORDS.range(&*self.store, &recall.from, &recall.to, Direction::Forward, recall.count);
                let records = recall.answer(found.map_err(|error| store_failed(&error))?);
                Ok(Input::Recalled(recall.whom, records))
            }
            Task::LookUpFrame(received) => {
                let received = frames::again(self, *received).map_err(|error| store_failed(&error))?;
                Ok(Input::Received(Box::new(received)))
            }
            Task::Wanted { bytes, .. } => self.kept(verified(bytes)?),
            Task::Frame { .. } | Task::Evidence { .. } | Task::Location { .. } => {
                Err(Rejection::new(Code::Internal, "what comes from outside is taken apart"))
            }
        }
    }

    /// An item that is stored, in no log, and asked about by nobody.
    pub fn kept(&self, item: Verified<DataItem>) -> Result<Input, Rejection> {
        let placed = self.placed(Origin::Frame, item, Place::Store, false)?;
        Ok(Input::Submit(Box::new(placed)))
    }

    fn around(&self, again: Again) -> Result<Input, Rejection> {
        let Again { request, process, ask } = again;
        let facts = facts::around_process(&*self.store, &self.settled, process).map_err(|error| store_failed(&error))?;
        match (ask, request) {
            (Ask::RunCron, request) => Ok(Input::RunCron { request, process, facts }),
            (Ask::Monitor { item, on }, Some(request)) => Ok(Input::Monitor { request, process, item, on, facts }),
            (Ask::Monitor { .. }, None) => Err(Rejection::new(Code::Internal, "a monitor that nobody asked for")),
        }
    }

    fn facts(&self, submission: &Submission) -> Result<Facts, Rejection> {
        let mut looked = Looked::from_now(&self.settled);
        let facts = facts::of_submission(&*self.store, &mut looked, submission).map_err(|error| store_failed(&error))?;
        match (&submission.place, &facts.process) {
            (Place::Log { process, .. }, Some(known)) if !self.is_ordered(known.host.as_ref()) => Err(self.elsewhere(*process)?),
            _ => Ok(facts),
        }
    }

    /// Whether anybody of this network, which may be this node alone, orders what this address orders.
    fn is_ordered(&self, host: Option<&Address>) -> bool {
        host.is_some_and(|host| *host == self.scheduler || self.neighbours.schedulers.contains(host))
    }

    /// Why nothing is put into a log that was read from elsewhere: a second order of it would be nobody's.
    fn elsewhere(&self, process: Id) -> Result<Rejection, Rejection> {
        let row = schema::PROCESSES.get(&*self.store, &process).map_err(|error| store_failed(&error))?;
        let loaded = schema::LOADED.get(&*self.store, &process).map_err(|error| store_failed(&error))?;
        let scheduler = row.map_or_else(String::new, |row| row.scheduler);
        let to = loaded.and_then(|row| row.url).map_or_else(|| "its node".to_owned(), |url| format!("its node at {url}"));
        let text = format!("scheduler {scheduler} orders process {process}, which is only read here: send the message to {to}");
        Ok(Rejection::new(Code::NotOurs, text))
    }

    /// A verified item with its place and facts. `store`: an item that belongs into no log of this node is stored all the same.
    pub fn submission(&self, origin: Origin, item: Verified<DataItem>, push: bool, store: bool) -> Result<Submission, Rejection> {
        let place = match Rules::default().check(&item) {
            Ok(Lawful::Process(process)) if self.neighbours.schedules && process.scheduler == self.scheduler.to_string() => {
                self.spawn(&item, process)?
            }
            Ok(Lawful::Process(process)) if self.neighbour(&process.scheduler).is_some() => {
                let scheduler = self.neighbour(&process.scheduler).unwrap_or(self.scheduler);
                self.neighbours.remember(process.id, scheduler);
                Place::Elsewhere { scheduler, assign: None }
            }
            Ok(Lawful::Process(process)) if !store => {
                let text = format!("tag Scheduler is {}, this node's scheduler is {}", process.scheduler, self.scheduler);
                return Err(Rejection::new(Code::TagInvalid, text));
            }
            Ok(Lawful::Message(message)) if !store || self.is_process(message.target)? => {
                if let Some(scheduler) = self.host(message.target)?.filter(|host| self.neighbours.schedulers.contains(host)) {
                    return self.placed(origin, item, Place::Elsewhere { scheduler, assign: None }, push);
                }
                if matches!(origin, Origin::Outbox { .. }) && !self.is_process(message.target)? && self.is_wallet(message.target)? {
                    return self.placed(origin, item, Place::Store, push);
                }
                let content = message.is_pushed().then(|| ContentKey::of(&item).0);
                Place::Log { process: message.target, exclude: Vec::new(), content }
            }
            Err(unlawful) if !store => return Err(Rejection::new(Code::TagInvalid, unlawful.to_string())),
            Ok(_) | Err(_) => Place::Store,
        };
        self.placed(origin, item, place, push)
    }

    fn placed(&self, origin: Origin, item: Verified<DataItem>, place: Place, push: bool) -> Result<Submission, Rejection> {
        let bytes = item.as_bytes().len();
        if bytes > ITEM_BYTES_MAX && place != Place::Store {
            return Err(Rejection::new(Code::TooLarge, format!("the item has {bytes} bytes, at most {ITEM_BYTES_MAX} are taken")));
        }
        let index = Some(indexed(&item));
        let id = item.id();
        let facts = Facts { as_of: 0, process: None, assigned: None, content: None, stored: false };
        let mut submission = Submission { origin, item: Some(item), id, place, index, push, facts, sought: false };
        submission.facts = self.facts(&submission)?;
        Ok(submission)
    }

    /// Another scheduler of this network, by the text of a tag.
    fn neighbour(&self, text: &str) -> Option<Address> {
        Address::parse(text).ok().filter(|address| self.neighbours.schedulers.contains(address))
    }

    /// Who schedules a process, as far as is known here.
    fn host(&self, process: Id) -> Result<Option<Address>, Rejection> {
        if self.neighbours.schedulers.is_empty() {
            return Ok(None);
        }
        let row = schema::PROCESSES.get(&*self.store, &process).map_err(|error| store_failed(&error))?;
        if let Some(row) = row {
            return Ok(Address::parse(&row.scheduler).ok());
        }
        if let Some(host) = self.neighbours.born(&process) {
            return Ok(Some(host));
        }
        // A process whose frame is not here yet says itself whose it is.
        let item = facts::item(&*self.store, process).map_err(|error| store_failed(&error))?;
        Ok(item.and_then(|item| match Rules::default().check(&item) {
            Ok(Lawful::Process(process)) => Address::parse(&process.scheduler).ok(),
            _ => None,
        }))
    }

    /// Whether items of this address are here. An address is the hash of a key and a process's id that of a signature: it is no process's.
    fn is_wallet(&self, id: Id) -> Result<bool, Rejection> {
        let of = (Address::Arweave(id), 0)..=(Address::Arweave(id), u64::MAX);
        let found = schema::OWNER_INDEX.range(&*self.store, of.start(), of.end(), Direction::Forward, 1);
        Ok(!found.map_err(|error| store_failed(&error))?.is_empty())
    }

    fn is_process(&self, id: Id) -> Result<bool, Rejection> {
        schema::PROCESSES.contains(&*self.store, &id).map_err(|error| store_failed(&error))
    }

    /// What a new process needs to be admitted: a module that is here and that the machine takes, an `On-Boot` that exists. On a network
    /// others may have what is not here.
    fn spawn(&self, item: &DataItem, process: ao_types::Process) -> Result<Place, Rejection> {
        let has = |id: &Id| schema::ITEMS.contains(&*self.store, id).map_err(|error| store_failed(&error));
        let mut lacking = Vec::new();
        if let Some(OnBoot::Item(boot)) = &process.on_boot
            && !has(boot)?
        {
            let refusal = Rejection::new(Code::ItemUnknown, format!("tag On-Boot names item {boot}, which is not known here"));
            lacking.push((*boot, refusal));
        }
        let module = match self.modules.load(&*self.store, process.module) {
            Ok(module) => module,
            Err(refusal) if has(&process.module)? => return Err(refusal),
            Err(refusal) => {
                lacking.insert(0, (process.module, refusal.clone()));
                return Ok(lacks(lacking, refusal));
            }
        };
        self.vm.admit(&module.source, &process.id, &item.tags().to_vec()).map_err(|refusal| refused(&refusal))?;
        match lacking.first().map(|(_, refusal)| refusal.clone()) {
            Some(refusal) => Ok(lacks(lacking, refusal)),
            None => Ok(Place::Spawn(born(process))),
        }
    }

    fn assignment(&self, request: RequestId, assign: AssignRequest, forwarded: bool) -> Result<Submission, Rejection> {
        if assign.base_layer {
            let text = "assignments of base-layer transactions need a gateway, which this node does not have";
            return Err(Rejection::new(Code::RequestInvalid, text));
        }
        if let Some(name) = assign.exclude.iter().find(|name| name.is_empty() || name.len() > EXCLUDED_BYTES_MAX) {
            return Err(Rejection::new(Code::RequestInvalid, format!("`{name}` is no name of a field to exclude")));
        }
        if assign.exclude.len() > EXCLUDED_MAX {
            return Err(Rejection::new(Code::RequestInvalid, format!("at most {EXCLUDED_MAX} fields are excluded")));
        }
        let submission = self.existing(Origin::Request(request), assign.item, assign.process, assign.exclude)?;
        if let Place::Elsewhere { scheduler, .. } = &submission.place
            && forwarded
        {
            let text = format!("{scheduler} schedules process {}, not the node that was asked", assign.process);
            return Err(Rejection::new(Code::NotOurs, text));
        }
        if !submission.facts.stored {
            let text = format!("item {} is not known here", assign.item);
            // Whoever hands it on has it: it is in a frame that is still on its way here.
            return Err(if forwarded { Rejection::retry(Code::ItemUnknown, text, 1) } else { Rejection::new(Code::ItemUnknown, text) });
        }
        Ok(submission)
    }

    /// Whether an item has a slot in some log: then it is, or will be, in a frame that every node gets.
    fn is_framed(&self, item: Id) -> Result<bool, Rejection> {
        let found = schema::SLOT_OF.prefix(&*self.store, &item, Direction::Forward, 1);
        found.map(|slots| !slots.is_empty()).map_err(|error| store_failed(&error))
    }

    /// An item that is here already, for a process.
    pub fn existing(&self, origin: Origin, item: Id, process: Id, exclude: Vec<String>) -> Result<Submission, Rejection> {
        let facts = Facts { as_of: 0, process: None, assigned: None, content: None, stored: false };
        let known = facts::item(&*self.store, item).map_err(|error| store_failed(&error))?;
        // One rule for all that came out of an outbox, however it gets here: equal content is a repeat.
        let stored = known.is_some();
        let pushed = known.filter(|item| item.tag("From-Process").is_some());
        let place = match self.host(process)?.filter(|host| self.neighbours.schedulers.contains(host)) {
            // Its node has what is in frames; for anything else it would be asked for ever.
            Some(scheduler) if stored && !self.is_framed(item)? => {
                let text = format!("item {item} is in no log: give it to the node of {scheduler} and have it assigned there");
                return Err(Rejection::new(Code::ItemUnknown, text));
            }
            Some(scheduler) => Place::Elsewhere { scheduler, assign: Some(AssignRequest { process, item, exclude, base_layer: false }) },
            None => Place::Log { process, exclude, content: pushed.map(|item| ContentKey::of(&item).0) },
        };
        let mut submission = Submission { origin, item: None, id: item, place, index: None, push: true, facts, sought: false };
        submission.facts = self.facts(&submission)?;
        Ok(submission)
    }
}

fn lacks(lacking: Vec<(Id, Rejection)>, refusal: Rejection) -> Place {
    Place::Lacking { items: lacking.into_iter().map(|(id, _)| id).collect(), refusal }
}

/// Bytes to a verified item.
fn verified(bytes: Bytes) -> Result<Verified<DataItem>, Rejection> {
    if bytes.len() > MODULE_ITEM_BYTES_MAX {
        let text = format!("the item has {} bytes, at most {MODULE_ITEM_BYTES_MAX} are taken", bytes.len());
        return Err(Rejection::new(Code::TooLarge, text));
    }
    let refuse = |error: ItemError| match error {
        ItemError::Signature => Rejection::new(Code::SignatureInvalid, "A valid and signed data item must be provided as the body."),
        error => Rejection::new(Code::ItemMalformed, format!("A valid and signed data item must be provided as the body. ({error})")),
    };
    DataItem::parse(bytes, Profile::Strict).and_then(DataItem::verify).map_err(refuse)
}

/// What the gateway's indexes need.
pub fn indexed(item: &DataItem) -> Indexed {
    let kind = match Kind::of(item) {
        Some(Kind::Process) => ItemKind::Process,
        Some(Kind::Message) => ItemKind::Message,
        Some(Kind::Module) => ItemKind::Module,
        Some(Kind::Assignment) => ItemKind::Assignment,
        Some(Kind::Checkpoint) => ItemKind::Checkpoint,
        Some(Kind::SchedulerLocation) => ItemKind::SchedulerLocation,
        _ => ItemKind::Other,
    };
    let mut tags: Vec<[u8; 16]> = item.tags().map(|tag| schema::tag_hash(tag.name, tag.value)).collect();
    tags.sort_unstable();
    tags.dedup();
    Indexed { kind, owner: item.address(), recipient: item.target(), tags }
}
