use super::*;

fn sources(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let flags = flags.iter().map(|(key, value)| ("--set".into(), (*key).into(), (*value).into())).collect();
    (dir, Sources { file: Some(path), env, flags, defaults: Vec::new() })
}

fn message(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let (_dir, sources) = sources(file, env, flags);
    sources.load().expect_err("should be refused").to_string()
}

#[test]
fn flag_beats_env_beats_file_beats_default() {
    let file = "# mine\n[compute]\nworkers = 1\ngas_max = 7\nmemory_max = \"64MiB\"\n";
    let env = [("AONODE_COMPUTE__WORKERS", "2"), ("AONODE_COMPUTE__GAS_MAX", "8"), ("AONODE_ENDPOINT", "not ours")];
    let (_dir, sources) = sources(file, &env, &[("compute.workers", "3")]);
    let loaded = sources.load().unwrap();
    assert_eq!(loaded.config.compute.workers, 3);
    assert_eq!(loaded.config.compute.gas_max, 8);
    assert_eq!(loaded.config.compute.memory_max, ByteSize(64 << 20));
    assert_eq!(loaded.config.chain, sections::Chain::default());
    assert_eq!(loaded.origin("compute.workers"), Origin::Flag("--set".into()));
    assert_eq!(loaded.origin("compute.gas_max"), Origin::Env("AONODE_COMPUTE__GAS_MAX".into()));
    assert!(loaded.origin("compute.memory_max").to_string().ends_with("config.toml:5"), "{}", loaded.origin("compute.memory_max"));
    assert_eq!(loaded.origin("chain.block_interval"), Origin::Default);
}

#[test]
fn defaults_of_a_command_lose_to_everything() {
    let (_dir, mut sources) = sources("[api]\nburst_s = 9\n", &[("AONODE_CHAIN__BLOCK_INTERVAL", "5s")], &[]);
    let defaults = [("api.burst_s", "1"), ("chain.block_interval", "1s"), ("network.name", "dev")];
    sources.defaults = defaults.map(|(key, value)| (key.into(), value.into())).to_vec();
    let loaded = sources.load().unwrap();
    assert_eq!((loaded.config.api.burst_s, loaded.config.chain.block_interval.to_string()), (9, "5s".to_owned()));
    assert_eq!((loaded.config.network.name.as_str(), loaded.origin("network.name")), ("dev", Origin::Default));
}

#[test]
fn unknown_keys_are_refused_with_the_one_that_was_meant() {
    for (file, env, expected) in [
        ("[api]\nlistn = \"127.0.0.1:1\"", None, ":2: unknown key `api.listn`; did you mean `api.listen`?"),
        ("[comptue]\nworkers = 1", None, "unknown key `comptue.workers`; did you mean `compute.workers`?"),
        ("[api]\nblock_interval = \"1s\"", None, "did you mean `chain.block_interval`?"),
        ("network = \"dev\"", None, "unknown key `network`; did you mean `[network]`?"),
        ("", Some(("AONODE_LOG__LEVLE", "info")), "env AONODE_LOG__LEVLE: unknown key `log.levle`; did you mean `log.level`?"),
        ("[zzz]\nqqqqqqqqq = 1", None, "unknown key `zzz.qqqqqqqqq`"),
    ] {
        let found = message(file, &env.into_iter().collect::<Vec<_>>(), &[]);
        assert!(found.contains(expected), "{found}");
    }
    assert!(!message("[zzz]\nqqqqqqqqq = 1", &[], &[]).contains("did you mean"));
}

