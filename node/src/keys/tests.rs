use std::os::unix::fs::PermissionsExt;

use super::*;

fn fresh() -> (tempfile::TempDir, Keys) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    let data = datadir::DataDir::create(&root, "local", "", false).unwrap();
    (dir, Keys::new(Layout::clone(&data)))
}

#[test]
fn wallets_are_made_listed_and_read_back() {
    let (_dir, keys) = fresh();
    let ed25519 = keys.create(Kind::Ed25519).unwrap();
    let ethereum = keys.create(Kind::Ethereum).unwrap();
    assert_eq!((ed25519.kind, ethereum.kind), ("ed25519", "ethereum"));
    let listed = keys.list().unwrap();
    assert_eq!(listed.len(), 2);
    for entry in &listed {
        let wallet = keys.load(&entry.address.to_string()).unwrap();
        assert_eq!(wallet.address(), entry.address);
        assert_eq!(std::fs::metadata(&entry.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&entry.path).unwrap().address(), entry.address, "by path");
    }
}

#[test]
fn roles_are_filled_once_and_can_be_moved() {
    let (_dir, keys) = fresh();
    assert!(matches!(keys.with_role(Role::Scheduler), Err(Error::NoRole { role: "scheduler", .. })));
    keys.fill_roles(Kind::Ed25519).unwrap();
    let scheduler = keys.with_role(Role::Scheduler).unwrap().address();
    keys.fill_roles(Kind::Ed25519).unwrap();
    assert_eq!(keys.with_role(Role::Scheduler).unwrap().address(), scheduler, "kept");
    assert_eq!(keys.list().unwrap().len(), 3, "three roles, three wallets");
    let other = keys.create(Kind::Ethereum).unwrap();
    keys.assign(Role::Scheduler, &other.address).unwrap();
    assert_eq!(keys.with_role(Role::Scheduler).unwrap().address(), other.address);
    let entry = keys.list().unwrap().into_iter().find(|entry| entry.address == other.address).unwrap();
    assert_eq!(entry.roles, [Role::Scheduler]);
}

#[test]
fn names_from_outside_never_become_paths() {
    let (dir, keys) = fresh();
    std::fs::write(dir.path().join("evil.json"), "{}").unwrap();
    for name in ["../../evil", "/etc/passwd", "", ".", "a".repeat(5_000).as_str(), &"A".repeat(43)] {
        assert!(matches!(keys.load(name), Err(Error::Unknown { .. })), "{name}");
    }
}

/// F44: a wallet others could have read is not used, and neither errors nor debug output carry the secret.
#[test]
fn open_and_damaged_files_are_refused_without_showing_them() {
    let (_dir, keys) = fresh();
    let entry = keys.create(Kind::Ed25519).unwrap();
    let text = std::fs::read_to_string(&entry.path).unwrap();
    let secret = serde_json::from_str::<serde_json::Value>(&text).unwrap()["d"].as_str().unwrap().to_owned();
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&entry.path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = read(&entry.path).unwrap_err();
        assert!(matches!(&error, Error::Directory(datadir::Error::TooOpen { .. })), "{error}");
    }
    std::fs::set_permissions(&entry.path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let wallet = read(&entry.path).unwrap();
    assert!(!format!("{wallet:?} {entry:?}").contains(&secret));
    for damaged in [format!("{{\"d\":\"{secret}\""), text.replace("OKP", "XXX"), text.replace(&secret, "AA"), String::new()] {
        std::fs::write(&entry.path, damaged).unwrap();
        let error = read(&entry.path).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&secret), "{error}");
        assert!(matches!(error, Error::Malformed { .. }));
    }
}
