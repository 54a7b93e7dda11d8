//! Every metric, described once (`operations.md`, section 8).
//!
//! Owns the names, the help texts, the buckets and the registry. Refuses labels whose values a stranger could choose: values are enums
//! (see [`labels`]), except `route` (the templates of our own route table), `family` (our tables), `code` (our error codes) and `gateway`
//! (the operator's own configuration).
//!
//! [`Metrics`] is a handful of `Arc`s: clone it into whatever counts. Nothing here samples anything by itself; the one exception is
//! [`Metrics::ask`], for values that are cheapest to read when somebody looks.

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub mod labels;

use labels::{
    AnchorOutcome, Asked, Asking, By, Check, Checked, Chunk, ComputeFailure, EvidenceStatus, Fault, Found, HttpRejection, Label, Outcome,
    Signing, SigningRefusal, Stage, StakeStatus, State, ViewChange, Vote, Waiting,
};

use crate::error::Code;

/// `content-type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Seconds: from a hot Lua handler (0.1 ms) to a compile or a full queue (30 s).
const SECONDS: &[f64] = &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Part of all stake: quorums begin above two thirds.
const RATIO: &[f64] = &[0.5, 0.6, 0.667, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0];

/// Signatures in one sum.
const SIGNERS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// What runs: the labels of `aonode_build_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Version of the binary.
    pub version: &'static str,
    /// Commit it was built from; `unknown` outside a checkout.
    pub commit: &'static str,
    /// Name of the consensus engine.
    pub plugin: String,
    /// Name of the network.
    pub network: String,
}

impl Build {
    /// This binary, running `plugin` on `network`.
    pub fn new(plugin: impl Into<String>, network: impl Into<String>) -> Self {
        Self { version: crate::VERSION, commit: crate::COMMIT, plugin: plugin.into(), network: network.into() }
    }
}

/// All metrics of a node. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// 1 while the node takes writes.
    pub ready: IntGauge,
    /// 1 for each health check that holds.
    pub health_check_ok: By<Check, IntGauge>,
    /// How late the core's loop takes its next input.
    pub event_loop_lag_seconds: Histogram,
    /// Messages by the level they reached.
    pub messages_total: By<State, IntCounter>,
    /// Time between levels.
    pub message_stage_seconds: By<Stage, Histogram>,
    /// Age of the oldest message that waits for a stage, from its assignment.
    pub oldest_pending_seconds: By<Waiting, Gauge>,
    /// Outbox rows that have not reached their target.
    pub outbox_pending: IntGauge,
    /// Attempts to deliver an outbox row.
    pub push_attempts_total: By<Outcome, IntCounter>,
    /// Evaluation of one message, without queueing.
    pub compute_seconds: Histogram,
    /// Fuel consumed.
    pub compute_fuel_total: IntCounter,
    /// Evaluations that ended in an error, or not at all.
    pub compute_failures_total: By<ComputeFailure, IntCounter>,
    /// Processes in memory.
    pub wasm_instances: IntGauge,
    /// Requests for a compiled module, by where it was found.
    pub module_cache_requests_total: By<Found, IntCounter>,
    /// Slots that are assigned and not yet evaluated, over all processes.
    pub replay_behind_slots: IntGauge,
    /// Slots before checkpoints at which evaluation began whose results are still to be worked out here.
    pub backfill_slots: IntGauge,
    /// Checkpoints at which evaluation began and that the log did not bear out.
    pub checkpoints_refuted_total: IntCounter,
    /// Processes stopped because a second evaluation gave another result.
    pub state_divergence_total: IntCounter,
    /// How long an attestor still listens for its own key before it signs.
    pub doppelganger_wait_seconds: Gauge,
    /// Highest decided block; 0 where the engine decides none.
    pub consensus_height: IntGauge,
    /// The round in which it was decided.
    pub consensus_round: IntGauge,
    /// Rounds that decided nothing.
    pub consensus_view_changes_total: By<ViewChange, IntCounter>,
    /// From the publication of an own frame to the certificate that covers it.
    pub certificate_seconds: Histogram,
    /// Part of all stake that signed a certificate.
    pub certificate_weight_ratio: Histogram,
    votes_total: Vec<By<Signing, IntCounter>>,
    /// Checks of signatures and sums.
    pub bls_verify_seconds: By<Checked, Histogram>,
    /// Signatures added to one sum.
    pub bls_aggregate_size: Histogram,
    /// Faults that were shown to this node.
    pub equivocations_total: By<Fault, IntCounter>,
    /// Evidence in the store.
    pub evidence_items: By<EvidenceStatus, IntGauge>,
    /// Signatures that this node's key did not give.
    pub signing_refusals_total: By<SigningRefusal, IntCounter>,
    /// Stake of the committee that is in force.
    pub stake_units: By<StakeStatus, Gauge>,
    /// Synced writes of the store.
    pub wal_fsync_seconds: Histogram,
    /// Torn tails cut off when the store was opened.
    pub wal_truncations_total: IntCounter,
    db_bytes: IntGaugeVec,
    /// Free bytes where the data directory is.
    pub disk_free_bytes: IntGauge,
    /// What became of shipments on their way to Arweave.
    pub anchor_posts_total: By<AnchorOutcome, IntCounter>,
    /// Chunks of snapshots that came and went.
    pub snapshot_chunks_total: By<Chunk, IntCounter>,
    gateway_requests_total: IntCounterVec,
    gateway_seconds: HistogramVec,
    http_requests_total: IntCounterVec,
    http_request_seconds: HistogramVec,
    /// Requests refused by a limit.
    pub http_rejected_total: By<HttpRejection, IntCounter>,
    errors_total: IntCounterVec,
}

