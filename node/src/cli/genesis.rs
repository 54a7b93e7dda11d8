//! `genesis`: the file that a network is, from its first line to the hash that operators compare (`operations.md` §6).
//!
//! Ceremony: one operator begins the file (`new`), each hands in a validator (`add-validator`), one collects them, all compare the hash
//! by another channel, and each starts with it.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ao_consensus::bls::Bls;
use ao_consensus::scheme::{check_genesis, prove_possession, verify_possession};
use ao_types::genesis::{Anchor, Consensus, GENESIS_VERSION, Limits, Staking, Validator};
use ao_types::limits::{GENESIS_BYTES_MAX, ITEM_BYTES_MAX};
use ao_types::{Address, Genesis, GenesisError, NetworkId, Signer as _, Stake};
use serde_json::{Value, json};

use super::args::{AddValidator, Genesis as Verb, GenesisNew};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{pairs, table};
use crate::datadir::{self, Layout};
use crate::keys::{Keys, Role, node};

/// `genesis`.
pub fn genesis(context: &mut Context<'_>, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::New(new) => {
            let genesis = begin(new);
            if new.file.exists() {
                return Err(Failure::new(Exit::Precondition, format!("{} is there already", new.file.display())).fix("name another --file"));
            }
            // Everything but its validators can be wrong already.
            lacks_only_validators(&genesis)?;
            write(&new.file, &genesis)?;
            let shown = Context::shown(&new.file);
            let record = json!({ "path": shown, "name": genesis.name, "chain_id": genesis.chain_id });
            context.printer.record("genesis-new/v1", record, || {
                format!("{}\nNext: every operator runs `aonode genesis add-validator {}`", shown.display(), new.file.display())
            })?;
        }
        Verb::AddAccount { file, address, amount } => {
            let mut genesis = draft(file)?;
            let address = Address::parse(address).map_err(|_| Failure::usage(format!("`{address}` is not an address")))?;
            genesis.accounts.insert(address.to_string(), Stake(*amount));
            write(file, &genesis)?;
            let record = json!({ "address": address, "amount": amount.to_string() });
            context.printer.record("genesis-account/v1", record, || format!("{address} begins with {amount}"))?;
        }
        Verb::AddValidator(add) => return add_validator(context, add),
        Verb::Collect { file, validators } => return collect(context, file, validators),
        Verb::Hash { file } => {
            let (genesis, hash) = read(file)?;
            let record = json!({ "genesis_hash": hash, "name": genesis.name });
            context.printer.record("genesis-hash/v1", record, || hash.to_string())?;
        }
        Verb::Show { file } => {
            let (genesis, hash) = match file {
                Some(file) => read(file)?,
                None => context.layout()?.pinned_genesis()?.ok_or_else(|| {
                    Failure::new(Exit::NotFound, "this data directory is not bound to a network").fix("name a genesis file")
                })?,
            };
            show(context, &genesis, hash)?;
        }
    }
    Ok(Exit::Ok)
}

/// A genesis without validators.
pub fn begin(new: &GenesisNew) -> Genesis {
    const MINUTE: u64 = 60_000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let staking = if new.dev {
        // Minutes instead of days: everything that happens by itself can be seen to happen.
        Staking {
            unbonding_period_ms: 10 * MINUTE,
            handover_window_ms: MINUTE,
            evidence_window_ms: 3 * MINUTE,
            trust_period_ms: 5 * MINUTE,
            liveness_min_ms: 5_000,
            ..Staking::default()
        }
    } else {
        Staking::default()
    };
    Genesis {
        version: GENESIS_VERSION,
        name: new.name.clone(),
        chain_id: new.chain_id.clone().unwrap_or_else(|| format!("{}-1", new.name)),
        time: now.as_millis() as u64,
        dev: new.dev,
        consensus: Consensus { plugin: new.plugin.clone(), params: Default::default(), epoch_len: new.epoch_len },
        staking,
        limits: Limits { fuel: 9_000_000_000_000, memory: 1 << 30, message_max: ITEM_BYTES_MAX as u64 },
        gas_schedule: 1,
        validators: Vec::new(),
        schedulers: Vec::new(),
        accounts: Default::default(),
        anchor: Anchor { tag: new.name.clone(), interval_ms: if new.dev { 2_000 } else { MINUTE }, confirmations: 20 },
        bootnodes: Vec::new(),
    }
}

