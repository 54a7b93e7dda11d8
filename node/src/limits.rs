//! Every bound of the node's core and shell, and how bounds relate. HTTP has its own page, as has each crate below.

/// Bytes of one data item (`interop-legacynet.md` §2.1: the reference's body limit).
pub const ITEM_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Bytes of an item that is only stored: a module.
pub const MODULE_ITEM_BYTES_MAX: usize = ao_types::limits::MODULE_BYTES_MAX;

/// Requests that write (submit, assign, monitor, cron) at work at once; further ones are told to come again.
pub const WRITES_IN_FLIGHT_MAX: usize = 4096;

/// Requests of the node itself at work at once, beside those: the one thread that works out what lies before checkpoints waits for each.
pub const OWN_REQUESTS_MAX: usize = 1;

/// Bytes of the items of those requests.
pub const WRITE_BYTES_IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;

/// Items of one process waiting for a slot: one process's flood leaves room for the others.
pub const PROCESS_QUEUE_MAX: usize = 1024;

/// Written batches whose ids and heads the core remembers, so that a look-up made before them is corrected without a new look-up.
pub const RECENT_BATCHES: u64 = 64;

/// Readers waiting for results.
pub const RESULT_WAITERS_MAX: usize = 4096;

/// Readers waiting for each level of order.
pub const LEVEL_WAITERS_MAX: usize = 4096;

/// Bytes of a slot's proof as a file: its canonical bytes as base64, the largest genesis, and the words around them.
pub const PROOF_FILE_BYTES_MAX: usize = ao_types::limits::GENESIS_BYTES_MAX + 4 * 1024 * 1024;

const _: () = assert!(
    (ao_consensus::limits::PROOF_HEADERS_MAX + 2) * ao_consensus::limits::HEADER_BYTES_MAX * 4 / 3 < 4 * 1024 * 1024,
    "every proof fits its file"
);

/// Dry runs and state reads waiting for the lane of their own.
pub const DRY_RUNS_MAX: usize = 256;

/// Messages of one process evaluated before another process gets the worker.
pub const EVALUATION_RUN_MAX: usize = 64;

/// Cron messages of one process evaluated before another process gets the worker.
pub const CRON_RUN_MAX: usize = 256;

/// Outbox entries of one process taken in one turn: a flood of one process waits behind the single message of another.
pub const PUSH_RUN_MAX: usize = 32;

/// Processes whose outbox is at work at once.
pub const PUSH_PROCESSES_MAX: usize = 16;

/// Messages, and results with outboxes, whose stages are timed at once; the one that waits longest stays untimed beyond that.
pub const STAGES_TIMED_MAX: usize = 65_536;

/// Own frames timed until their certificate; of a chain that goes on no more than a window is without.
pub const FRAMES_TIMED_MAX: usize = 1_024;

/// Processes that are looked at to say what waits. A node with more of them says what waits in the first ones.
pub const BACKLOG_PROCESSES_MAX: usize = 10_000;

/// Milliseconds until a delivery that found a queue full is tried again.
pub const PUSH_RETRY_MS: u64 = 250;

/// Runs that wait for a signer: one for each process with something in its queue, and as many of a life of the core that has ended.
pub const RUNS_WAITING_MAX: usize = 2 * (WRITES_IN_FLIGHT_MAX + PUSH_RUN_MAX * PUSH_PROCESSES_MAX);

/// Turns of outboxes that wait for the pusher: those of now, and of lives of the core that have ended.
pub const TURNS_WAITING_MAX: usize = 8 * PUSH_PROCESSES_MAX;

/// Processes whose cron results are pushed.
pub const MONITORS_MAX: usize = 1024;

/// Fields of an item that an assignment can leave out; an item has fewer.
pub const EXCLUDED_MAX: usize = 32;

/// Bytes of the name of one.
pub const EXCLUDED_BYTES_MAX: usize = 64;

/// Schedulers that one answer names to whoever wants to spawn.
pub const HOSTS_SHOWN_MAX: usize = 64;

