//! Words of honest nodes said again, damaged, or made up by somebody who knows every form and has no key: F14, F15, F18 to F20.

use std::time::Duration;

use ao_attest::wire::Message;
use ao_bft::context::{Height, Signature, Voter};
use ao_bft::driver::Say;
use ao_bft::message::Message as Votes;
use ao_bft::signing::vote_message;
use ao_consensus::SecretKey as _;
use ao_consensus::bls::BlsSecret;
use ao_consensus::frame::RawHeader;
use ao_p2p::hostile::Hostile;
use ao_types::codec::Reader;
use ao_types::{Attestation, BlsSignature, Canonical as _, Certificate, Epoch, NetworkId, Signers, Statement};
use aonode::network::message::{Direct, Gossip};

use crate::attacker::{DIRECT, Target};
use crate::world::World;

const SOON: Duration = Duration::from_secs(120);
/// Frames that are overheard.
const OVERHEARD: usize = 6;

impl World {
    /// A message whose result is right at two nodes.
    async fn step_at_two(&mut self) {
        self.step().await;
        let number = self.count.to_string();
        self.clients[0].until(&self.owner, self.process, "tostring(Count)", &number, SOON).await.unwrap();
    }

    /// Nobody honest is accused, banned or broken.
    async fn unharmed(&mut self, what: &str) {
        self.step_at_two().await;
        for (at, client) in self.clients.iter().enumerate() {
            let shown = client.get("/v1/evidence").await.unwrap();
            assert_eq!(shown.json["items"].as_array().map(Vec::len), Some(0), "{what}: n{} accuses somebody: {}", at + 1, shown.text());
        }
        self.network.connected().await.unwrap();
        self.network.alive().unwrap();
        assert!(!self.network.tails(usize::MAX).contains("panicked"), "{what}\n{}", self.network.tails(30));
    }
}

/// Says all of it, and lets it arrive; whether it is still let to.
async fn say(hostile: &mut Hostile, what: &[(String, Vec<u8>)]) -> bool {
    for (topic, bytes) in what {
        hostile.gossip(topic, bytes.clone());
    }
    hostile.turn().await
}

