//! Unmodified `arweave` and `arbundles` from npm as judges: every case of `testnet/suites/weave`.

use ao_testnet::{say, suite};
use ao_weave::{Config, Weave};

/// So many at least: a suite that is not found passes nothing.
const CASES_MIN: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_libraries_post_read_back_and_verify() {
    let weave = Weave::start(Config::default()).await.unwrap();
    let outcome = suite::run("weave", &weave.url()).await.unwrap();
    say(format_args!("arweave 1.15.7 and arbundles 0.11.2 against the embedded chain: {outcome:?}"));
    assert_eq!((outcome.failed, outcome.skipped), (0, 0), "{outcome:?}");
    assert!(outcome.passed >= CASES_MIN, "{outcome:?}");
    weave.stop().await;
}
