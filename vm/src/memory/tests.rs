use super::*;

fn write(memory: &Memory, at: usize, byte: u8) {
    // SAFETY: no guest runs in these tests.
    unsafe { memory.image.private_mut(at, 1)[0] = byte };
}

fn read(memory: &Memory, at: usize) -> u8 {
    // SAFETY: as above.
    unsafe { memory.image.private(at, 1)[0] }
}

fn memory(len: usize) -> Memory {
    let memory = Memory::new(16 << 20).unwrap();
    memory.image.set_len(len).unwrap();
    memory
}

#[test]
fn roll_back_returns_to_the_last_commit_and_not_further() {
    let mut memory = memory(1 << 20);
    write(&memory, 5, 1);
    memory.commit().unwrap();
    write(&memory, 5, 2);
    write(&memory, 900_000, 9);
    assert!(!memory.roll_back().unwrap());
    assert_eq!((read(&memory, 5), read(&memory, 900_000)), (1, 0));
    write(&memory, 5, 3);
    memory.commit().unwrap();
    memory.roll_back().unwrap();
    assert_eq!(read(&memory, 5), 3);
    assert_eq!(memory.committed(5, 1), [3]);
}

#[test]
fn growth_is_undone_and_the_tail_reads_zero_again() {
    let mut memory = memory(65536);
    memory.commit().unwrap();
    memory.image.set_len(131_072).unwrap();
    write(&memory, 70_000, 7);
    assert!(memory.roll_back().unwrap());
    assert_eq!(memory.len(), 65536);
    memory.image.set_len(131_072).unwrap();
    assert_eq!(read(&memory, 70_000), 0);
}

#[test]
fn growth_stops_at_the_capacity() {
    let memory = memory(0);
    assert!(memory.image.set_len(16 << 20).is_ok());
    assert!(memory.image.set_len((16 << 20) + 1).is_err());
}

#[test]
fn a_page_that_becomes_zero_leaves_the_state() {
    let mut memory = memory(1 << 20);
    write(&memory, 0, 1);
    write(&memory, 3 * PAGE, 1);
    memory.commit().unwrap();
    assert_eq!(memory.take_changed(), [(0, true), (3, true)]);
    assert_eq!(memory.page_hashes().len(), 2);
    write(&memory, 3 * PAGE, 0);
    memory.commit().unwrap();
    assert_eq!(memory.take_changed(), [(3, false)]);
    assert_eq!(memory.page_hashes().keys().copied().collect::<Vec<_>>(), [0]);
    assert_eq!(memory.present_pages(), [0]);
}

#[test]
fn only_changed_pages_are_taken_and_rehashed() {
    let mut memory = memory(1 << 20);
    for page in 0..100 {
        write(&memory, page * PAGE, 1);
    }
    memory.commit().unwrap();
    memory.page_hashes();
    memory.take_changed();
    write(&memory, 50 * PAGE, 1); // written, not changed
    write(&memory, 51 * PAGE, 2);
    memory.commit().unwrap();
    assert_eq!(memory.book.unhashed.iter().collect::<Vec<_>>(), [51]);
    assert_eq!(memory.take_changed(), [(51, true)]);
}

#[test]
fn the_dead_region_reads_zero_wherever_it_was_touched() {
    let mut memory = memory(8 << 20);
    let dead = 100..(6 << 20) + 10;
    let keep = [99, dead.end];
    for deep in [64 << 10, 6 << 20] {
        for at in (dead.end - deep..dead.end).step_by(3000).filter(|at| dead.contains(at)).chain(keep) {
            write(&memory, at, 1);
        }
        memory.wipe(&dead).unwrap();
        // SAFETY: no guest runs.
        assert!(unsafe { memory.image.private(dead.start, dead.len()) }.iter().all(|byte| *byte == 0));
        assert!(keep.iter().all(|at| read(&memory, *at) == 1));
    }
}

#[test]
fn a_packed_memory_comes_back_as_it_was_and_takes_little_meanwhile() {
    let mut memory = memory(8 << 20);
    // More than one frame, none beside the next.
    for page in 0..600 {
        write(&memory, page * 3 * PAGE + 7, page as u8 | 1);
    }
    memory.commit().unwrap();
    memory.page_hashes();
    write(&memory, 0, 5);
    write(&memory, 3 * PAGE + 7, 0);
    memory.commit().unwrap();
    write(&memory, 50, 5);
    let mut held = Held::Mapped(memory);
    held.pack().unwrap();
    assert!(held.resident_bytes() < 100 << 10, "{}", held.resident_bytes());
    held.pack().unwrap();

    let memory = held.mapped().unwrap();
    assert_eq!((memory.len(), memory.committed_len(), memory.capacity()), (8 << 20, 8 << 20, 16 << 20));
    assert_eq!([0, 7, 50, 3 * PAGE + 7, 1797 * PAGE + 7].map(|at| read(memory, at)), [5, 1, 0, 0, 599u16 as u8 | 1], "what was committed");
    assert_eq!(memory.take_changed().iter().filter(|(_, present)| *present).count(), 599);
    let hashes = memory.page_hashes();
    assert_eq!((hashes.len(), hashes.get(&3)), (599, None));
    let page: Vec<u8> = (0..PAGE).map(|at| if at == 0 { 5 } else { u8::from(at == 7) }).collect();
    assert_eq!(hashes[&0], *blake3::hash(&page).as_bytes(), "pages changed before are hashed after");
    write(memory, 50, 6);
    memory.commit().unwrap();
    assert_eq!(memory.take_changed(), [(0, true)]);
}

#[test]
fn a_memory_that_cannot_be_mapped_is_still_packed() {
    let mut memory = memory(1 << 20);
    write(&memory, 9, 9);
    memory.commit().unwrap();
    let mut held = Held::Mapped(memory);
    held.pack().unwrap();
    let Held::Packed(packed) = &mut held else { panic!("packed") };
    let frame = packed.break_frame();
    assert!(held.mapped().is_err());
    let Held::Packed(packed) = &mut held else { panic!("still packed") };
    packed.mend_frame(frame);
    assert_eq!(read(held.mapped().unwrap(), 9), 9);
}

#[test]
fn load_and_patch_set_exactly_what_is_given() {
    let mut memory = memory(1 << 20);
    write(&memory, 7 * PAGE, 1);
    memory.commit().unwrap();
    memory.load(2 << 20, [(2, [9; 32], vec![5; PAGE])].into_iter()).unwrap();
    assert_eq!((memory.len(), read(&memory, 2 * PAGE), read(&memory, 7 * PAGE)), (2 << 20, 5, 0));
    assert_eq!(memory.page_hashes().get(&2), Some(&[9; 32]));
    memory.patch(2 << 20, [(2, None), (3, Some(([8; 32], vec![6; PAGE])))].into_iter()).unwrap();
    assert_eq!((read(&memory, 2 * PAGE), read(&memory, 3 * PAGE)), (0, 6));
    assert_eq!(memory.present_pages(), [3]);
    assert_eq!(memory.take_changed(), []);
}