/// The frame's place, as its header says it.
pub fn statement(gossiped: &[u8]) -> Statement {
    // One byte of `ao-p2p` leads what is gossiped.
    let Ok(Gossip::Frame(bytes)) = Gossip::decode(&bytes::Bytes::copy_from_slice(&gossiped[1..])) else { panic!("a frame is gossiped") };
    let raw = RawHeader::read(&mut Reader::new(&bytes)).unwrap();
    let (chain, sequence) = (raw.header.chain, raw.header.sequence);
    Statement::Frame { chain, sequence, frame: raw.verify().unwrap().id() }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_said_again_damaged_or_made_up_change_nothing() {
    let engines: &[&str] = if ao_testnet::full() { &["attest", "bft"] } else { &["attest"] };
    for engine in engines {
        said_again_damaged_or_made_up(engine).await;
    }
}

async fn said_again_damaged_or_made_up(engine: &str) {
    let mut world = World::new(engine).await;
    let target = Target::of(&world.network, 0).unwrap();
    let mut listener = target.listener().await;
    let mut heard = Vec::new();
    while heard.len() < OVERHEARD {
        world.step_at_two().await;
        heard.push(listener.hear().await);
    }
    drop(listener);

    // F18: all of it twice, and once more after the node has forgotten what it had seen. That is what honest nodes do, too.
    let mut parrot = target.stranger().await;
    assert!(say(&mut parrot, &heard).await && say(&mut parrot, &heard).await, "repetitions of others' words are no offence");
    world.unharmed("said again").await;
    drop(parrot);
    world.network.kill(0).await.unwrap();
    world.network.start(0).await.unwrap();
    world.network.connected().await.unwrap();
    let mut parrot = target.stranger().await;
    assert!(say(&mut parrot, &heard).await, "nor are old ones");
    world.unharmed("said again after a restart").await;
    drop(parrot);

    // F20: one wrong byte each.
    let mut vandal = target.stranger().await;
    let mut at = 0;
    let thrown_out = loop {
        let (topic, mut bytes) = heard[at % heard.len()].clone();
        let place = 3 + at * 37 % (bytes.len() - 3);
        bytes[place] ^= 1 << (at % 8);
        at += 1;
        if !say(&mut vandal, &[(topic, bytes)]).await {
            break at;
        }
    };
    ao_testnet::say(format_args!("{engine}: thrown out after {thrown_out} damaged frames"));
    world.unharmed("damaged").await;

    // F14, F15: votes, shares and certificates in every form that does not hold.
    let (topic, forged) = match engine {
        "attest" => ("certificates", shares_that_do_not_hold(&target, statement(&heard[OVERHEARD - 1].1))),
        _ => ("votes", votes_that_do_not_hold(&target)),
    };
    for (what, bytes) in forged {
        let mut forger = target.stranger().await;
        target.ask(&mut forger, DIRECT, &Direct::Engine(bytes.clone()).encode());
        let gossiped = [&[1], &Gossip::Engine(bytes).encode()[..]].concat();
        say(&mut forger, &[(target.name(topic), gossiped)]).await;
        world.unharmed(what).await;
    }
    world.network.stop_all().await.unwrap();
}

/// What each is, and its bytes.
type Forged = Vec<(&'static str, bytes::Bytes)>;

/// The point at infinity: it is the sum of no signatures, and holds for no keys.
fn infinity() -> BlsSignature {
    let mut infinity = [0; 96];
    infinity[0] = 0xc0;
    BlsSignature(infinity)
}

/// Engine `attest`: of a frame that exists.
fn shares_that_do_not_hold(target: &Target, subject: Statement) -> Forged {
    let members = target.genesis.validators.len();
    let secret = BlsSecret::from_seed([7; 32]).unwrap();
    let network = target.genesis.network_id().unwrap();
    let (member, nobody) = (target.genesis.validators[2].pubkey, secret.public());
    let signed = |of: &NetworkId, what: &Statement| secret.sign(&what.message(of));
    let signers = |count: u16| {
        let mut signers = Signers::none(members);
        (0..count).for_each(|member| assert!(signers.insert(member)));
        signers
    };
    let share = |key, signature| Message::Share(Attestation { statement: subject, key, signature });
    let sum = |signers, signature, epoch| Certificate { statement: subject, epoch: Epoch(epoch), signers, signature };
    let own = signed(&network, &subject);
    let forged = [
        ("a share of somebody outside the committee", share(nobody, own)),
        ("a share in a member's name", share(member, own)),
        ("a share for another network", share(member, signed(&NetworkId([9; 32]), &subject))),
        ("a share that is no point", share(member, BlsSignature([0xff; 96]))),
        ("a share that is the point at infinity", share(member, infinity())),
        ("a certificate that nobody named signed", Message::Certified(vec![sum(signers(3), own, 0)])),
        ("a certificate at infinity", Message::Certified(vec![sum(signers(4), infinity(), 0)])),
        ("a certificate without a quorum", Message::Certified(vec![sum(signers(1), own, 0)])),
        ("a certificate of an epoch that never was", Message::Certified(vec![sum(signers(4), own, 7)])),
        ("a sum of nobody", Message::Sum(sum(signers(0), own, 0))),
    ];
    forged.map(|(what, message)| (what, message.encode().into())).to_vec()
}

/// A vote as it travels, one of the seeds of the engine's fuzz target.
const VOTE: &[u8] = include_bytes!("../../../consensus/bft/fuzz/seeds/message/09");

/// Engine `bft`: of heights that are over, that may be under way, and that nobody will ever see.
fn votes_that_do_not_hold(target: &Target) -> Forged {
    let (secret, network) = (BlsSecret::from_seed([7; 32]).unwrap(), target.genesis.network_id().unwrap());
    let (member, nobody) = (target.genesis.validators[2].pubkey, secret.public());
    let vote = |key, height: u64, network: NetworkId, signature: Option<BlsSignature>| {
        let Ok(Votes::Say(Say::Vote(mut vote), body)) = Votes::decode(VOTE) else { panic!("a vote") };
        (vote.message.voter, vote.message.height) = (Voter(key), Height(height));
        let own = || secret.sign(&vote_message(&network, &vote.message));
        vote.signature = Signature(signature.unwrap_or_else(own));
        Votes::Say(Say::Vote(vote), body).to_bytes()
    };
    vec![
        ("a vote of somebody outside the committee", vote(nobody, 1, network, None)),
        ("a vote in a member's name", vote(member, 1, network, None)),
        ("a vote of a height that nobody will see", vote(nobody, u64::MAX, network, None)),
        ("a vote in a member's name far ahead", vote(member, 1 << 40, network, None)),
        ("a vote for another network", vote(member, 1 << 40, NetworkId([9; 32]), None)),
        ("a vote that is no point", vote(member, 1 << 40, network, Some(BlsSignature([0xff; 96])))),
        ("a vote that is the point at infinity", vote(member, 1 << 40, network, Some(infinity()))),
        ("blocks that nobody asked for", Votes::Blocks(Vec::new()).to_bytes()),
        ("a height that nobody will see", Votes::Tip(Height(u64::MAX)).to_bytes()),
    ]
}