/// Milliseconds between two looks at the crons of a monitored process (the reference's pace).
pub const MONITOR_INTERVAL_MS: u64 = 10_000;

/// Failed tries of this host to evaluate a message after which its readers are told; the node goes on trying.
pub const RESULT_TRIES_MAX: u32 = 3;

/// Milliseconds until an evaluation that this host could not make is tried again, at first;
pub const RETRY_MS_MIN: u64 = 1_000;
/// doubling up to this.
pub const RETRY_MS_MAX: u64 = 60_000;

/// Milliseconds after which results from before a checkpoint are handed over. A chunk is no larger than one turn of a worker, too.
pub const BACKFILL_CHUNK_MS: u64 = 100;

/// Milliseconds that one message from before a checkpoint waits for the log's workers to rest.
pub const BACKFILL_WAIT_MS: u64 = 50;

/// Milliseconds that results from before one checkpoint are worked out before it is the next process's turn.
pub const BACKFILL_TURN_MS: u64 = 30_000;

/// Milliseconds between two looks for evaluations that began at a checkpoint, where nobody says that there is one.
pub const BACKFILL_LOOK_MS: u64 = 2_000;

/// Bytes of a state that goes to Arweave, packed. Larger ones stay: without one a log is evaluated from its beginning.
pub const ANCHOR_STATE_BYTES_MAX: usize = 64 * 1024 * 1024;

const _: () = assert!(ANCHOR_STATE_BYTES_MAX < ao_types::limits::MODULE_BYTES_MAX, "what fits a bundle as a module fits it as a state");

/// Records of states of one process that a recovery looks at in vain before it begins at no state.
pub const RECOVER_STATES_MAX: usize = 16;

/// Slots after which a process's state is written down, so that a restart evaluates at most so many again.
pub const CHECKPOINT_SLOTS: u64 = 2_000;

/// Slots of a process between two states that the network certifies (`arweave.md` §8).
pub const CERTIFY_SLOTS: u64 = 10_000;

/// Newest states of a process that are looked at to find one that is certified.
pub const STATES_LOOKED_AT_MAX: usize = 64;

/// Processes whose newest state is being certified at once; further ones wait in the store.
pub const STATES_AT_ONCE_MAX: usize = 256;

/// Questions about states that a node has open; each process asks as many members as it may ask at once.
pub const STATES_QUESTIONS_MAX: usize = 32;

/// Rows of certified states read at once by whoever reads them all.
pub const STATES_ROWS_PAGE: usize = 1_000;

/// How often members that were busy are looked at again.
pub const STATES_TICK_MS: u64 = 500;

/// Nodes that do not schedule a process collect for its states so much later, and up to as much again.
pub const STATES_LATER_MS: u64 = 1_000;

/// Members asked at once for one state.
pub const VOUCHERS_ASKED_MAX: usize = 16;

/// Milliseconds after which a member that could not answer is asked again, at first;
pub const VOUCHERS_REST_MS_MIN: u64 = 500;
/// doubling up to this.
pub const VOUCHERS_REST_MS_MAX: u64 = 16_000;
/// The rest of a member that said no.
pub const VOUCHERS_REFUSED_REST_MS: u64 = 300_000;

const _: () = assert!(STATES_QUESTIONS_MAX + VOUCHERS_ASKED_MAX <= crate::network::limits::INQUIRIES_MAX, "questions find their way");

/// Deltas after a full checkpoint. What follows them is full again, earlier if they are as large as the full one together.
pub const CHECKPOINT_DELTAS_MAX: usize = 32;

/// Chains of checkpoints kept per process: the one that grows, and the one before it in case the newest cannot be read.
pub const CHECKPOINT_CHAINS_KEPT: usize = 2;

/// Checkpoints of a process looked at: those kept, and a chain's worth of those that a crash or a failed write left beside them.
pub const CHECKPOINT_ROWS_MAX: usize = (CHECKPOINT_CHAINS_KEPT + 1) * (CHECKPOINT_DELTAS_MAX + 1);

