//! The first Lua process of a node loads the runtime library for itself, later ones start from its image: nobody can tell which is which.
//!
//! A binary of its own with one test: which process comes first must not depend on other tests.

#[path = "lua/support.rs"]
#[allow(dead_code)]
mod support;

use support::*;

#[test]
fn the_first_process_is_like_all_later_ones() {
    let source = "T = {} for i = 1, 100 do T[i] = { tostring(i), { i } } end Handlers.add('x', 'X', function(m) m.reply { Data = tostring({}) } end)";
    let history = |_| {
        let mut process = Process::of(source);
        let mut hashes = vec![process.instance.state_hash().unwrap()];
        for _ in 0..3 {
            process.act("X");
            process.eval("return math.random(1 << 20)");
            hashes.push(process.instance.state_hash().unwrap());
        }
        (hashes, process.instance.memory().unwrap())
    };
    let [first, second, third] = [1, 2, 3].map(history);
    assert_eq!(first.0, second.0);
    assert!(first.1 == second.1, "the memories differ");
    assert_eq!(second.0, third.0);
}
