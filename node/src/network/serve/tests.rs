use ao_consensus::frame::Chunk;
use ao_p2p::NodeKey;
use ao_storage::MemoryStore;

use super::*;
use crate::network::message::{Place, decode_range};
use crate::network::range::authenticate;
use crate::network::tests::frames::{Author, Made, NETWORK};

fn peer(seed: u8) -> PeerId {
    NodeKey::from_seed(&mut [seed; 32]).unwrap().peer_id().unwrap()
}

fn with(made: &[Made]) -> (Server, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    made.iter().for_each(|made| made.store(&*store));
    (Server::new(store.clone()), store)
}

fn found(answer: Answer) -> Bytes {
    match answer {
        Answer::Found(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

fn chunk(made: &Made, index: u32) -> ChunkQuestion {
    let header = &made.header;
    ChunkQuestion { place: Place { chain: header.chain, sequence: header.sequence, frame: header.id() }, index }
}

#[test]
fn what_is_served_is_what_was_published_byte_by_byte() {
    let mut author = Author::new(1);
    let bodies: [(&[&[u8]], bool); 5] =
        [(&[b"one"], false), (&[], false), (&[b"two", b"three", b"two"], false), (&[b"four", b"five"], true), (&[b"six"], true)];
    let made: Vec<_> = bodies.iter().map(|(items, held)| author.frame(items, *held)).collect();
    let (server, _) = with(&made);
    assert_eq!(server.tip(author.chain()).unwrap(), author.tip());
    let question = RangeQuestion { chain: author.chain(), from: 0, count: 64 };
    let bytes = found(server.range(&question));
    assert_eq!(decode_range(&bytes, 64).unwrap(), made.iter().map(|made| made.piece(true)).collect::<Vec<_>>());
    assert_eq!(authenticate(NETWORK, &question, &bytes).unwrap().len(), 5);
    let behind = RangeQuestion { from: 3, count: 1, ..question };
    assert_eq!(decode_range(&found(server.range(&behind)), 1).unwrap(), [made[3].piece(true)]);
    assert_eq!(server.range(&RangeQuestion { from: 5, ..question }), Answer::NotFound);
    let nobody = Author::new(2).chain();
    assert_eq!(server.range(&RangeQuestion { chain: nobody, ..question }), Answer::NotFound);
    assert_eq!(server.tip(nobody).unwrap(), Tip { chain: nobody, next: 0, last: nobody.id() });
}

#[test]
fn a_range_ends_where_its_bytes_end_and_a_large_frame_goes_as_its_header() {
    let mut author = Author::new(1);
    let made: Vec<_> = (0..7).map(|n| author.next(&vec![n; if n == 3 { 600 << 10 } else { 300 << 10 }])).collect();
    let (server, _) = with(&made);
    let question = RangeQuestion { chain: author.chain(), from: 0, count: 64 };
    let first = decode_range(&found(server.range(&question)), 64).unwrap();
    assert_eq!(first, [made[0].piece(true), made[1].piece(true), made[2].piece(true), made[3].piece(false)]);
    let second = decode_range(&found(server.range(&RangeQuestion { from: 4, ..question })), 64).unwrap();
    assert_eq!(second.len(), 3);
}

#[test]
fn nothing_follows_the_last_number_there_is() {
    let mut author = Author::new(1);
    let (server, _) = with(&[author.next(&[1; 10])]);
    assert_eq!(server.range(&RangeQuestion { chain: author.chain(), from: u64::MAX, count: 64 }), Answer::NotFound);
}

#[test]
fn a_node_that_lost_a_part_says_that_it_cannot() {
    let mut author = Author::new(1);
    let made: Vec<_> = (0..3).map(|n| author.next(&[n; 10])).collect();
    let (server, store) = with(&made);
    let mut batch = ao_storage::WriteBatch::default();
    batch.delete(ao_storage::Table::Items, ao_types::hash::sha256(&[&[1; 10]]).to_vec());
    store.write(batch, ao_storage::Durability::Buffered).unwrap();
    let question = RangeQuestion { chain: author.chain(), from: 0, count: 64 };
    assert_eq!(decode_range(&found(server.range(&question)), 64).unwrap(), [made[0].piece(true)]);
    assert_eq!(server.range(&RangeQuestion { from: 1, ..question }), Answer::NotFound);
    assert_eq!(server.chunk(Timestamp(0), peer(1), &chunk(&made[1], 0)), Answer::NotFound);
    // Another item under that id: the bytes are not the header's, and are not served.
    let mut batch = ao_storage::WriteBatch::default();
    schema::ITEMS.put(&mut batch, &Id(ao_types::hash::sha256(&[&[2; 10]])), &Bytes::from_static(b"another 10"));
    store.write(batch, ao_storage::Durability::Buffered).unwrap();
    assert_eq!(server.range(&RangeQuestion { from: 2, ..question }), Answer::Busy);
}

#[test]
fn chunks_prove_themselves_and_uploads_are_few() {
    let mut author = Author::new(1);
    let made: Vec<_> = (0..2).map(|n| author.next(&vec![n; 600 << 10])).collect();
    let (server, _) = with(&made);
    let mut body = Vec::new();
    for index in 0..3 {
        let chunk = Chunk::decode(&found(server.chunk(Timestamp(0), peer(1), &chunk(&made[0], index)))).unwrap();
        chunk.check(&made[0].header).unwrap();
        body.extend_from_slice(&chunk.bytes);
    }
    assert_eq!(body, made[0].payload);
    assert_eq!(server.chunk(Timestamp(0), peer(1), &chunk(&made[0], 3)), Answer::Refused);
    let elsewhere = ChunkQuestion { place: Place { frame: FrameId([9; 32]), ..chunk(&made[0], 0).place }, index: 0 };
    assert_eq!(server.chunk(Timestamp(0), peer(1), &elsewhere), Answer::NotFound);
    // The one above has its whole body and needs no place any more: all places are free.
    let begin = |at, seed, index| server.chunk(Timestamp(at), peer(seed), &chunk(&made[1], index));
    for seed in 1..=UPLOADS_MAX as u8 {
        assert!(matches!(begin(0, seed, 0), Answer::Found(_)));
    }
    assert_eq!(begin(1, 100, 0), Answer::Busy);
    assert!(matches!(begin(1, 1, 1), Answer::Found(_)), "who has a place keeps it");
    assert!(matches!(begin(2, 1, 2), Answer::Found(_)));
    assert!(matches!(begin(3, 100, 0), Answer::Found(_)), "its last chunk gave the place back");
    assert_eq!(begin(3, 101, 0), Answer::Busy);
    assert!(matches!(begin(3 + UPLOAD_IDLE_MS, 101, 0), Answer::Found(_)), "who asks no more lost it");
}

#[test]
fn items_are_served_in_parts() {
    let mut author = Author::new(1);
    let item = vec![5; CHUNK_BYTES + 1];
    let made = author.next(&item);
    let (server, _) = with(&[made]);
    let id = Id(ao_types::hash::sha256(&[&item]));
    let part = |part| server.item(&ItemQuestion { item: id, part });
    let first = ItemPart::decode(&found(part(0))).unwrap();
    assert_eq!((first.total as usize, first.bytes.len()), (item.len(), CHUNK_BYTES));
    assert_eq!(ItemPart::decode(&found(part(1))).unwrap().bytes, [5].as_slice());
    assert_eq!(part(2), Answer::NotFound);
    assert_eq!(server.item(&ItemQuestion { item: Id([0; 32]), part: 0 }), Answer::NotFound);
}