/// Bytes of module binaries and sources held in memory.
pub const MODULE_BYTES_CACHED_MAX: usize = 128 * 1024 * 1024;

/// Events that a slow reader may lag behind before it loses some.
pub const EVENTS_LAG_MAX: usize = 8192;

const _: () = assert!(CHECKPOINT_DELTAS_MAX <= ao_vm::limits::CHECKPOINT_CHAIN_MAX, "the machine restores what is kept");
const _: () = assert!(PROCESS_QUEUE_MAX < WRITES_IN_FLIGHT_MAX, "one process cannot take every place");
const _: () = assert!(PUSH_RUN_MAX * PUSH_PROCESSES_MAX <= PROCESS_QUEUE_MAX, "deliveries to one process fit its queue");
const _: () =
    assert!(ITEM_BYTES_MAX <= MODULE_ITEM_BYTES_MAX && MODULE_ITEM_BYTES_MAX <= WRITE_BYTES_IN_FLIGHT_MAX, "the largest item fits");

/// Slots that a read of an old state evaluates again at most.
pub const REPLAY_SLOTS_MAX: u64 = 10_000;

/// Bytes of idle instances kept in memory before the one unused for longest is written down and dropped.
pub const INSTANCE_BYTES_DEFAULT: u64 = 512 * 1024 * 1024;

/// Milliseconds after which an instance that nobody uses is written down and dropped: ten minutes. The next message restores it.
pub const INSTANCE_IDLE_MS_DEFAULT: u64 = 600_000;

/// Milliseconds after which an instance that nobody wants gives back what can be worked out again.
pub const TIDY_AFTER_MS: u64 = 5_000;

/// Idle instances kept at most, however small.
pub const INSTANCES_MAX: usize = 4096;

/// Results parsed for pushing that are kept: one long outbox is read in many turns.
pub const PUSH_RESULTS_KEPT: usize = 16;

/// Milliseconds after which an evaluation counts as slow and lets another one start beside it.
pub const SLOW_MS: u64 = 20;

/// Slow evaluations at once; half as many slow reads.
pub const SLOW_JOBS_MAX: usize = 12;

/// Stack of an evaluator: guests run on it.
pub const EVALUATOR_STACK_BYTES: usize = 16 * 1024 * 1024;

/// Milliseconds after which steps of a long turn are handed over.
pub const EVALUATION_CHUNK_MS: u64 = 2;

/// Rows read at once at start.
pub const RECOVER_PAGE: usize = 1024;

/// Bytes of room on disk kept free (`operations.md` §2).
pub const DISK_RESERVE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Seconds after which a core whose loop does not turn counts as dead (`operations.md` §7, `/livez`).
pub const CORE_SILENT_S_MAX: u64 = 10;

/// Frames of another scheduler's chain that are stored above the last confirmed one. An honest chain needs two windows
/// (`consensus.md` §15.3); the rest is room for an engine that is behind while this node catches up.
pub const FRAMES_UNCONFIRMED_MAX: u64 = 8 * ao_consensus::limits::WINDOW;

const _: () = assert!(FRAMES_UNCONFIRMED_MAX < RECOVER_PAGE as u64, "what a lost fork leaves is taken out in one batch");

/// Frames of one chain kept because their predecessor, or an item of theirs, is not here yet.
pub const FRAMES_KEPT_MAX: usize = 64;

/// Bytes of those; a single larger one is kept all the same.
pub const FRAMES_KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Milliseconds until a frame whose items were missing is looked at again.
pub const FOLLOW_LOOK_MS: u64 = 100;

/// Pieces of evidence that are told once although they come from several sides at once; the store knows the others.
pub const EVIDENCE_REMEMBERED_MAX: usize = 1024;

/// Pieces of evidence of one kind that are kept of one offender: one convicts, a few show how it went about.
pub const EVIDENCE_OF_ONE_MAX: usize = 16;

/// Pieces of evidence read at once.
pub const EVIDENCE_PAGE: usize = 8;

