//! Keys, the genesis ceremony and slashing protection at the surface.

use std::path::Path;

use ao_consensus::bls::Bls;
use ao_consensus::protection::{ChainRow, Guard, Protection as _};
use ao_consensus::scheme::verify_possession;
use ao_types::{Address, Chain, FrameId, Id};

use super::*;
use crate::datadir::Layout;
use crate::member::{self, Member};
use crate::protection::DurableProtection;

impl Home {
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn layout(&self) -> Layout {
        Layout::new(self.0.path().join("data"))
    }
}

/// One operator's directory with an attestor's key, and the key.
fn operator() -> (Home, String) {
    let home = Home::new();
    home.json(&["init", "--network", "mynet"]);
    let key = home.json(&["keys", "new", "--type", "bls"])["address"].as_str().unwrap().to_owned();
    (home, key)
}

/// A genesis of these operators, in the first one's folder.
fn ceremony(operators: &[&Home]) -> (String, String) {
    let file = operators[0].path("genesis.json");
    operators[0].json(&["genesis", "new", "mynet", "--dev", "--file", &file]);
    let mut handed_in = Vec::new();
    for home in operators {
        let out = home.path("validator.json");
        home.json(&["genesis", "add-validator", &file, "--stake", "100", "--out", &out]);
        handed_in.push(out);
    }
    let all: Vec<&str> = ["genesis", "collect", &file].into_iter().chain(handed_in.iter().map(String::as_str)).collect();
    let hash = operators[0].json(&all)["genesis_hash"].as_str().unwrap().to_owned();
    (file, hash)
}

#[test]
fn attestors_keys_are_made_listed_and_proved() {
    let (home, key) = operator();
    let row = home.json(&["keys", "show", &key, "--chain-id", "mynet-1"]);
    assert_eq!((row["type"].as_str(), row["unattended"].as_bool()), (Some("bls"), Some(true)));
    let pop = row["pop"].as_str().unwrap().parse().unwrap();
    assert!(verify_possession(&Bls, &key.parse().unwrap(), &pop, "mynet-1"));
    assert!(!verify_possession(&Bls, &key.parse().unwrap(), &pop, "mynet-2"));
    let wallet = home.json(&["keys", "list"])["items"][0]["address"].as_str().unwrap().to_owned();
    assert_eq!(home.run(&["keys", "show", &wallet, "--chain-id", "mynet-1"]).0, Exit::Usage);
    let node = home.json(&["keys", "new", "--type", "node"])["address"].as_str().unwrap().to_owned();
    assert_eq!(home.json(&["keys", "new", "--type", "node"])["address"], node.as_str(), "there is one, and it stays");
    assert!(node.starts_with("12D3KooW"), "{node}");
}