/// Registers as it makes, so that no metric can exist unexported.
struct Maker(Registry);

impl Maker {
    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }
    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }
    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?)
    }
    fn histogram_of(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }
    fn gauges_by<L: Label>(&self, name: &str, help: &str) -> prometheus::Result<By<L, IntGauge>> {
        By::new(&self.add(IntGaugeVec::new(Opts::new(name, help), &[L::NAME])?)?)
    }
    fn float_gauges_by<L: Label>(&self, name: &str, help: &str) -> prometheus::Result<By<L, Gauge>> {
        By::new(&self.add(GaugeVec::new(Opts::new(name, help), &[L::NAME])?)?)
    }
    fn counters_by<L: Label>(&self, name: &str, help: &str) -> prometheus::Result<By<L, IntCounter>> {
        By::new(&self.add(IntCounterVec::new(Opts::new(name, help), &[L::NAME])?)?)
    }
    fn seconds_by<L: Label>(&self, name: &str, help: &str) -> prometheus::Result<By<L, Histogram>> {
        By::new(&self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), &[L::NAME])?)?)
    }
}

/// One family with two labels, every child made once.
fn votes(m: &Maker) -> prometheus::Result<Vec<By<Signing, IntCounter>>> {
    let opts = Opts::new("aonode_votes_total", "What became of wishes of this node's key to sign.");
    let family = m.add(IntCounterVec::new(opts, &[Vote::NAME, Signing::NAME])?)?;
    let of = |kind: &Vote| By::with(|result: Signing| family.get_metric_with_label_values(&[kind.text(), result.text()]));
    Vote::ALL.iter().map(of).collect()
}