fn lacks_only_validators(genesis: &Genesis) -> Result<(), Failure> {
    match genesis.check() {
        Ok(()) | Err(GenesisError::Committee(ao_types::CommitteeError::Members { found: 0, .. })) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads a genesis, checks it with every proof of possession, and hashes it.
pub fn read(file: &Path) -> Result<(Genesis, NetworkId), Failure> {
    checked(&bytes(file)?)
}

/// The same for bytes from anywhere.
pub fn checked(bytes: &[u8]) -> Result<(Genesis, NetworkId), Failure> {
    let genesis = Genesis::parse(bytes)?;
    let hash = check_genesis(&genesis, &Bls)?;
    Ok((genesis, hash))
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    Ok(datadir::read_at_most(file, GENESIS_BYTES_MAX as u64)?)
}

/// A genesis that may still lack validators.
fn draft(file: &Path) -> Result<Genesis, Failure> {
    let genesis: Genesis = serde_json::from_slice(&bytes(file)?).map_err(|error| GenesisError::Form { reason: error.to_string() })?;
    lacks_only_validators(&genesis)?;
    Ok(genesis)
}

/// Writes a genesis for people to read; what counts is its canonical form.
pub fn write(file: &Path, genesis: &Genesis) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(genesis).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    Ok(datadir::write_atomic(file, format!("{text}\n").as_bytes(), 0o644)?)
}

/// What the operator of a data directory hands in.
pub fn validator(
    layout: &Layout,
    chain_id: &str,
    (stake, key, addr): (u128, Option<ao_types::BlsKey>, &str),
    password: Option<&crate::keys::keystore::Password>,
) -> Result<Validator, Failure> {
    let keys = Keys::new(layout.clone());
    let known = keys.list_bls()?;
    let key = match (key, known.as_slice()) {
        (Some(key), _) => key,
        (None, [one]) => one.pubkey,
        (None, []) => {
            return Err(Failure::new(Exit::NotFound, "there is no attestor's key here").fix("make one with `aonode keys new --type bls`"));
        }
        (None, _) => return Err(Failure::usage("there are several attestors' keys here").fix("say which with --key")),
    };
    let secret = keys.load_bls(&key, password)?;
    Ok(Validator {
        pubkey: key,
        pop: prove_possession(&secret, chain_id),
        stake: Stake(stake),
        operator: keys.with_role(Role::Scheduler)?.address(),
        peer_id: node::peer_id(&*keys.node_seed()?),
        addr: addr.to_owned(),
    })
}

fn add_validator(context: &mut Context<'_>, add: &AddValidator) -> Result<Exit, Failure> {
    let layout = context.layout()?;
    layout.check_permissions()?;
    let genesis = draft(&add.file)?;
    let password = context.password(add.password_file.as_deref())?;
    let validator = validator(&layout, &genesis.chain_id, (add.stake, add.key, &add.addr), password.as_ref())?;
    let digits = validator.pubkey.to_string().chars().skip(2).take(8).collect::<String>();
    let out = add.out.clone().unwrap_or_else(|| PathBuf::from(format!("validator-{digits}.json")));
    let text = serde_json::to_string_pretty(&validator).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    datadir::write_atomic(&out, format!("{text}\n").as_bytes(), 0o644)?;
    let shown = Context::shown(&out);
    let mut record = json!(validator);
    record["path"] = json!(shown);
    context.printer.record("genesis-validator/v1", record, || {
        format!("{}\nNext: hand it to whoever runs `aonode genesis collect`", shown.display())
    })?;
    Ok(Exit::Ok)
}

fn collect(context: &mut Context<'_>, file: &Path, handed_in: &[PathBuf]) -> Result<Exit, Failure> {
    let mut genesis = draft(file)?;
    for path in handed_in {
        let wrong = |what: String| Failure::new(Exit::Verification, format!("{}: {what}", path.display()));
        let bytes = datadir::read_at_most(path, 64 << 10)?;
        let one: Validator = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if !verify_possession(&Bls, &one.pubkey, &one.pop, &genesis.chain_id) {
            return Err(wrong(format!("the proof of possession does not hold for chain id `{}`", genesis.chain_id)));
        }
        // The same file again changes nothing; another one of the same key is what the check below refuses.
        if !genesis.validators.contains(&one) {
            genesis.validators.push(one);
        }
    }
    let hash = check_genesis(&genesis, &Bls)?;
    write(file, &genesis)?;
    let count = genesis.validators.len();
    context.printer.record("genesis-collect/v1", json!({ "validators": count, "genesis_hash": hash }), || {
        format!("{count} validators\n{hash}\nNext: every operator compares these digits, then `aonode init --genesis {}`", file.display())
    })?;
    Ok(Exit::Ok)
}

fn show(context: &mut Context<'_>, genesis: &Genesis, hash: NetworkId) -> Result<(), Failure> {
    let total: u128 = genesis.validators.iter().map(|one| one.stake.0).sum();
    let record = json!({
        "genesis_hash": hash, "total_stake": total.to_string(),
        "genesis": serde_json::to_value(genesis).unwrap_or(Value::Null),
    });
    let terminal = context.printer.io.terminal;
    context.printer.record("genesis/v1", record, || {
        let head = pairs(&[
            ("Network", genesis.name.clone()),
            ("Hash", hash.to_string()),
            ("Chain id", genesis.chain_id.clone()),
            ("Engine", genesis.consensus.plugin.clone()),
            ("Epoch", format!("{} control heights", genesis.consensus.epoch_len)),
            ("Validators", format!("{}, {total} staked", genesis.validators.len())),
            ("Schedulers", genesis.all_schedulers().count().to_string()),
            ("Accounts", genesis.accounts.len().to_string()),
            ("For development", if genesis.dev { "yes" } else { "no" }.to_owned()),
        ]);
        let rows = genesis.validators.iter().map(|one| {
            vec![one.pubkey.to_string(), one.stake.to_string(), one.operator.to_string(), one.peer_id.to_string(), one.addr.clone()]
        });
        format!("{head}\n{}", table(["key", "stake", "operator", "peer", "address"].into_iter(), rows, terminal))
    })
}
