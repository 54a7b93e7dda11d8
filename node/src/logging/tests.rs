use std::time::UNIX_EPOCH;

use super::line::{rfc3339, shortened};
use super::*;

/// Runs `log` and gives what was written.
fn written(spec: &str, format: Format, log: impl FnOnce(&Levels)) -> String {
    let out = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&out);
    let (subscriber, levels) = subscriber(spec, format, false, Arc::new(move |line| into.lock().push_str(line))).unwrap();
    tracing::subscriber::with_default(subscriber, || log(&levels));
    Arc::try_unwrap(out).map_or_else(|out| out.lock().clone(), Mutex::into_inner)
}

const ID: &str = "fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY";

#[test]
fn one_event_is_one_line_with_the_fields_of_its_spans() {
    for format in [Format::Pretty, Format::Json, Format::Logfmt] {
        let text = written("info", format, |_| {
            let span = tracing::info_span!("request", request = "r-1", message = tracing::field::Empty);
            let _in = span.enter();
            tracing::info!(event = "assigned", slot = 7, "took a slot\nand a half");
            tracing::debug!("not written");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["r-1", "assigned", "7", "took a slot"] {
            assert!(text.contains(part), "{format:?}: {part} in {text}");
        }
    }
}

#[test]
fn json_lines_are_json_and_logfmt_values_cannot_forge_fields() {
    let hostile = "x\" level=error msg=\"pwned\u{1b}[2J\n{";
    let json = written("info", Format::Json, |_| tracing::info!(path = hostile, "asked"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["path"], hostile);
    assert_eq!(value["level"], "INFO");
    let logfmt = written("info", Format::Logfmt, |_| tracing::info!(path = hostile, "asked"));
    assert!(logfmt.ends_with("path=\"x\\\" level=error msg=\\\"pwned\\u{1b}[2J\\n{\"\n"), "{logfmt}");
    let pretty = written("info", Format::Pretty, |_| tracing::info!("hello \u{1b}[2J\n there"));
    assert!(!pretty.contains('\u{1b}') && pretty.lines().count() == 1, "{pretty}");
}

#[test]
fn libraries_that_tell_of_each_step_are_heard_when_asked_for() {
    let text = written("info", Format::Logfmt, |levels| {
        tracing::info!(target: "arc_malachitebft_core_consensus::handle::vote", "a vote");
        tracing::warn!(target: "libp2p_kad", "nobody is known yet");
        tracing::warn!(target: "arc_malachitebft_core_consensus::handle", "one");
        levels.set("info,arc_malachitebft=info").unwrap();
        tracing::info!(target: "arc_malachitebft_core_consensus::handle::vote", "two");
    });
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn levels_apply_by_target_and_can_change() {
    let text = written("warn,loud=debug", Format::Logfmt, |levels| {
        tracing::info!("quiet");
        tracing::debug!(target: "loud", "one");
        levels.set("info").unwrap();
        tracing::info!("two");
        tracing::debug!(target: "loud", "no more");
        assert!(levels.set("noisy").unwrap_err().contains("`noisy` is not a level"));
        tracing::info!("three");
    });
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn identical_warnings_are_counted_not_repeated() {
    let text = written("info", Format::Logfmt, |_| {
        for _ in 0..1_000 {
            tracing::warn!(free = 5, "disk nearly full");
        }
        tracing::warn!(free = 6, "disk nearly full");
        for _ in 0..3 {
            tracing::info!("not a warning");
        }
    });
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[test]
fn what_was_left_out_is_said_when_the_time_has_passed() {
    let lines = Lines { format: Format::Logfmt, colour: false, sink: Arc::new(|_| ()), repeats: Mutex::default() };
    let event = Collect { message: "m".into(), fields: vec![] };
    assert_eq!(lines.admit(Level::WARN, "t", &event), Some(0));
    assert_eq!(lines.admit(Level::WARN, "t", &event), None);
    assert_eq!(lines.admit(Level::WARN, "t", &event), None);
    if let Some(past) = Instant::now().checked_sub(REPEAT_AFTER) {
        lines.repeats.lock().values_mut().for_each(|repeat| repeat.since = past);
        assert_eq!(lines.admit(Level::WARN, "t", &event), Some(2));
    }
    for at in 0..2 * REPEATS_MAX {
        lines.admit(Level::WARN, "t", &Collect { message: at.to_string(), fields: vec![] });
    }
    assert_eq!(lines.repeats.lock().len(), REPEATS_MAX);
}

/// F44: known secrets, offered under every name and in every format, are nowhere in what was written.
#[test]
fn secrets_never_reach_a_line() {
    let secret = "Zm9yLXlvdXItZXllcy1vbmx5";
    let jwk = format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\",\"d\":\"{secret}\"}}");
    for format in [Format::Pretty, Format::Json, Format::Logfmt] {
        let text = written("trace", format, |_| {
            tracing::info!(seed = secret, password = ?secret, Token = secret, "start");
            tracing::info!(wallet = %jwk, "loaded");
            tracing::info!("loaded {jwk:?}");
            tracing::error!(header = format!("Bearer {secret}"), "refused");
            tracing::debug!(body = secret.as_bytes(), data = secret, "sent");
            let span = tracing::info_span!("admin", authorization = secret);
            span.in_scope(|| tracing::info!("in a span"));
            tracing::trace!(error = &std::io::Error::other(jwk.clone()) as &dyn std::error::Error, "failed");
        });
        assert!(!text.contains(secret) && !text.contains(&secret[4..20]), "{text}");
        assert!(text.contains(redact::MARK), "{text}");
    }
}

#[test]
fn long_values_are_cut() {
    let text = written("info", Format::Logfmt, |_| tracing::info!(reason = "é".repeat(10_000), "x"));
    assert!(text.len() < 3_000 && text.contains("(20000 bytes)"), "{}", text.len());
}

#[test]
fn ids_are_short_for_people_and_whole_for_programs() {
    assert_eq!(shortened(&format!("to {ID}, é {ID}x")), format!("to fcoN_x…, é {ID}x"));
    let json = written("info", Format::Json, |_| tracing::info!(process = ID, "x"));
    assert!(json.contains(ID));
}

#[test]
fn times_are_rfc3339() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (1_795_354_614, "2026-11-22T13:36:54.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
    }
}