#[test]
fn a_password_of_the_operators_own_is_needed_every_time() {
    let home = Home::new();
    home.json(&["init", "--network", "mynet"]);
    let (good, bad) = (home.path("good"), home.path("bad"));
    for (path, text) in [(&good, "correct horse\n"), (&bad, "battery staple")] {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let key = home.json(&["keys", "new", "--type", "bls", "--password-file", &good]);
    let prove = |more: &[&str]| home.run(&[&["keys", "show", key["address"].as_str().unwrap(), "--chain-id", "a"], more].concat());
    assert_eq!(key["unattended"], false);
    assert_eq!(prove(&["--password-file", &good]).0, Exit::Ok);
    for wrong in [&["--password-file", &bad][..], &[]] {
        let (exit, _, err) = prove(wrong);
        assert_eq!(exit, Exit::Config);
        assert!(err.contains("--password-file") && !err.contains("battery"), "{err}");
    }
    std::fs::set_permissions(&good, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(prove(&["--password-file", &good]).0, Exit::Config, "others could read it");
}

#[test]
fn the_ceremony_ends_with_one_hash_that_everybody_starts_with() {
    let (one, two) = (operator(), operator());
    let (file, hash) = ceremony(&[&one.0, &two.0]);
    assert_eq!(two.0.run(&["genesis", "hash", &file]).1.trim(), hash);
    assert_eq!(two.0.json(&["genesis", "show", &file])["total_stake"], "200");
    // The same files again change nothing; another name in them breaks the proof.
    let handed_in = two.0.path("validator.json");
    assert_eq!(one.0.json(&["genesis", "collect", &file, &handed_in])["genesis_hash"], hash.as_str());
    let mut forged: Value = serde_json::from_str(&std::fs::read_to_string(&handed_in).unwrap()).unwrap();
    forged["pubkey"] = one.1.as_str().into();
    std::fs::write(&handed_in, forged.to_string()).unwrap();
    assert_eq!(one.0.run(&["genesis", "collect", &file, &handed_in]).0, Exit::Verification);

    for (home, key) in [&one, &two] {
        let (exit, _, err) = home.run(&["init", "--force", "--genesis", &file, "--genesis-hash", &"0".repeat(64)]);
        assert_eq!(exit, Exit::Precondition, "{err}");
        assert_eq!(home.json(&["init", "--force", "--genesis", &file, "--genesis-hash", &hash])["genesis_hash"], hash.as_str());
        let member = Member::open(&home.layout(), None).unwrap().expect("it is bound to a network");
        assert_eq!(member.network.to_string(), hash);
        let attestor = member.attestor.expect("its key is in the genesis");
        assert_eq!(ao_consensus::SecretKey::public(&*attestor.secret).to_string(), *key);
        // While it signs, neither a second process nor an operator gets at its protection.
        assert!(matches!(Member::open(&home.layout(), None), Err(member::Error::Claimed { .. })));
        let (exit, _, err) = home.run(&["slashing", "show"]);
        assert_eq!(exit, Exit::Precondition, "{err}");
    }
    // The file must stay what was pinned.
    let pinned = one.0.layout().genesis();
    let text = std::fs::read_to_string(&pinned).unwrap();
    std::fs::write(&pinned, text.replace("\"100\"", "\"101\"")).unwrap();
    let (exit, _, err) = one.0.run(&["start"]);
    assert_eq!(exit, Exit::Precondition, "{err}");
    assert!(err.contains("is bound to the genesis"), "{err}");
}

#[test]
fn drafts_are_checked_as_they_grow() {
    let home = Home::new();
    let file = home.path("genesis.json");
    assert_eq!(home.run(&["genesis", "new", "My Net", "--file", &file]).0, Exit::Config);
    home.json(&["genesis", "new", "mynet", "--file", &file]);
    assert_eq!(home.run(&["genesis", "new", "mynet", "--file", &file]).0, Exit::Precondition, "it is there already");
    assert_eq!(home.run(&["genesis", "hash", &file]).0, Exit::Config, "it has no validators");
    assert_eq!(home.run(&["genesis", "add-account", &file, "nobody", "5"]).0, Exit::Usage);
    let address = Address::Arweave(Id([7; 32])).to_string();
    home.json(&["genesis", "add-account", &file, &address, "340282366920938463463374607431768211455"]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("\"{address}\": \"340282366920938463463374607431768211455\"")), "{text}");
}

#[test]
fn histories_move_between_machines_and_unknown_keys_sign_nothing() {
    let (one, two) = (operator(), operator());
    let (file, _) = ceremony(&[&one.0, &two.0]);
    for (home, _) in [&one, &two] {
        home.json(&["init", "--force", "--genesis", &file]);
    }
    let key = one.1.parse().unwrap();
    let chain = Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 0 };
    let row = |sequence| {
        Guard::Chain(ChainRow { key, chain, last: Some((sequence, FrameId([sequence as u8; 32]))), sealed: false, signature: None })
    };
    let open = |home: &Home| DurableProtection::open(&home.layout().slashing(), None).unwrap();
    open(&one.0).record(&[row(5)]).unwrap();

    // The key moves to a machine that knows nothing of it.
    for folder in ["keys/bls", "secrets"] {
        for entry in std::fs::read_dir(one.0.0.path().join("data").join(folder)).unwrap().flatten() {
            std::fs::copy(entry.path(), two.0.0.path().join("data").join(folder).join(entry.file_name())).unwrap();
        }
    }
    std::fs::remove_file(Path::new(&two.0.path("data/keys/bls")).join(format!("{}.json", two.1))).unwrap();
    let (exit, _, err) = two.0.run(&["start"]);
    assert_eq!(exit, Exit::SigningSafety, "{err}");
    assert!(err.contains("aonode slashing import"), "{err}");

    let history = one.0.path("history.json");
    one.0.json(&["slashing", "export", &history]);
    assert_eq!(two.0.json(&["slashing", "import", &history])["rows"], 1);
    assert!(open(&two.0).record(&[row(4)]).is_err(), "what was signed there binds here");
    open(&two.0).record(&[row(6)]).unwrap();
    let shown = two.0.json(&["slashing", "show", &one.1]);
    assert_eq!((shown["items"][0]["height"].as_u64(), shown["items"].as_array().unwrap().len()), (Some(6), 1));
    assert_eq!(two.0.json(&["slashing", "prune"])["pruned"], 0);
    assert_eq!(two.0.json(&["slashing", "init", "--i-understand"])["initialised"], serde_json::json!([]), "it is known already");
    assert_eq!(two.0.run(&["slashing", "init"]).0, Exit::Usage);

    let (third, _) = operator();
    assert_eq!(third.run(&["slashing", "import", &history]).0, Exit::Precondition, "a history is of one network");
}