/// Items on their way to other schedulers' nodes at once.
pub const FORWARDS_MAX: usize = 4096;

/// A client whose message another scheduler's node took is answered when the frame is here too, or after this many milliseconds.
pub const FORWARD_SEEN_MS: u64 = 3_000;

/// A client whose message another scheduler's node may have taken, though its answer was lost, is told what that node said at last when the
/// frame is not here after this many milliseconds. Longer: there is no better answer than the frame.
pub const FORWARD_LOST_MS: u64 = 10_000;

/// Frames from outside that wait for a verifier; more are asked for again.
pub const FRAMES_WAITING_MAX: usize = 256;

/// Messages of other nodes' engines, answers and checked frames that wait for the core.
pub const ARRIVALS_WAITING_MAX: usize = 8192;

/// Milliseconds after which it is worked out anew how far apart frames are.
pub const PACE_MS: u64 = 100;

/// Own frames remembered until they are certified: no more than may be open.
pub const FRAMES_SETTLING_MAX: usize = ao_consensus::limits::WINDOW as usize;

/// Frames that take so many times as long as the shortest lately show that the network is behind.
pub const SETTLED_LATE: u64 = 3;

/// Milliseconds below which it makes no difference how long a frame takes.
pub const SETTLED_MS_MIN: u64 = 5;

/// A network that is behind has frames so many times as far apart at most.
pub const STRETCH_MAX: u64 = 6;

/// Milliseconds that frames are apart at most, for whatever reason (`consensus.md` §13).
pub const INTERVAL_MS_MAX: u64 = 1_000;

/// Processes remembered that were born at another node through this one.
pub const BORN_ELSEWHERE_MAX: usize = 16_384;

/// Submissions that wait for items of other nodes.
pub const SEEKS_MAX: usize = 1024;

/// Bytes of those.
pub const SEEK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Milliseconds that a submission waits for items of other nodes; a forwarded one must be answered within a request's timeout.
pub const SEEK_MS: u64 = 6_000;

const _: () = assert!(ITEM_BYTES_MAX <= SEEK_BYTES_MAX, "any submission can wait");

/// Milliseconds between two turns of one chain from frames that can never be confirmed to those that are, at first;
pub const FORK_WAIT_MS_MIN: u64 = 1_000;
/// doubling up to this.
pub const FORK_WAIT_MS_MAX: u64 = 60_000;

/// Signatures of this node's own key in messages of peers that are checked between two looks at the clock ([`SIGNER_LOOK_MS`]).
pub const FOREIGN_CHECKS_MAX: u32 = 16;

/// Bytes of an engine's message that is searched for a signature of this node's key: shares and votes are shorter.
pub const OVERHEARD_BYTES_MAX: usize = 1024;

/// Milliseconds between two looks at how long an attestor still has to listen.
pub const SIGNER_LOOK_MS: u64 = 100;

/// Milliseconds that a core waits for a quiet moment before it makes its engine anew all the same.
pub const RENEW_MS_MAX: u64 = 2_000;

/// Requests that wait while the core reads its store again; further ones are told to come again.
pub const HELD_MAX: usize = 256;

/// Bytes of items in them.
pub const HELD_BYTES_MAX: usize = 8 << 20;

/// Milliseconds that they wait: longer than making the engine anew takes. A store that takes longer to read is one after a crash.
pub const HELD_MS_MAX: u64 = 2 * RENEW_MS_MAX;

/// Synced writes by which a disk is judged.
pub const SYNCS_REMEMBERED: usize = 256;
/// And how many there must be.
pub const SYNCS_LEAST: usize = 8;
/// If a hundredth of them takes longer than this many milliseconds, the operator is told. The alert that is shipped has the same number.
pub const SYNC_SLOW_MS: u64 = 100;
/// How often.
pub const SYNC_TOLD_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// A node that starts with a clock wrong by more than this signs nothing before it is set.
pub const CLOCK_AHEAD_START_MS_MAX: u64 = 60_000;

