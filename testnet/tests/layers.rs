//! The layers of the design hold: who may depend on what, and what the core may not even mention.
//!
//! Reads every `Cargo.toml` of the workspace and the sources of the core. What a tool can check is a test, not a remark in a review.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace").to_owned()
}

fn manifest(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Folder of each member of the workspace with its manifest.
fn members() -> BTreeMap<String, Table> {
    let workspace = manifest(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().expect("a workspace has members");
    members
        .iter()
        .map(|member| {
            let folder = member.as_str().expect("a member is a path");
            (folder.to_owned(), manifest(&root().join(folder).join("Cargo.toml")))
        })
        .collect()
}

/// Names of everything a manifest depends on, in any of the kinds, for any target.
fn dependencies(manifest: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    for table in tables {
        for kind in kinds {
            for (name, value) in table.get(*kind).and_then(Value::as_table).into_iter().flatten() {
                found.insert(name.clone());
                // `x = { package = "rocksdb" }` is a dependency on rocksdb, whatever it is called here
                if let Some(package) = value.get("package").and_then(Value::as_str) {
                    found.insert(package.to_owned());
                }
            }
        }
    }
    found
}

const EVERY_KIND: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Folders whose manifest names a dependency that starts so.
fn users(start: &str) -> BTreeSet<String> {
    let uses = |manifest: &Table| dependencies(manifest, &EVERY_KIND).iter().any(|name| name.starts_with(start));
    members().into_iter().filter(|(_, manifest)| uses(manifest)).map(|(folder, _)| folder).collect()
}

#[test]
fn every_member_is_looked_at() {
    let members = members();
    let folders = ["consensus/types", "consensus/core", "consensus/attest", "consensus/bft", "storage", "storage/arweave", "vm", "p2p"];
    for folder in folders.into_iter().chain(["node", "node/graphql", "testnet", "testnet/weave"]) {
        assert!(members.contains_key(folder), "{folder} is no member: {:?}", members.keys());
    }
    assert!(users("tokio").contains("node"), "the reader of manifests finds nothing");
}

#[test]
fn libp2p_is_said_in_p2p_only() {
    assert_eq!(users("libp2p"), BTreeSet::from(["p2p".to_owned()]));
    assert_eq!(users("prometheus-client"), BTreeSet::from(["p2p".to_owned()]));
}

#[test]
fn rocksdb_is_said_in_storage_only() {
    assert_eq!(users("rocksdb"), BTreeSet::from(["storage".to_owned()]));
    assert_eq!(users("librocksdb-sys"), BTreeSet::new());
}

#[test]
fn wasmtime_is_said_in_vm_only() {
    assert_eq!(users("wasmtime"), BTreeSet::from(["vm".to_owned()]));
}

#[test]
fn the_rounds_of_tendermint_are_said_in_bft_only_and_without_their_network() {
    for library in ["arc-malachitebft-core-consensus", "arc-malachitebft-core-types"] {
        assert_eq!(users(library), BTreeSet::from(["consensus/bft".to_owned()]));
    }
    for shell in ["arc-malachitebft-app-channel", "arc-malachitebft-engine", "arc-malachitebft-network", "arc-malachitebft-sync"] {
        assert_eq!(users(shell), BTreeSet::new());
    }
}

#[test]
fn types_have_no_runtime_and_no_disk() {
    let found = dependencies(&members()["consensus/types"], &["dependencies", "build-dependencies"]);
    for forbidden in ["tokio", "rocksdb", "libp2p", "wasmtime", "reqwest", "axum", "hyper"] {
        assert!(!found.iter().any(|name| name.starts_with(forbidden)), "consensus/types depends on {forbidden}");
    }
    assert!(!found.iter().any(|name| name.starts_with("ao-")), "consensus/types depends on a sibling: {found:?}");
}

#[test]
fn pillars_do_not_know_each_other() {
    let pillars =
        ["ao-consensus", "ao-attest", "ao-bft", "ao-storage", "ao-arweave", "ao-vm", "ao-p2p", "ao-weave", "aonode", "ao-testnet"];
    for (folder, manifest) in members() {
        if ["node", "testnet", "consensus/types"].contains(&folder.as_str()) {
            continue;
        }
        let own = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
        let found = dependencies(&manifest, &["dependencies", "build-dependencies"]);
        // an engine under consensus/ stands on the seam beside it
        let allowed = if folder.starts_with("consensus/") { "ao-consensus" } else { "" };
        let wrong: Vec<_> = pillars.iter().filter(|name| found.contains(**name) && **name != own && **name != allowed).collect();
        assert!(wrong.is_empty(), "{folder} knows {wrong:?}");
    }
}

/// The chain that others are tested against, and the words of gateways, must not stand on what they judge.
#[test]
fn the_embedded_chain_stands_on_the_words_alone() {
    let ours = |folder: &str| -> BTreeSet<String> {
        let found = dependencies(&members()[folder], &["dependencies", "build-dependencies"]);
        found.into_iter().filter(|name| name.starts_with("ao-") || name == "aonode").collect()
    };
    assert_eq!(ours("testnet/weave"), BTreeSet::from(["ao-graphql".to_owned(), "ao-types".to_owned()]));
    assert_eq!(ours("node/graphql"), BTreeSet::from(["ao-types".to_owned()]));
}

#[test]
fn nothing_below_the_node_knows_it() {
    let users: BTreeSet<_> = users("aonode").into_iter().filter(|folder| folder != "testnet").collect();
    assert_eq!(users, BTreeSet::new());
}

/// Every Rust file that is `name.rs` or below `name/`, without its tests.
fn sources(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![folder.join(format!("{name}.rs")), folder.join(name)];
    while let Some(path) = left.pop() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && stem != "tests" {
            left.extend(std::fs::read_dir(&path).expect("a folder can be listed").flatten().map(|entry| entry.path()));
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") && stem != "tests" {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file: no comments, nothing behind `#[cfg(test)]`, no text between quotes.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source can be read");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What decides may not know: the time of day, chance, other threads, the disk, the network.
const NOT_IN_THE_CORE: [&str; 17] = [
    "std::time::Instant",
    "Instant::now",
    "SystemTime",
    "std::thread",
    "std::fs",
    "std::net",
    "std::env",
    "std::io",
    "tokio",
    "rand::",
    "getrandom",
    "OsRng",
    "Mutex",
    "RwLock",
    ".await",
    "async fn",
    "ao_storage::Rocks",
];

#[test]
fn the_core_has_no_clock_no_runtime_no_disk_and_no_chance() {
    let files = sources(&root().join("node/src"), "core");
    assert!(files.iter().any(|file| file.ends_with("core.rs")), "the core is node/src/core.rs: {files:?}");
    assert!(files.len() > 3, "the stages of the walk are files of their own: {files:?}");
    // The conformance suite is behind a feature and no part of an engine: it may remember signatures over threads of tests.
    let seam = sources(&root().join("consensus"), "core").into_iter().filter(|file| !file.iter().any(|part| part == "contract"));
    // What the network shell decides, it decides without them as well.
    let network = ["items", "range", "spread", "sync"].map(|machine| sources(&root().join("node/src/network"), machine));
    assert!(network.iter().all(|files| !files.is_empty()), "{network:?}");
    // And what anchoring decides: all of that crate but the two parts that wait.
    let anchoring = ["pipeline", "flush", "duty", "compose", "records", "gateways", "backoff"]
        .map(|machine| sources(&root().join("storage/arweave/src"), machine));
    assert!(anchoring.iter().all(|files| !files.is_empty()), "{anchoring:?}");
    for file in files.into_iter().chain(seam).chain(network.into_iter().flatten()).chain(anchoring.into_iter().flatten()) {
        let code = code(&file);
        for word in NOT_IN_THE_CORE {
            assert!(!code.contains(word), "{} says {word}", file.display());
        }
    }
}

/// The list above finds what it forbids where that is allowed: in the shells.
#[test]
fn forbidden_words_are_found_where_they_are() {
    let shell: String = sources(&root().join("node/src"), "shell").iter().map(|file| code(file)).collect();
    for word in ["std::thread", "tokio"] {
        assert!(shell.contains(word), "no shell says {word}: the reader of sources finds nothing");
    }
}

/// A hash map's order differs from process to process: nothing that decides may walk one.
#[test]
fn the_core_walks_no_hash_map() {
    for file in sources(&root().join("node/src"), "core") {
        let code = code(&file);
        let maps: Vec<&str> = code.lines().filter(|line| line.contains("HashMap<") || line.contains("HashSet<")).collect();
        for line in maps {
            let Some(name) = line.trim().split(':').next().map(|name| name.trim_start_matches("pub ").trim_start_matches("pub(crate) "))
            else {
                continue;
            };
            for walk in ["iter()", "keys()", "values()", "drain()", "into_iter()", "iter_mut()", "values_mut()"] {
                assert!(!code.contains(&format!("{name}.{walk}")), "{} walks the hash map {name}", file.display());
            }
        }
    }
}

#[test]
fn only_storage_and_vm_and_the_rare_others_are_unsafe() {
    for member in ["consensus/types", "consensus/core"] {
        for file in sources(&root().join(member), "src") {
            let code = code(&file);
            let binding = member == "consensus/types" && file.to_string_lossy().contains("signature/");
            assert!(binding || !code.contains("unsafe "), "{} is unsafe", file.display());
        }
    }
}

#[test]
fn lock_files_name_no_private_registry() {
    let lock = std::fs::read_to_string(root().join("testnet/suites/package-lock.json")).expect("the suites have a lock file");
    for line in lock.lines().filter(|line| line.contains("\"resolved\"")) {
        assert!(line.contains("https://registry.npmjs.org/"), "{line}");
    }
    let cargo = std::fs::read_to_string(root().join("Cargo.lock")).expect("the workspace has a lock file");
    for line in cargo.lines().filter(|line| line.starts_with("source = ")) {
        assert_eq!(line, "source = \"registry+https://github.com/rust-lang/crates.io-index\"");
    }
}
