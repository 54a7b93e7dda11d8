//! Unmodified `@permaweb/aoconnect` 0.0.98 from npm against a running node: every case of `suites/aoconnect`.
//!
//! `AO_NODE=http://…` runs the same cases against another node; `AO_ONLY=cron,push` runs some of the files.

use ao_testnet::{node::Setup, say, suite};

/// The acceptance list asks for at least so many.
const CASES_MIN: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_aoconnect_works() {
    let folder = tempfile::tempdir().unwrap();
    let own = match std::env::var("AO_NODE") {
        Ok(_) => None,
        Err(_) => Some(Setup::new(folder.path().join("data")).start().await.unwrap()),
    };
    let base = own.as_ref().map_or_else(|| std::env::var("AO_NODE").unwrap(), |node| node.base().to_owned());
    let started = std::time::Instant::now();
    let outcome = suite::run("aoconnect", &base).await.unwrap();
    say(format_args!("aoconnect 0.0.98 against {base}: {outcome:?} in {:.1} s", started.elapsed().as_secs_f64()));
    if let Some(mut node) = own {
        node.alive().unwrap();
        if outcome.failed > 0 {
            say(format_args!("the node's last lines:\n{}", node.log().tail(40)));
        }
        let (_, status, log) = node.stop().await.unwrap();
        assert!(status.success() || status.code() == Some(143), "the node ended with {status}:\n{log}");
        assert!(!log.contains("panicked"), "something panicked:\n{log}");
    }
    assert_eq!(outcome.failed, 0, "{outcome:?}");
    assert_eq!(outcome.skipped, 0, "{outcome:?}");
    if std::env::var_os("AO_ONLY").is_none() {
        assert!(outcome.passed >= CASES_MIN, "{outcome:?}");
    }
}