/// How long an attestor listens for its own key before it signs, where nothing else is configured.
pub const DOPPELGANGER_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// The same on a development network, whose keys are on one machine.
pub const DOPPELGANGER_WAIT_DEV: std::time::Duration = std::time::Duration::from_millis(500);

/// Newest frames of each chain whose certificates a starting attestor compares with the rows of its slashing protection.
pub const LOOK_BACK_FRAMES: usize = 64;

/// How often a recovery waits for gateways that do not answer, twice as long each time.
pub const RECOVER_WAITS_MAX: u32 = 4;

/// How long at first.
pub const RECOVER_WAIT_FIRST: std::time::Duration = std::time::Duration::from_millis(250);

/// Bytes of items that one batch of a recovery writes.
pub const RECOVER_BATCH_BYTES: usize = 1 << 20;

/// Slots of another network's log that are asked for, checked and written together.
pub const LOAD_SLOTS: usize = 500;

/// Data of items of such a log that are fetched at the same time.
pub const LOAD_FETCH_AT_ONCE: usize = 8;

/// Bytes of a published state that is looked at, packed. Larger ones are passed over: without one such a log is evaluated from its beginning.
pub const LOAD_STATE_BYTES_MAX: usize = ao_types::limits::MODULE_BYTES_MAX;

/// Published states of a process that are fetched and do not hold before none is looked at any more; as many that are no states of the log
/// are named.
pub const LOAD_STATES_MAX: usize = 16;

/// Pages of its states that each gateway is asked for, the newest first.
pub const LOAD_STATE_PAGES: usize = 10;

/// Blocks of Arweave that are kept around one log with cron groups: some eight years of them.
pub const LOAD_BLOCKS_MAX: u64 = 2 << 20;

/// How far blocks' times may run backwards, milliseconds, over however many blocks. Arweave lets each be at most 35 s before its parent
/// (`arweave.md`, section 7), and mines one in two minutes.
pub const BLOCK_DRIFT_MS: u64 = 600_000;

/// Owners whose states may be taken.
pub const LOAD_OWNERS_MAX: usize = 32;

/// Bundles that are read for items of such a log that cannot be put together from what gateways show, in one window of slots.
pub const LOAD_BUNDLES_MAX: usize = 64;

/// Height from which on the hash chains of the older network hold; its own units check none of older processes (`protocol.md` §6.1).
pub const CHAINED_FROM_HEIGHT: u64 = 1_440_000;

/// Records of frames kept in memory while a chain is read back.
pub const RECOVER_RECORDS_KEPT: usize = 8;

/// Heights of Arweave that are asked for at once when what others wrote is looked for.
pub const OBSERVE_BLOCKS: u64 = 1_000;

/// Entries of each gateway's index that are taken of these heights; where all have more, fewer heights are asked for at once.
pub const OBSERVE_HITS_MAX: usize = 16_384;

/// A node that looks for the first time begins so far below the tip: what is older is read when a log is recovered.
pub const OBSERVE_FIRST_BLOCKS: u64 = 5_000;

/// Transactions of others that are followed until they are deep enough, and parts that wait for others.
pub const OBSERVED_MAX: usize = 4_096;

/// Slots whose digests are in memory, 56 bytes each, where a node compares what others anchor: three minutes of 1 400 a second.
pub const DIGESTS_MAX: usize = 1 << 18;

/// Processes of which it is known how long they were evaluated since a state of theirs went to Arweave.
pub const SPENT_PROCESSES_MAX: usize = 16_384;

/// Looks at a transaction that come to nothing, each twice as many blocks after the one before.
pub const OBSERVE_TRIES_MAX: u32 = 10;

/// Pieces of evidence that one parcel for Arweave takes along; others go with the next.
pub const ANCHOR_EVIDENCE_AT_ONCE: usize = 8;

/// Processes whose late results one parcel takes along.
pub const ANCHOR_LATE_AT_ONCE: usize = 256;

/// Processes of which is remembered that something of them cannot be read.
pub const ANCHOR_BROKEN_SHOWN: usize = 8;