#[test]
fn wrong_values_name_the_place_the_value_and_what_it_should_be() {
    for (file, flag, expected) in [
        ("[api]\nlisten = 7700", None, "config.toml:2: `api.listen` cannot be 7700"),
        ("[compute]\nmemory_max = \"lots\"", None, "`lots` is not a size like"),
        ("[compute]\nworkers = \"two\"", None, "`compute.workers` cannot be \"two\""),
        ("", Some(("chain.block_interval", "soon")), "`soon` is not a time like"),
        ("[api]\nlisten = \"0.0.0.0:7700\"", None, "Set api.allow_remote = true"),
        ("[admin]\nlisten = \"127.0.0.1:7700\"", None, "api.listen is the same"),
        ("[network]\nname = \"../etc\"", None, "a name has 1 to 32"),
        ("[p2p]\nlisten = [\"127.0.0.1:7710\"]", None, "`127.0.0.1:7710` is not an address such as /ip4/"),
        ("[p2p]\nstatic_peers = [\"/ip4/192.0.2.1/tcp/7710\"]", None, "does not end in /p2p/<peer id>"),
        ("[p2p]\nstatic_peers = \"x\"", None, "`p2p.static_peers` cannot be"),
        ("[log]\nlevel = \"loud\"", None, "`log.level` = loud"),
        ("[api\n", None, "is not TOML"),
    ] {
        let found = message(file, &[], &flag.into_iter().collect::<Vec<_>>());
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let found = message("[api]\nlistn = 1\n[log]\nformat = \"prose\"", &[("AONODE_COMPUTE__WORKERS", "-1")], &[]);
    assert_eq!(found.lines().count(), 3, "{found}");
}

#[test]
fn text_values_need_no_quotes() {
    let loaded = {
        let (_dir, sources) =
            sources("", &[("AONODE_API__LISTEN", "[::1]:9"), ("AONODE_STORAGE__RESERVE", "1GiB")], &[("network.name", "dev")]);
        sources.load().unwrap()
    };
    assert_eq!(loaded.config.api.listen.to_string(), "[::1]:9");
    assert_eq!(loaded.config.storage.reserve, ByteSize(1 << 30));
    assert_eq!(loaded.config.network.name, "dev");
}

/// What a dump says is what the node reads: the annotated default file is the default, and explains every key.
#[test]
fn the_annotated_dump_reads_back() {
    let text = annotated(&Config::default());
    let (_dir, sources) = sources(&text, &[], &[]);
    let loaded = sources.load().unwrap();
    assert_eq!(loaded.config, Config::default());
    for key in KEYS {
        assert!(matches!(loaded.origin(&key.path()), Origin::File(..)), "{} is missing from the dump", key.path());
        assert!(!key.doc.is_empty(), "{} is not explained", key.path());
    }
    assert_eq!(loaded.rows().len(), KEYS.len());
}

#[test]
fn a_missing_file_that_was_asked_for_is_an_error() {
    let sources = Sources { file: Some("/nonexistent/config.toml".into()), ..Sources::default() };
    assert!(matches!(sources.load(), Err(Error::Unreadable { .. })));
}

proptest::proptest! {
    #[test]
    fn hostile_files_are_refused_not_crashed_on(text in "[\\[\\]a-z_.=\"' \\n0-9\\PC]{0,200}") {
        let (_dir, sources) = sources(&text, &[], &[]);
        let _ = sources.load();
    }
}

#[test]
fn anchoring_that_cannot_work_is_refused_at_the_start() {
    for (file, expected) in [
        ("gateways = [\"arweave.example\"]", "a base URL is expected"),
        ("gateways = [\"ftp://arweave.example\"]", "a base URL is expected"),
        ("gateways = [\"https://arweave.example?a=b\"]", "a base URL is expected"),
        ("bundlers = [\"https://up.example\"]\nbundler_keys = [\"ROLK43TxmziSGUr_I51DrPU2iKOo_-7lriLBxi_eA7g\"]", "set arweave.gateways"),
        ("gateways = [\"https://a.example\"]\nbundlers = [\"https://up.example\"]", "no receipt of arweave.bundlers can be checked"),
        ("confirmations = 0", "at least 1"),
        ("look_every = \"0s\"", "without a pause"),
        ("spend_cap_per_day = \"1.5 AR\"", "an amount of AR"),
    ] {
        let found = message(&format!("[arweave]\n{file}\n"), &[], &[]);
        assert!(found.contains(expected) && found.contains("arweave."), "{found}");
    }
    let many: Vec<String> = (0..=ENDPOINTS_MAX).map(|at| format!("\"https://g{at}.example\"")).collect();
    assert!(message(&format!("[arweave]\ngateways = [{}]\n", many.join(",")), &[], &[]).contains("can be asked"));
    let flags = [("arweave.spend_cap_per_day", "0.5"), ("arweave.gateways", "[\"https://a.example/sub\"]")];
    let (_dir, sources) = sources("", &[], &flags);
    let arweave = sources.load().unwrap().config.arweave;
    assert_eq!((arweave.spend_cap_per_day, arweave.gateways.len()), (Ar(units::WINSTON / 2), 1));
}
