//! How fast bundles are composed, read again, cut into chunks and hashed; signatures are those of the items and are there already.
#![allow(missing_docs, reason = "a benchmark is its own documentation")]

use ao_arweave::compose::compose;
use ao_types::{DataItem, ItemBuilder, Verified, Wallet};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn items(count: usize, bytes: usize) -> Vec<Verified<DataItem>> {
    let wallet = Wallet::ed25519_from_seed(&[1; 32]);
    let item =
        |n: usize| ItemBuilder::new().tag("Type", "Message").tag("Reference", n.to_string()).data(vec![n as u8; bytes]).sign(&wallet);
    (0..count).map(item).collect::<Result<_, _>>().expect("an Ed25519 key signs")
}

fn bundles(c: &mut Criterion) {
    let mut group = c.benchmark_group("compose");
    for (name, count, bytes) in [("1 KiB items", 2000, 1024), ("100 KiB items", 40, 100 << 10)] {
        let items = items(count, bytes);
        let size = compose(&items).expect("they make a bundle").bytes.len();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |b| b.iter(|| compose(&items).expect("they make a bundle").root()));
    }
    group.finish();
}

criterion_group!(benches, bundles);
criterion_main!(benches);