impl Metrics {
    /// A registry of its own with every metric in it, all at zero.
    ///
    /// # Errors
    /// Only if two metrics share a name or a name is not a metric name, which a test rules out.
    pub fn new(build: &Build) -> prometheus::Result<Self> {
        let m = Maker(Registry::new());
        m.0.register(Box::new(ProcessCollector::for_self()))?;
        let info =
            IntGaugeVec::new(Opts::new("aonode_build_info", "1; the labels say what runs."), &["version", "commit", "plugin", "network"])?;
        m.add(info)?.with_label_values(&[build.version, build.commit, build.plugin.as_str(), build.network.as_str()]).set(1);
        Ok(Self {
            ready: m.gauge("aonode_ready", "1 while the node takes writes.")?,
            health_check_ok: m.gauges_by("aonode_health_check_ok", "1 for each health check that holds.")?,
            event_loop_lag_seconds: m.histogram("aonode_event_loop_lag_seconds", "How late the core takes its next input.")?,
            messages_total: m.counters_by("aonode_messages_total", "Messages by the level they reached.")?,
            message_stage_seconds: m.seconds_by("aonode_message_stage_seconds", "Time a message took for a stage, queueing included.")?,
            oldest_pending_seconds: m.float_gauges_by(
                "aonode_oldest_pending_seconds",
                "Age of the oldest message that waits for a stage, from its assignment; 0 where none waits.",
            )?,
            outbox_pending: m.gauge("aonode_outbox_pending", "Outbox rows that have not reached their target.")?,
            push_attempts_total: m.counters_by("aonode_push_attempts_total", "Attempts to deliver an outbox row.")?,
            compute_seconds: m.histogram("aonode_compute_seconds", "Evaluation of one message, without queueing.")?,
            compute_fuel_total: m.counter("aonode_compute_fuel_total", "Fuel consumed by evaluations.")?,
            compute_failures_total: m.counters_by("aonode_compute_failures_total", "Evaluations that ended in an error, or not at all.")?,
            wasm_instances: m.gauge("aonode_wasm_instances", "Processes in memory.")?,
            module_cache_requests_total: m
                .counters_by("aonode_module_cache_requests_total", "Requests for a compiled module, by where it was found.")?,
            replay_behind_slots: m.gauge("aonode_replay_behind_slots", "Slots assigned and not yet evaluated, over all processes.")?,
            backfill_slots: m.gauge(
                "aonode_backfill_slots",
                "Slots before checkpoints at which evaluation began whose results are still to be worked out here.",
            )?,
            checkpoints_refuted_total: m
                .counter("aonode_checkpoints_refuted_total", "Checkpoints at which evaluation began and that the log did not bear out.")?,
            state_divergence_total: m
                .counter("aonode_state_divergence_total", "Processes stopped because a second evaluation gave another result.")?,
            doppelganger_wait_seconds: m.add(Gauge::new(
                "aonode_doppelganger_wait_seconds",
                "How long an attestor still listens for its own key before it signs; 0 while it signs, and where there is none.",
            )?)?,
            consensus_height: m.gauge("aonode_consensus_height", "Highest decided block; 0 where the engine decides none.")?,
            consensus_round: m.gauge("aonode_consensus_round", "The round in which the highest block was decided.")?,
            consensus_view_changes_total: m.counters_by("aonode_consensus_view_changes_total", "Rounds that decided nothing.")?,
            certificate_seconds: m.histogram("aonode_certificate_seconds", "From an own frame to the certificate that covers it.")?,
            certificate_weight_ratio: m.histogram_of("aonode_certificate_weight_ratio", "Part of all stake in a certificate.", RATIO)?,
            votes_total: votes(&m)?,
            bls_verify_seconds: m.seconds_by("aonode_bls_verify_seconds", "Checks of signatures and sums.")?,
            bls_aggregate_size: m.histogram_of("aonode_bls_aggregate_size", "Signatures added to one sum.", SIGNERS)?,
            equivocations_total: m.counters_by("aonode_equivocations_total", "Faults that were shown to this node.")?,
            evidence_items: m.gauges_by("aonode_evidence_items", "Evidence in the store.")?,
            signing_refusals_total: m.counters_by("aonode_signing_refusals_total", "Signatures that this node's key did not give.")?,
            stake_units: m.float_gauges_by("aonode_stake_units", "Stake of the committee that is in force.")?,
            wal_fsync_seconds: m.histogram("aonode_wal_fsync_seconds", "Synced writes of the store.")?,
            wal_truncations_total: m.counter("aonode_wal_truncations_total", "Torn tails cut off when the store was opened.")?,
            db_bytes: m.add(IntGaugeVec::new(Opts::new("aonode_db_bytes", "Bytes on disk by table."), &["family"])?)?,
            disk_free_bytes: m.gauge("aonode_disk_free_bytes", "Free bytes where the data directory is.")?,
            anchor_posts_total: m.counters_by("aonode_anchor_posts_total", "What became of shipments on their way to Arweave.")?,
            snapshot_chunks_total: m
                .counters_by("aonode_snapshot_chunks_total", "Chunks of snapshots that came from peers or went to them.")?,
            gateway_requests_total: m.add(IntCounterVec::new(
                Opts::new("aonode_gateway_requests_total", "Requests to gateways and bundling services."),
                &["gateway", Asking::NAME],
            )?)?,
            gateway_seconds: m.add(HistogramVec::new(
                HistogramOpts::new("aonode_gateway_seconds", "Time to an answer of a gateway or bundling service.")
                    .buckets(SECONDS.to_vec()),
                &["gateway"],
            )?)?,
            http_requests_total: m.add(IntCounterVec::new(
                Opts::new("aonode_http_requests_total", "Requests answered, by route template, method and status."),
                &["route", "method", "code"],
            )?)?,
            http_request_seconds: m.add(HistogramVec::new(
                HistogramOpts::new("aonode_http_request_seconds", "Time to answer a request, waiting for a result included.")
                    .buckets(SECONDS.to_vec()),
                &["route"],
            )?)?,
            http_rejected_total: m.counters_by("aonode_http_rejected_total", "Requests refused by a limit before any handler.")?,
            errors_total: m
                .add(IntCounterVec::new(Opts::new("aonode_errors_total", "Refusals and failures by error code."), &["code"])?)?,
            registry: m.0,
        })
    }

