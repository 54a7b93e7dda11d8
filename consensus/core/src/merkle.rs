//! Binary Merkle trees over hashes: entries of a frame, chunks of a payload, frames of a block.
//!
//! Leaves and nodes are hashed under different leading bytes, and a node without a sibling moves up unchanged. The number of leaves is
//! known to whoever checks (it stands beside the root), so a path has one shape for each place.

use ao_types::codec::{Canonical, CodecError, Reader, write_list};
use ao_types::hash::sha256;

use crate::limits::PATH_NODES_MAX;

/// Hash of a leaf's bytes.
pub fn leaf(bytes: &[u8]) -> [u8; 32] {
    sha256(&[&[0], bytes])
}

/// Hash of two nodes.
pub fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256(&[&[1], left, right])
}

fn level_above(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    level.chunks(2).map(|pair| if let [left, right] = pair { node(left, right) } else { pair[0] }).collect()
}

/// Root over leaf hashes; zeros if there are none.
pub fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    if leaves.len() <= 1 {
        return leaves.first().copied().unwrap_or_default();
    }
    let mut level = level_above(leaves);
    while level.len() > 1 {
        level = level_above(&level);
    }
    level[0]
}

/// The siblings on the way from a leaf to the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<[u8; 32]>);

impl Path {
    /// Of leaf `index`; `None` if there is no such leaf.
    pub fn of(leaves: &[[u8; 32]], index: usize) -> Option<Self> {
        if index >= leaves.len() {
            return None;
        }
        let (mut level, mut at, mut path) = (leaves.to_vec(), index, Vec::new());
        while level.len() > 1 {
            path.extend(level.get(at ^ 1));
            (level, at) = (level_above(&level), at / 2);
        }
        Some(Self(path))
    }

    /// The root that follows from this path, if leaf `index` of `count` is `leaf`; `None` if the path has another shape.
    pub fn root_from(&self, count: u64, index: u64, leaf: [u8; 32]) -> Option<[u8; 32]> {
        if index >= count {
            return None;
        }
        let (mut siblings, mut at, mut width, mut hash) = (self.0.iter(), index, count, leaf);
        while width > 1 {
            if at ^ 1 < width {
                let sibling = siblings.next()?;
                hash = if at % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
            }
            (at, width) = (at / 2, width.div_ceil(2));
        }
        siblings.next().is_none().then_some(hash)
    }
}

impl Canonical for Path {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, &self.0);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.list("nodes of a path", PATH_NODES_MAX).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_leaf_and_its_place_reach_the_root() {
        let leaves: Vec<_> = (0..5u8).map(|n| leaf(&[n])).collect();
        let mut swapped = leaves.clone();
        swapped.swap(0, 1);
        assert_ne!(root(&leaves), root(&swapped));
        (1..5).for_each(|cut| assert_ne!(root(&leaves), root(&leaves[..cut])));
        assert_eq!((root(&[]), root(&leaves[..1])), ([0; 32], leaves[0]));
    }

    proptest! {
        #[test]
        fn a_path_leads_to_the_root_from_its_leaf_and_no_other(count in 1usize..70, pick in any::<prop::sample::Index>(), wrong in any::<[u8; 32]>()) {
            let leaves: Vec<_> = (0..count as u64).map(|n| leaf(&n.to_be_bytes())).collect();
            let (index, root) = (pick.index(count), root(&leaves));
            let path = Path::of(&leaves, index).unwrap();
            let from = |index: usize, leaf| path.root_from(count as u64, index as u64, leaf);
            prop_assert_eq!(from(index, leaves[index]), Some(root));
            prop_assert_ne!(from(index, wrong), Some(root));
            for other in (0..count).filter(|other| *other != index) {
                prop_assert_ne!(from(other, leaves[index]), Some(root));
            }
            let longer = Path([path.0.clone(), vec![[0; 32]]].concat());
            prop_assert_eq!(longer.root_from(count as u64, index as u64, leaves[index]), None);
            prop_assert_eq!(Path::decode(&path.encode()), Ok(path));
        }
    }
}
