//! `db`: what the database of a stopped node holds, whether it is sound, and how it gets smaller (`operations.md` §1).
//!
//! The database is locked while a node runs, so every verb here refuses then. Opening it does what a start does: a write that was cut short
//! is dropped, and an older format is brought to this binary's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ao_storage::{RocksStore, Store, Table, Usage};
use serde_json::{Value, json};

use super::args::Db;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::Printer;
use crate::check::{self, Finding, Report, Watch};
use crate::datadir;
use crate::retention::{Pass, limits};
use crate::shell::options::wall_clock;

/// Findings that are printed; all are counted.
const FINDINGS_SHOWN: u64 = 1000;

/// `db`.
pub fn db(context: &mut Context<'_>, verb: &Db) -> Result<Exit, Failure> {
    let store = open(context)?;
    match verb {
        Db::Stats { exact } => stats(context, &store, *exact),
        Db::Prune { keep, dry_run } => prune(context, store, keep.map(|span| span.0), *dry_run),
        Db::Compact { tables } => compact(context, &store, tables),
        Db::Check { signatures } => check(context, &store, *signatures),
    }
}

/// The database of the data directory, which must be there already.
fn open(context: &Context<'_>) -> Result<RocksStore, Failure> {
    let layout = context.layout()?;
    if !layout.exists() {
        return Err(datadir::Error::NotInitialised { root: layout.root().to_owned(), missing: "VERSION" }.into());
    }
    layout.check_permissions()?;
    let directory = layout.db();
    if !directory.join("CURRENT").exists() && std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(Failure::new(Exit::NotFound, format!("there is no database in {}", directory.display()))
            .fix("the first `aonode start` makes it"));
    }
    Ok(RocksStore::open(&directory, &Default::default())?)
}

fn usage_of(table: Table, usage: &Usage) -> Value {
    json!({ "table": table.name(), "rows": usage.rows, "live": usage.live, "disk": usage.disk, "spare": usage.disk.saturating_sub(usage.live) })
}

fn stats(context: &mut Context<'_>, store: &RocksStore, exact: bool) -> Result<Exit, Failure> {
    // What was only in the log is in no file yet, and would not be counted.
    store.flush()?;
    let (mut rows, mut sum) = (Vec::new(), Usage::default());
    for table in Table::ALL.iter().copied() {
        let mut usage = store.usage(table)?;
        if exact {
            usage.rows = 0;
            store.each(table, &[], &mut |_, _| {
                usage.rows += 1;
                true
            })?;
        }
        sum = Usage { rows: sum.rows + usage.rows, live: sum.live + usage.live, disk: sum.disk + usage.disk };
        rows.push(usage_of(table, &usage));
    }
    if context.printer.machine() {
        return list(&mut context.printer, rows);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row["disk"].as_u64()));
    rows.retain(|row| row["rows"] != 0 || row["disk"] != 0);
    let total = json!({ "table": "all", "rows": sum.rows, "live": sum.live, "disk": sum.disk, "spare": sum.disk.saturating_sub(sum.live) });
    rows.push(total);
    for row in &mut rows {
        for field in ["live", "disk", "spare"] {
            row[field] = size(row[field].as_u64().unwrap_or_default()).into();
        }
    }
    list(&mut context.printer, rows)
}

fn list(printer: &mut Printer<'_>, rows: Vec<Value>) -> Result<Exit, Failure> {
    let columns = [("table", "table"), ("rows", "rows"), ("live", "live"), ("on disk", "disk"), ("spare", "spare")];
    printer.list("db-stats/v1", rows, &columns, None)?;
    Ok(Exit::Ok)
}

fn compact(context: &mut Context<'_>, store: &RocksStore, names: &[String]) -> Result<Exit, Failure> {
    let known = |name: &String| {
        Table::ALL
            .iter()
            .copied()
            .find(|table| table.name() == name)
            .ok_or_else(|| Failure::usage(format!("--table {name}: there is no such table")).fix("`aonode db stats` lists them"))
    };
    let tables = if names.is_empty() { Table::ALL.to_vec() } else { names.iter().map(known).collect::<Result<_, _>>()? };
    store.flush()?;
    let (mut before, mut after) = (0, 0);
    for table in tables {
        let (from, began) = (store.usage(table)?, Instant::now());
        if from.disk == 0 {
            continue;
        }
        store.compact(table)?;
        let to = store.usage(table)?;
        (before, after) = (before + from.disk, after + to.disk);
        let fields = json!({ "table": table.name(), "before": from.disk, "after": to.disk, "rows": to.rows, "took_ms": began.elapsed().as_millis() as u64 });
        context
            .printer
            .event("db-compact-table/v1", fields, || format!("{:<20} {:>12} -> {:>12}", table.name(), size(from.disk), size(to.disk)))?;
    }
    let record = json!({ "before": before, "after": after });
    context.printer.event("db-compact/v1", record, || format!("{:<20} {:>12} -> {:>12}", "all", size(before), size(after)))?;
    Ok(Exit::Ok)
}

