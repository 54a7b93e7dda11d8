use ao_types::bundle::build;
use ao_types::{AssignmentContent, ItemBuilder, Signer as _, Wallet};

use super::*;

struct Made {
    items: Vec<Verified<DataItem>>,
    process: Id,
}

/// A log of `slots` slots as a node exports it, `change` applied to each assignment before it is signed.
fn log(slots: u64, change: impl Fn(&mut AssignmentContent)) -> Made {
    let scheduler = Wallet::ed25519_from_seed(&[7; 32]);
    let client = Wallet::ed25519_from_seed(&[8; 32]);
    let process = ItemBuilder::new().tag("Type", "Process").tag("Scheduler", scheduler.address().to_string()).sign(&client).unwrap();
    let pid = process.id();
    let mut items = Vec::new();
    let mut chain = HashChain::first(&pid);
    for slot in 0..slots {
        let item = match slot {
            0 => process.clone(),
            n => ItemBuilder::new().target(pid).tag("Type", "Message").data(format!("message {n}")).sign(&client).unwrap(),
        };
        let mut content = AssignmentContent {
            process: pid,
            schedule_epoch: 0,
            slot: Slot(slot),
            hash_chain: chain,
            block_height: 10,
            timestamp_ms: 1_000 + slot,
            message: (slot > 0).then(|| item.id()),
            exclude: Vec::new(),
        };
        change(&mut content);
        let assignment = content.sign(&scheduler).unwrap();
        chain = assignment.next_chain();
        items.push(assignment.item().clone());
        items.push(item);
    }
    Made { items, process: pid }
}

fn broken(bytes: Bytes) -> Vec<String> {
    check(bytes).into_iter().filter_map(|finding| finding.broken.map(|why| format!("{}: {why}", finding.what))).collect()
}

#[test]
fn a_true_log_holds() {
    let made = log(5, |_| ());
    let findings = check(build(&made.items));
    assert!(findings.iter().all(|finding| finding.broken.is_none()), "{findings:#?}");
    let said: Vec<_> = findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(said[0], "10 signatures and ids");
    assert_eq!(said[1], format!("slots 0 to 4 of {}", made.process));
    assert!(said[2].starts_with("hash chain to ") && said[5] == "5 items assigned", "{said:?}");
    // A part from the middle holds too: its chain is checked from its first slot.
    assert_eq!(broken(build(&made.items[4..])), Vec::<String>::new());
}

#[test]
fn every_lie_is_found() {
    type Lie<'l> = (&'l str, &'l dyn Fn(&mut AssignmentContent));
    let cases: [Lie<'_>; 4] = [
        ("is followed by slot", &|content| {
            if content.slot.0 > 2 {
                content.slot.0 += 1
            }
        }),
        ("hash chain", &|content| {
            if content.slot.0 == 3 {
                content.hash_chain = content.hash_chain.next(&Id([1; 32]))
            }
        }),
        ("slot 0 has", &|content| {
            if content.slot.0 == 0 {
                content.hash_chain = content.hash_chain.next(&Id([1; 32]))
            }
        }),
        ("is not after the one before it", &|content| content.timestamp_ms = 5),
    ];
    for (expected, change) in cases {
        let found = broken(build(&log(5, change).items));
        assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {found:?}");
    }
    let made = log(5, |_| ());
    let dropped: Vec<_> = made.items.iter().enumerate().filter(|(at, _)| *at != 4).map(|(_, item)| item.clone()).collect();
    assert!(broken(build(&dropped))[0].contains("slot 1 is followed by slot 3"));
    // The assignments of another scheduler for the same process.
    let stranger = Wallet::ed25519_from_seed(&[9; 32]);
    let mut forged = made.items.clone();
    let content = Assignment::read(forged[8].clone()).unwrap().content().clone();
    forged[8] = content.sign(&stranger).unwrap().item().clone();
    assert!(broken(build(&forged)).iter().any(|line| line.contains("slot 4 is signed by")));
}

/// One bit anywhere in a file is noticed.
#[test]
fn no_bit_can_change() {
    let made = log(2, |_| ());
    let whole = build(&made.items);
    assert!(broken(whole.clone()).is_empty());
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1 << (at % 8);
        assert!(!broken(bytes.into()).is_empty(), "byte {at} of {}", whole.len());
    }
}

#[test]
fn items_and_other_files() {
    let item = ItemBuilder::new().tag("Type", "Message").data("x").sign(&Wallet::generate_ethereum().unwrap()).unwrap();
    assert!(broken(item.as_bytes().clone()).is_empty());
    let mut bytes = item.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(broken(bytes.into()).len(), 1);
    assert!(broken(Bytes::from_static(b"{\"edges\":[]}"))[0].contains("JSON does not carry"));
    for other in [&b""[..], b"\0", b"hello", &[0xff; 100], &[0; 32]] {
        assert_eq!(broken(Bytes::from(other)).len(), 1, "{other:?}");
    }
}

proptest::proptest! {
    #[test]
    fn hostile_files_never_crash(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        proptest::prop_assert!(!broken(bytes.into()).is_empty());
    }
}
