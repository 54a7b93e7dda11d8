//! What a host cannot do is no result (F32), and what an older binary left in the cache of compiled modules is not run (F31).

use std::fs;
use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::Setup;
use ao_testnet::{say, wait};

const LOOP: &str = "while true do end";

/// The wall clock ends an evaluation: nothing is stored, its reader is told, others go on; with the guard as shipped the same message has
/// the result that it has everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_that_the_clock_ends_is_not_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path().join("data")).config("compute.workers", 2);
    let owner = Person::named("owner");
    let node = setup.start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let slow = client.spawn(&owner, None, &[("Compute-Limit", "20000000000")], " ").await.unwrap();
    let other = client.spawn(&owner, None, &[], " ").await.unwrap();
    client.eval(&owner, slow, "Kept = 'safe'").await.unwrap();
    client.eval(&owner, other, "N = 0").await.unwrap();
    let _ = node.stop().await.unwrap();

    let hasty = setup.clone().config("compute.wall_guard", "100ms").start().await.unwrap();
    let client = Client::new(hasty.base()).unwrap();
    let endless = owner.eval(slow, LOOP);
    client.send(&endless).await.unwrap();
    let refused = client.get(&format!("/result/{}?process-id={slow}", endless.id)).await.unwrap();
    assert!(!refused.status.is_success(), "{}", refused.text());
    assert!(refused.json["error"].as_str().is_some_and(|text| !text.is_empty()), "{}", refused.text());
    hasty.log().wait_for(|line| line.contains("\"not_evaluated\"") && line.contains(&slow.to_string())).await.unwrap();
    for n in 1..=3 {
        assert_eq!(client.eval(&owner, other, "N = N + 1 return N").await.unwrap(), n.to_string());
    }
    let results = client.get(&format!("/results/{slow}?sort=DESC&limit=1")).await.unwrap();
    let newest = &results.json["edges"][0]["node"];
    assert!(newest["Error"].is_null() && !results.text().contains("interrupt"), "no result of it is stored: {}", results.text());
    let _ = hasty.stop().await.unwrap();

    // Where there is time, the message ends by its fuel, as everywhere. Its limit is far away: not waited for unless all is asked for.
    let node = setup.start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    assert_eq!(client.eval(&owner, other, "return N").await.unwrap(), "3");
    if ao_testnet::full() {
        assert!(client.result(slow, endless.id).await.unwrap()["Error"].as_str().unwrap().contains("fuel"));
        assert_eq!(client.eval(&owner, slow, "return Kept").await.unwrap(), "safe");
    }
    drop(node.kill().await.unwrap());
}

/// Compiled code of another engine or schedule, cut and changed files, files of nobody: deleted or left alone, never run, and the node
/// works as from an empty cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_cache_of_compiled_modules_is_swept_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path().join("data"));
    let owner = Person::named("owner");
    let node = setup.start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    client.eval(&owner, process, "N = 40").await.unwrap();
    let cache = node.folder().join("modules");
    let _ = node.stop().await.unwrap();

    let compiled = || -> Vec<_> {
        let files = fs::read_dir(&cache).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "aocode")).collect()
    };
    let [current] = &compiled()[..] else { panic!("one module is compiled: {:?}", compiled()) };
    let (name, bytes) = (current.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(current).unwrap());
    let (engine, rest) = name.split_once('-').unwrap();
    // An upgrade: another engine, the same engine with another schedule; and a file of somebody else.
    let stale = [format!("{}-{rest}", "0".repeat(engine.len())), format!("{engine}-999-{}", rest.split_once('-').unwrap().1)];
    for stale in &stale {
        fs::write(cache.join(stale), &bytes).unwrap();
    }
    fs::write(cache.join("notes.txt"), "not ours").unwrap();
    // Damage that a checksum finds: one byte of the code.
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(current, &damaged).unwrap();

    let node = setup.start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    assert_eq!(client.eval(&owner, process, "N = N + 2 return N").await.unwrap(), "42");
    for stale in &stale {
        assert!(!cache.join(stale).exists(), "{stale} is still there");
    }
    assert!(cache.join("notes.txt").exists());
    let replaced = || async { Ok(fs::read(current).is_ok_and(|now| now != damaged).then_some(())) };
    wait::until("a sound file in the place of the damaged one", Duration::from_secs(20), replaced).await.unwrap();
    let (_, status, log) = node.stop().await.unwrap();
    assert_eq!(status.code(), Some(143), "a clean end after SIGTERM: {log}");
    say(format_args!("{} stale files swept, one damaged file replaced", stale.len()));
}
