//! The disk of one node is full: a file system of its own that ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use ao_testnet::network::Plan;
use ao_testnet::wait;

use super::world::WITHIN;
use super::{World, engines, full};

/// A node's data directory on a file system of so many bytes. Needs root.
struct Small(PathBuf);

impl Small {
    /// Moves a directory there; nothing, with the reason said, where that cannot be.
    fn hold(folder: &Path, size: &str) -> Option<Self> {
        let aside = folder.with_extension("aside");
        std::fs::rename(folder, &aside).unwrap();
        std::fs::create_dir(folder).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs", &folder.to_string_lossy()]);
        if let Err(error) = mounted {
            println!("skipped: no file system of its own: {error}");
            return None;
        }
        let small = Self(folder.to_owned());
        run("cp", &["-a", &format!("{}/.", aside.display()), &folder.to_string_lossy()]).unwrap();
        Some(small)
    }

    /// Takes up all room.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        let block = vec![7; 1 << 16];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.to_string_lossy()]).ok();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_silences_one_node_until_there_is_room() {
    if !full() {
        return;
    }
    for engine in engines() {
        let mut network = Plan::new(engine, 4).generate().await.unwrap();
        let folder = network.setup_mut(3).folder().to_owned();
        let Some(small) = Small::hold(&folder, "192m") else { return };
        network.start_all().await.unwrap();
        network.connected().await.unwrap();
        let clients = network.clients().unwrap();
        let mut world = World::of(network, clients).await;
        let load = world.load(&[0, 1, 2, 3]);
        world.more(20).await;
        small.fill();
        let ready = || async { Ok((!world.clients[3].get("/readyz").await?.status.is_success()).then_some(())) };
        wait::until("a node with a full disk is not ready", WITHIN, ready).await.unwrap();
        // Who hosts their process there is told so; the others go on.
        let refused = || async { Ok((!world.send(3, 0).await).then_some(())) };
        wait::until("it takes nothing", WITHIN, refused).await.unwrap();
        world.more(40).await;
        small.free();
        let ready = || async { Ok(world.clients[3].get("/readyz").await?.status.is_success().then_some(())) };
        wait::until("it is ready when there is room", WITHIN, ready).await.unwrap();
        let takes = || async { Ok(world.send(3, 0).await.then_some(())) };
        wait::until("it takes messages when there is room", WITHIN, takes).await.unwrap();
        load.end().await;
        world.check(&format!("{engine}: disk full")).await;
        world.network.stop_all().await.unwrap();
    }
}