/// A scheduler that signed two headers for one place is convicted by a file and the genesis alone, and nothing else convicts.
#[test]
fn evidence_is_verified_offline() {
    use ao_consensus::{Body, ChainTip, Draft, Evidence, SignedHeader, Timestamp};
    use ao_types::{Canonical as _, Signer as _};
    let (home, _) = operator();
    let (file, hash) = ceremony(&[&home]);
    let scheduler = crate::keys::Keys::new(home.layout()).with_role(crate::keys::Role::Scheduler).unwrap();
    let header = |timestamp_ms| {
        let tip = ChainTip::opened(Chain { scheduler: scheduler.address(), tenure: 0 });
        let draft = Draft::alone(hash.parse().unwrap(), Body::default(), Timestamp(timestamp_ms), (0, [0; 48]));
        let built = tip.build(draft).unwrap();
        SignedHeader::sign(built.frame.header, &scheduler).unwrap().to_raw().unwrap()
    };
    let write = |name: &str, evidence: &Evidence| {
        let path = home.path(name);
        std::fs::write(&path, evidence.encode()).unwrap();
        path
    };
    let fault = write("fault", &Evidence::TwoHeaders(Box::new((header(1), header(2)))));
    let same = write("same", &Evidence::TwoHeaders(Box::new((header(1), header(1)))));
    let convicted = home.json(&["evidence", "verify", &fault, "--genesis", &file]);
    assert_eq!((&convicted["role"], &convicted["kind"]), (&"scheduler".into(), &"two-headers".into()));
    assert_eq!(home.run(&["evidence", "verify", &same, "--genesis", &file]).0, Exit::Verification);
    std::fs::write(home.path("noise"), b"noise").unwrap();
    assert_eq!(home.run(&["evidence", "show", &home.path("noise")]).0, Exit::Verification);
    assert_eq!(home.json(&["evidence", "show", &fault])["id"], convicted["id"]);
}

/// The proof of a slot is checked against the genesis that the user means, by file, by hash, or by the data directory.
#[test]
fn slots_are_proved_offline() {
    use std::sync::Arc;
    let operators: Vec<_> = (0..4).map(|_| operator()).collect();
    let (file, hash) = ceremony(&operators.iter().map(|(home, _)| home).collect::<Vec<_>>());
    let home = &operators[0].0;
    let secrets = operators[..3].iter().map(|(home, key)| {
        let secret = crate::keys::Keys::new(home.layout()).load_bls(&key.parse().unwrap(), None).unwrap();
        Arc::new(secret) as Arc<dyn ao_consensus::SecretKey>
    });
    let (genesis, network) = crate::cli::genesis::read(Path::new(&file)).unwrap();
    let rosters = crate::cli::verify::proof::rosters(&genesis, network).unwrap();
    let scheduler = genesis.validators[0].operator;
    let proof = crate::proofs::tests::made(&rosters, scheduler, &secrets.collect::<Vec<_>>());
    let canonical = String::from_utf8(genesis.canonical().unwrap()).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(home.path(name), text).unwrap();
        home.path(name)
    };
    let whole = write("whole", &crate::proofs::render(&proof, Some(&canonical)).unwrap());
    let bare = write("bare", &crate::proofs::render(&proof, None).unwrap());
    for arguments in [&[&*whole, "--genesis", &file][..], &[&*bare, "--genesis", &file], &[&*whole, "--genesis-hash", &hash]] {
        let verified = home.json(&[&["verify"], arguments].concat());
        let said = verified["findings"].as_array().unwrap().iter().map(|finding| finding["what"].as_str().unwrap()).collect::<String>();
        assert!(said.contains("slot 7 of process") && said.contains("300 of 400 stake"), "{said}");
    }
    // Which network is meant is the user's to say.
    assert_eq!(home.run(&["verify", &whole]).0, Exit::Usage);
    assert_eq!(Home::new().run(&["verify", &whole]).0, Exit::Usage, "not even a data directory");
    assert_eq!(home.run(&["verify", &bare, "--genesis-hash", &hash]).0, Exit::Usage, "nothing to compare the hash with");
    assert_eq!(home.run(&["verify", &whole, "--genesis-hash", &"0".repeat(64)]).0, Exit::Verification);
    let (other, _) = ceremony(&[&operators[1].0]);
    assert_eq!(home.run(&["verify", &whole, "--genesis", &other]).0, Exit::Verification);
    home.json(&["init", "--force", "--genesis", &file, "--genesis-hash", &hash]);
    home.json(&["verify", &whole]);
    let text = std::fs::read_to_string(&whole).unwrap();
    let forged = write("forged", &text.replace("\"slot\":7", "\"slot\":8"));
    let (exit, out, _) = home.run(&["verify", &forged, "--genesis", &file]);
    assert!(exit == Exit::Verification && out.contains("`slot` is not what the proof says"), "{out}");
}

