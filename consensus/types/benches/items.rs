//! What an item costs: parse, hash, verify, beside the bare RSA operation in the same run.
//!
//! `cargo bench -p ao-types`; then `node consensus/types/benches/arbundles.mjs` in a folder with arbundles 0.11.2 for the same item in
//! the common JavaScript library. `item-1kib.bin` was signed by that library, with its salt of 478 bytes.
#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints")]

use std::hint::black_box;
use std::time::Instant;

use ao_types::deep_hash::blob;
use ao_types::signature::rsa_pss::{self, PreparedKey};
use ao_types::wallet::EthereumWallet;
use ao_types::{DataItem, ItemBuilder, Profile, Signer, Wallet};
use bytes::Bytes;
use criterion::{Criterion, criterion_group};

static RSA_ITEM: &[u8] = include_bytes!("item-1kib.bin");

fn rsa_item() -> DataItem {
    DataItem::parse(Bytes::from_static(RSA_ITEM), Profile::Strict).unwrap()
}

fn verify(bytes: &Bytes) -> bool {
    DataItem::parse(bytes.clone(), Profile::Strict).and_then(DataItem::verify).is_ok()
}

fn small(signer: &dyn Signer) -> Bytes {
    let builder = ItemBuilder::new().tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", "Message").tag("Action", "Eval");
    builder.data(vec![7; 1024]).sign(signer).unwrap().into_inner().into_bytes()
}

fn items(c: &mut Criterion) {
    let bytes = Bytes::from_static(RSA_ITEM);
    let item = rsa_item();
    let key = PreparedKey::new(item.owner()).unwrap();
    c.bench_function("rsa/bare public operation, AWS-LC", |b| b.iter(|| key.public_operation(black_box(item.signature())).unwrap()));
    let key = key.accelerated();
    c.bench_function("rsa/bare public operation, vectors", |b| b.iter(|| key.public_operation(black_box(item.signature())).unwrap()));
    c.bench_function("rsa/key accelerated", |b| b.iter(|| PreparedKey::new(black_box(item.owner())).unwrap().accelerated()));
    c.bench_function("item 1 KiB/parse", |b| b.iter(|| DataItem::parse(black_box(bytes.clone()), Profile::Strict).unwrap()));
    c.bench_function("item 1 KiB/signed digest", |b| b.iter(|| black_box(&item).signed_digest()));
    c.bench_function("item 1 KiB/parse and verify, RSA, known signer", |b| b.iter(|| assert!(verify(black_box(&bytes)))));
    c.bench_function("item 1 KiB/parse and verify, RSA, new signer", |b| {
        b.iter(|| {
            let item = DataItem::parse(black_box(bytes.clone()), Profile::Strict).unwrap();
            rsa_pss::verify(item.owner(), &item.signed_digest(), item.signature()).unwrap();
        })
    });
    let ed25519 = small(&Wallet::ed25519_from_seed(&[1; 32]));
    c.bench_function("item 1 KiB/parse and verify, Ed25519", |b| b.iter(|| assert!(verify(black_box(&ed25519)))));
    let ethereum = small(&EthereumWallet::from_secret(&[1; 32]).unwrap());
    c.bench_function("item 1 KiB/parse and verify, Ethereum", |b| b.iter(|| assert!(verify(black_box(&ethereum)))));
    let wallet = Wallet::ed25519_from_seed(&[1; 32]);
    c.bench_function("item 1 KiB/build and sign, Ed25519", |b| b.iter(|| small(black_box(&wallet))));
    let data = vec![3; 100 << 10];
    c.bench_function("deep hash/100 KiB blob", |b| b.iter(|| blob(black_box(&data))));
}

/// Alternates short batches, so that a busy machine slows all alike, and compares the fastest tenth of each.
fn ratio() {
    const ROUNDS: usize = 400;
    const BATCH: u32 = 8;
    let bytes = Bytes::from_static(RSA_ITEM);
    let item = rsa_item();
    let plain = PreparedKey::new(item.owner()).unwrap();
    let vectors = PreparedKey::new(item.owner()).unwrap().accelerated();
    let works: [&dyn Fn(); 3] = [
        &|| assert!(plain.public_operation(black_box(item.signature())).is_ok()),
        &|| assert!(vectors.public_operation(black_box(item.signature())).is_ok()),
        &|| assert!(verify(black_box(&bytes))),
    ];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (work, times) in works.iter().zip(&mut times) {
            let start = Instant::now();
            (0..BATCH).for_each(|_| work());
            times.push(start.elapsed() / BATCH);
        }
    }
    let [plain, vectors, whole] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 10].as_secs_f64() * 1e6
    });
    println!(
        "item 1 KiB, RSA, one thread: parse and verify {whole:.1} µs ({:.0}/s); bare RSA operation {plain:.1} µs in AWS-LC (ratio {:.2}), \
         {vectors:.1} µs as used here (ratio {:.2})",
        1e6 / whole,
        whole / plain,
        whole / vectors
    );
}

criterion_group!(benches, items);

fn main() {
    benches();
    ratio();
}
