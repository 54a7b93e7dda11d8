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
    assert_eq!(memory.unhashed.iter().collect::<Vec<_>>(), [51]);
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
fn trim_keeps_the_state_and_gives_the_rest_back() {
    let mut memory = memory(8 << 20);
    for page in 0..1000 {
        write(&memory, page * PAGE, 1);
    }
    memory.commit().unwrap();
    for page in 10..1000 {
        write(&memory, page * PAGE, 0);
    }
    memory.commit().unwrap();
    memory.trim().unwrap();
    assert_eq!(memory.resident_bytes(), 10 * PAGE as u64);
    let resident = memory.image.committed_residency(8 << 20).unwrap();
    assert_eq!(resident.iter().filter(|state| *state & 1 == 1).count() * image::host_page(), 10 * PAGE);
    assert_eq!((read(&memory, 0), read(&memory, 10 * PAGE)), (1, 0));
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
