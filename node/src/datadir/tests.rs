use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    (dir, root)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn create_then_open() {
    let (_dir, root) = fresh();
    let made = DataDir::create(&root, "local", "# config\n", false).unwrap();
    let token = made.admin_token().unwrap();
    assert_eq!(token.len(), 64);
    drop(made);
    let opened = DataDir::open(&root, "local").unwrap();
    assert_eq!(opened.admin_token().unwrap(), token, "kept");
    fs::remove_file(opened.token()).unwrap();
    assert_ne!(opened.admin_token().unwrap(), token, "made anew");
    for (path, mode) in [(opened.root().to_owned(), 0o700), (opened.wallets(), 0o700), (opened.config(), 0o600), (opened.token(), 0o600)] {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{}", path.display());
    }
}

#[test]
fn create_refuses_what_is_there_and_force_overwrites_nothing() {
    let (_dir, root) = fresh();
    drop(DataDir::create(&root, "local", "first\n", false).unwrap());
    assert!(matches!(DataDir::create(&root, "local", "second\n", false), Err(Error::AlreadyInitialised { .. })));
    fs::remove_dir_all(root.join("modules")).unwrap();
    let again = DataDir::create(&root, "local", "second\n", true).unwrap();
    assert_eq!(fs::read_to_string(again.config()).unwrap(), "first\n");
    assert!(again.modules().is_dir());
}

#[test]
fn one_node_at_a_time() {
    let (_dir, root) = fresh();
    let held = DataDir::create(&root, "local", "", false).unwrap();
    match DataDir::open(&root, "local") {
        Err(Error::Locked { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    drop(held);
    DataDir::open(&root, "local").unwrap();
}

#[test]
fn other_networks_newer_layouts_and_strangers_are_refused() {
    let (_dir, root) = fresh();
    assert!(matches!(DataDir::open(&root, "local"), Err(Error::NotInitialised { .. })));
    drop(DataDir::create(&root, "local", "", false).unwrap());
    assert!(matches!(DataDir::open(&root, "other"), Err(Error::WrongNetwork { found, .. }) if found == "local"));
    let layout = Layout::new(&root);
    write_json(&layout.version(), &Version { schema: SCHEMA + 1, created_by: "9.9.9".into() }).unwrap();
    let error = DataDir::open(&root, "local").unwrap_err();
    assert!(matches!(&error, Error::TooNew { found, .. } if *found == SCHEMA + 1), "{error}");
    assert!(error.to_string().contains("9.9.9"), "names the version that can read it: {error}");
    fs::write(layout.version(), "{").unwrap();
    assert!(matches!(DataDir::open(&root, "local"), Err(Error::Damaged { .. })));
    fs::write(layout.version(), vec![b' '; 70_000]).unwrap();
    assert!(matches!(DataDir::open(&root, "local"), Err(Error::Damaged { .. })));
}

/// F44: every mode of every secret. Exactly those that let nobody else in are accepted, and no other.
#[test]
fn permission_matrix() {
    let (_dir, root) = fresh();
    let data = DataDir::create(&root, "local", "", false).unwrap();
    data.admin_token().unwrap();
    let layout = data.layout.clone();
    drop(data);
    let wallet = layout.wallets().join("w.json");
    write_atomic(&wallet, b"{}", 0o600).unwrap();
    let folders = [layout.root().to_owned(), layout.root().join("keys"), layout.wallets()];
    let files = [layout.token(), wallet];
    for (paths, good) in [(&folders[..], 0o700), (&files[..], 0o600)] {
        for path in paths {
            for extra in 0..0o100 {
                set_mode(path, good | extra);
                match (layout.check_permissions(), extra) {
                    (Ok(()), 0) => {}
                    (Err(Error::TooOpen { path: found, found: mode, wanted }), 1..) => {
                        assert_eq!((&found, mode, wanted), (path, good | extra, good));
                    }
                    (other, _) => panic!("{} {:o}: {other:?}", path.display(), good | extra),
                }
            }
            set_mode(path, good);
        }
    }
    // Stricter is fine, and what is not secret may be read.
    set_mode(&layout.token(), 0o400);
    set_mode(&layout.config(), 0o644);
    DataDir::open(&root, "local").unwrap();
}

#[test]
fn writes_happen_whole_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_atomic(&path, b"old", 0o600).unwrap();
    write_atomic(&path, b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(write_atomic(&dir.path().join("missing/file"), b"x", 0o600).is_err());
    fs::create_dir(dir.path().join("folder")).unwrap();
    assert!(write_atomic(&dir.path().join("folder"), b"x", 0o600).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn half_written_files_are_removed_on_open() {
    let (_dir, root) = fresh();
    let data = DataDir::create(&root, "local", "", false).unwrap();
    fs::write(data.tmp().join("half"), "x").unwrap();
    drop(data);
    let data = DataDir::open(&root, "local").unwrap();
    assert_eq!(fs::read_dir(data.tmp()).unwrap().count(), 0);
}

#[test]
fn data_of_a_node_by_itself_are_bound_to_no_network() {
    let (_dir, root) = fresh();
    let data = DataDir::create(&root, "mynet", "", false).unwrap();
    assert_eq!(data.pinned_genesis().unwrap(), None);
    let genesis = |name: &str| {
        crate::cli::genesis::begin(&crate::cli::args::GenesisNew {
            name: name.into(),
            chain_id: None,
            plugin: "solo".into(),
            epoch_len: 10,
            dev: true,
            file: PathBuf::new(),
        })
    };
    assert!(matches!(data.pin_genesis(&genesis("other")), Err(Error::WrongNetwork { .. })));
    fs::write(data.db().join("CURRENT"), "").unwrap();
    assert!(matches!(data.pin_genesis(&genesis("mynet")), Err(Error::UsedAlone { .. })));
    fs::remove_file(data.db().join("CURRENT")).unwrap();
    let pinned = data.pin_genesis(&genesis("mynet")).unwrap();
    assert!(matches!(data.pin_genesis(&genesis("other")), Err(Error::WrongGenesis { pinned: found, .. }) if found == pinned));
    assert_eq!(data.genesis(), root.join("genesis.json"));
}
