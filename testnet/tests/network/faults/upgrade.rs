//! F50: nodes are replaced one after another while clients go on, and a directory of a newer version is not touched.

use super::world::WITHIN;
use super::{World, engines, full};

/// Exit code of operations.md §1: a precondition does not hold.
const PRECONDITION: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_keeps_the_quorum() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut world = World::new(engine).await;
        let load = world.load(&[0, 1, 2, 3]);
        for at in 0..4 {
            world.network.stop(at).await.unwrap();
            let other = (at + 1) % 4;
            assert!(world.confirms_within(other, other, WITHIN).await, "{engine}: without n{}", at + 1);
            world.network.start(at).await.unwrap();
            world.network.connected().await.unwrap();
            world.more(10).await;
        }
        load.end().await;
        world.check(&format!("{engine}: each node replaced in turn")).await;

        // What a newer version wrote is left alone, and the version that can read it is named.
        world.network.stop(3).await.unwrap();
        let version = world.network.setup_mut(3).folder().join("VERSION");
        let ours = std::fs::read_to_string(&version).unwrap();
        let mut newer: serde_json::Value = serde_json::from_str(&ours).unwrap();
        newer["schema"] = 999.into();
        newer["created_by"] = "99.1.0".into();
        std::fs::write(&version, newer.to_string()).unwrap();
        let (status, log) = world.network.setup_mut(3).start_refused().await.unwrap();
        assert_eq!(status.code(), Some(PRECONDITION), "{log}");
        assert!(log.contains("99.1.0"), "{log}");
        std::fs::write(&version, ours).unwrap();
        world.network.start(3).await.unwrap();
        world.check(&format!("{engine}: a directory of a newer version")).await;
        world.network.stop_all().await.unwrap();
    }
}