    /// Counts one answered request. `route` is the template (`/result/{message}`), never the path.
    pub fn http(&self, route: &str, method: &str, status: u16, seconds: f64) {
        let mut digits = [b'0'; 3];
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit += u8::try_from(status / 10_u16.pow(2 - at as u32) % 10).unwrap_or(0);
        }
        let code = std::str::from_utf8(&digits).unwrap_or("000");
        self.http_requests_total.with_label_values(&[route, method, code]).inc();
        self.http_request_seconds.with_label_values(&[route]).observe(seconds);
    }

    /// Counts one request to a gateway or bundling service; `base_url` is one of the configured ones.
    pub fn gateway(&self, base_url: &str, outcome: Asking, seconds: f64) {
        self.gateway_requests_total.with_label_values(&[base_url, outcome.text()]).inc();
        self.gateway_seconds.with_label_values(&[base_url]).observe(seconds);
    }

    /// What became of a wish of this node's key to sign.
    pub fn vote(&self, kind: Vote, result: Signing) -> &IntCounter {
        self.votes_total[kind.index()].of(result)
    }

    /// Counts one refusal or failure.
    pub fn error(&self, code: Code) {
        self.errors_total.with_label_values(&[code.as_str()]).inc();
    }

    /// Sets the size of one table; `family` is a name from the storage schema.
    pub fn db_bytes(&self, family: &str, bytes: u64) {
        self.db_bytes.with_label_values(&[family]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Adds a gauge that is read when somebody looks. For values another crate counts by itself.
    ///
    /// # Errors
    /// `name` is taken or not a metric name.
    pub fn ask(&self, name: &str, help: &str, ask: impl Fn() -> f64 + Send + Sync + 'static) -> prometheus::Result<()> {
        self.registry.register(Box::new(Asked::new(name, help, ask)?))
    }

    /// The text format 0.0.4, families in order of name.
    pub fn render(&self) -> String {
        let mut out = Vec::with_capacity(16 * 1024);
        match TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests;