#[test]
fn engines_are_listed_and_new_ones_begun() {
    let home = Home::new();
    let list = home.json(&["consensus", "list"]);
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|engine| engine["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["attest", "bft", "solo"]);
    assert_eq!(home.json(&["consensus", "describe", "solo"])["alone"], true);
    assert_eq!(home.run(&["consensus", "describe", "nobody-knows"]).0, Exit::NotFound);
    let (out, here) = (home.path("ao-mine"), concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let new = |name: &str| home.run(&["consensus", "new", name, "--out", &out, "--repository", here]).0;
    assert_eq!([new("solo"), new("No"), new("../up")], [Exit::Usage; 3]);
    assert_eq!(new("mine"), Exit::Ok);
    assert_eq!(new("mine"), Exit::Precondition);
    assert!(std::fs::read_to_string(Path::new(&out).join("src/lib.rs")).unwrap().contains("\"mine\""));
    assert_eq!(home.run(&["consensus", "new", "mine", "--out", &home.path("b"), "--repository", &home.path("")]).0, Exit::NotFound);
}

#[test]
fn a_file_says_who_is_in_a_network_and_what_happens_to_it() {
    let home = Home::new();
    let file = home.path("testnet.toml");
    std::fs::write(&file, "plugin = \"bft\"\n[node.n1]\nstake = 300\n[node.n3]\nsync = \"snapshot\"\n").unwrap();
    let out = home.path("net");
    let (exit, said, err) = home.run(&["--output", "json", "testnet", "generate", "--manifest", &file, "--port", "0", "--out", &out]);
    assert_eq!(exit, Exit::Ok, "{err}");
    let made: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((made["nodes"].as_array().unwrap().len(), &made["plugin"]), (3, &"bft".into()));
    let genesis: Value = serde_json::from_slice(&std::fs::read(format!("{out}/genesis.json")).unwrap()).unwrap();
    let stakes: Vec<_> = genesis["validators"].as_array().unwrap().iter().map(|one| one["stake"].to_string()).collect();
    assert!(stakes[0].contains("300") && stakes[1].contains("100"), "{stakes:?}");
    let mode = |node: &str| std::fs::read_to_string(format!("{out}/{node}/config.toml")).unwrap().contains("mode = \"snapshot\"");
    assert_eq!(["n1", "n2", "n3"].map(mode), [false, false, true]);
    let (exit, _, err) = home.run(&["testnet", "generate", "--manifest", &file, "--validators", "5", "--out", &home.path("other")]);
    assert_eq!(exit, Exit::Usage, "{err}");

    // A network that is there is not another one because a file says so.
    std::fs::write(&file, "plugin = \"bft\"\n[node.n4]\n").unwrap();
    let (exit, _, err) = home.run(&["devnet", "up", "--dir", &out, "--manifest", &file]);
    assert!(exit == Exit::Precondition && err.contains("has 3 nodes") && err.contains("asks for 4"), "{err}");

    let run = |text: &str, seeds: &[&str]| {
        std::fs::write(&file, text).unwrap();
        home.run(&[&["--output", "json", "sim", "run", "--manifest", &file], seeds].concat())
    };
    let happens = "seed = 5\nload = { rate = 10, for = \"1s\" }\n[node.n2]\nperturb = [\"kill@300ms:400ms\"]\n";
    let (exit, said, err) = run(happens, &[]);
    assert_eq!(exit, Exit::Ok, "{err}");
    let ran: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&ran["seeds"], &ran["engine"], &ran["violations"]), (&1.into(), &"attest".into(), &serde_json::json!([])));
    let (exit, said, _) = run(&format!("{happens}[expect]\nfinalized_min = 100000\n"), &["--seeds", "3..5"]);
    assert_eq!(exit, Exit::Verification);
    assert!(said.contains("100000 are expected"), "{said}");
    let (exit, _, err) = run("[node.n2]\nperturb = [\"explode@1s\"]", &[]);
    assert!(exit == Exit::Usage && err.contains("explode@1s") && err.contains("testnet.toml"), "{err}");
}