fn prune(context: &mut Context<'_>, store: RocksStore, keep: Option<Duration>, dry_run: bool) -> Result<Exit, Failure> {
    let configured = || Ok::<_, Failure>(context.config(&context.layout()?)?.config.storage.keep.0);
    let keep = match keep {
        Some(keep) => Some(keep),
        None => configured()?,
    };
    let Some(keep) = keep else {
        return Err(
            Failure::new(Exit::Precondition, "storage.keep is `all`: nothing goes").fix("say how long with --keep, e.g. --keep 720h")
        );
    };
    if keep < limits::KEEP_MIN {
        let least = crate::config::Span(limits::KEEP_MIN);
        return Err(Failure::usage(format!("--keep {}: messages are kept for {least} at least", crate::config::Span(keep))));
    }
    let before_ms = wall_clock().0.saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
    let (store, mut pass): (Arc<dyn Store>, _) = (Arc::new(store), Pass::new(0, before_ms, dry_run));
    while pass.turn(&store, limits::TURN_SHIPMENTS)? {}
    let done = pass.done;
    let record = json!({
        "dry_run": dry_run, "shipments": done.shipments, "items": done.items, "bytes": done.bytes, "waiting": done.waiting,
    });
    let verb = if dry_run { "would go" } else { "went; `aonode db compact --table items` gives the room back" };
    context.printer.record("db-prune/v1", record, || {
        format!("{} messages of {} in {} shipments {verb}\n{} more wait", done.items, size(done.bytes), done.shipments, done.waiting)
    })?;
    Ok(Exit::Ok)
}

/// Prints what is found as it is found.
struct Teller<'a, 'b> {
    printer: &'a mut Printer<'b>,
    shown: u64,
    /// Printing went wrong: whoever listened is gone.
    failed: Option<Failure>,
}

impl Watch for Teller<'_, '_> {
    fn found(&mut self, finding: &Finding) {
        self.shown += 1;
        if self.shown > FINDINGS_SHOWN || self.failed.is_some() {
            return;
        }
        let Finding { wrong, table, place, reason } = finding;
        let fields = json!({ "wrong": wrong.text(), "table": table.name(), "place": place, "reason": reason });
        let told = self.printer.event("db-finding/v1", fields, || format!("{}: table {}, {place}: {reason}", wrong.text(), table.name()));
        self.failed = told.err();
    }

    fn progress(&mut self, step: &'static str, rows: u64) {
        if self.failed.is_none() && !self.printer.machine() {
            self.failed = self.printer.note(&format!("{rows} rows  {step}")).err();
        }
    }
}

fn check(context: &mut Context<'_>, store: &RocksStore, signatures: bool) -> Result<Exit, Failure> {
    let mut teller = Teller { printer: &mut context.printer, shown: 0, failed: None };
    let report = check::check(store, signatures, &mut teller)?;
    let (shown, failed) = (teller.shown, teller.failed);
    if let Some(failure) = failed {
        return Err(failure);
    }
    let Report { rows, unreadable, contradictions, left_over } = report;
    let record = json!({
        "rows": rows, "signatures": signatures, "unreadable": unreadable, "contradictions": contradictions, "left_over": left_over,
        "not_shown": shown.saturating_sub(FINDINGS_SHOWN),
    });
    let verdict = match (unreadable, contradictions) {
        (0, 0) => "sound",
        (0, _) => "rows contradict one another: do not start this node; rebuild it with `aonode recover`, or from a backup",
        _ => "damaged: do not start this node; rebuild it with `aonode recover`, or from a backup",
    };
    context.printer.event("db-check/v1", record, || {
        format!("{rows} rows looked at, {unreadable} unreadable, {contradictions} contradictions, {left_over} left over\n{verdict}")
    })?;
    Ok(match (unreadable, contradictions) {
        (0, 0) => Exit::Ok,
        (0, _) => Exit::Verification,
        _ => Exit::Corruption,
    })
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).clamp(1, UNITS.len() as u32);
    format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * power)) as f64, UNITS[power as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 << 10, "1.5 MiB"), (3 << 40, "3.0 TiB"), (u64::MAX, "16777216.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
