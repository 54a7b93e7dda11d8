//! Chunks as clients cut them, as nodes cut them, and as nobody may.

use super::*;

fn data(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

fn posted(data: &[u8], tree: &Tree, index: usize) -> Posted {
    let chunk = tree.chunks()[index];
    Posted {
        data_root: Base64Url(tree.root().to_vec()),
        data_size: data.len().to_string(),
        data_path: Base64Url(tree.data_path(index).unwrap()),
        offset: (chunk.end.max(1) - 1).to_string(),
        chunk: Base64Url(data[chunk.start as usize..chunk.end as usize].to_vec()),
    }
}

#[test]
fn what_a_client_uploads_is_taken_and_complete() {
    for size in [1, 1000, 262_144, 262_145, 300_000, 524_288, 524_289, 1_000_000] {
        let data = data(size);
        let tree = Tree::of(&data);
        let root = Id(tree.root());
        let mut chunks = Chunks::new(u64::MAX);
        for (index, chunk) in tree.chunks().iter().enumerate().filter(|(_, chunk)| chunk.start < chunk.end) {
            assert!(!chunks.complete(&root, size as u64));
            let checked = check(posted(&data, &tree, index)).unwrap_or_else(|error| panic!("{size} {index}: {error}"));
            assert_eq!((checked.place.start, checked.place.end), (chunk.start, chunk.end));
            assert_eq!(chunks.admits(&checked.place), Ok(true));
            chunks.insert(&checked.place);
            assert_eq!(chunks.admits(&checked.place), Ok(false), "it is there already");
        }
        assert!(chunks.complete(&root, size as u64), "{size}");
        assert_eq!(chunks.bytes(), size as u64);
    }
}

#[test]
fn both_splits_agree_where_they_must() {
    for (size, same) in [(1, true), (262_143, true), (262_144, true), (262_145, false), (300_000, true), (524_289, false)] {
        let data = data(size);
        assert_eq!(plain_root(&data) == Tree::of(&data).root(), same, "{size}");
    }
    let data = data(600_000);
    let places = places_of(&data);
    assert_eq!(places.iter().map(|place| place.end - place.start).collect::<Vec<_>>(), [262_144, 262_144, 75_712]);
    for place in places {
        let proven = merkle::check_path(&place.root.0, place.size, place.start, &place.path.0).unwrap();
        assert_eq!((proven.start, proven.end), (place.start, place.end));
    }
}

#[test]
fn each_lie_has_its_word() {
    let data = data(600_000);
    let tree = Tree::of(&data);
    let good = posted(&data, &tree, 1);
    let wrong = |change: &dyn Fn(&mut Posted)| {
        let mut posted = good.clone();
        change(&mut posted);
        check(posted).unwrap_err()
    };
    assert!(check(good.clone()).is_ok());
    assert_eq!(wrong(&|posted| posted.chunk.0[7] ^= 1), ChunkError::Proof);
    assert_eq!(wrong(&|posted| posted.data_root.0[7] ^= 1), ChunkError::Proof);
    assert_eq!(wrong(&|posted| posted.data_path.0[7] ^= 1), ChunkError::Proof);
    assert_eq!(wrong(&|posted| posted.offset = "0".into()), ChunkError::Proof);
    assert_eq!(wrong(&|posted| posted.chunk.0.truncate(100)), ChunkError::Ratio);
    assert_eq!(wrong(&|posted| posted.chunk.0.truncate(1_000)), ChunkError::Proof);
    assert_eq!(wrong(&|posted| posted.chunk.0.resize(CHUNK_BYTES_MAX + 1, 0)), ChunkError::ChunkTooBig);
    assert_eq!(wrong(&|posted| posted.data_path.0.resize(DATA_PATH_BYTES_MAX + 1, 0)), ChunkError::DataPathTooBig);
    assert_eq!(wrong(&|posted| posted.offset = "1e3".into()), ChunkError::OffsetTooBig);
    assert_eq!(wrong(&|posted| posted.data_size = "99999999999999999999".into()), ChunkError::DataSizeTooBig);
}

#[test]
fn small_chunks_in_the_middle_are_refused() {
    let data = data(900_000);
    let cuts = [(0, 100_000), (100_000, 362_144), (362_144, 624_288), (624_288, 900_000)];
    let chunk = |(start, end): (u64, u64)| Chunk { start, end, hash: sha256(&[&data[start as usize..end as usize]]) };
    let tree = Tree::over(cuts.into_iter().map(chunk).collect());
    let results: Vec<_> = (0..2).map(|index| check(posted(&data, &tree, index)).err()).collect();
    assert_eq!(results, [Some(ChunkError::Proof); 2]);
}

#[test]
fn the_pool_has_an_end() {
    let data = data(1_000);
    let place = &places_of(&data)[0];
    assert_eq!(Chunks::new(1_000).admits(place), Ok(true));
    assert_eq!(Chunks::new(999).admits(place), Err(ChunkError::Full));
}
