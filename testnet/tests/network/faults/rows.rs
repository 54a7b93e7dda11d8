//! The page that says which test shows which fault is true: each test that it names is there, and each row has one of each kind.

use std::collections::BTreeSet;
use std::path::Path;

/// Rows of the matrix that are about networks.
fn rows() -> BTreeSet<u32> {
    (6..=25).chain([45, 46, 47, 48, 50, 51]).collect()
}

/// What stands for a test that cannot be yet, or is the one of the column before.
const EXCUSES: [&str; 2] = ["staking", "the same"];

/// Fails unless the file has a test of this name.
fn is_there(root: &Path, named: &str) -> Result<(), String> {
    let (path, function) = named.split_once('#').ok_or_else(|| format!("`{named}` is no test"))?;
    let text = std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
    let at = text.find(&format!("fn {function}(")).ok_or_else(|| format!("{path} has no `{function}`"))?;
    // The attribute is on the line before, or above others.
    let above = text[..at].lines().rev().take(4).any(|line| line.contains("#[test]") || line.contains("#[tokio::test"));
    if above { Ok(()) } else { Err(format!("{path}: `{function}` is no test")) }
}

/// The tests that a cell of the table names.
fn tests(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).filter(|named| named.contains('#')).collect()
}

#[test]
fn every_row_names_its_tests_and_they_exist() {
    let testnet = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = testnet.parent().unwrap();
    let page = std::fs::read_to_string(testnet.join("faults.md")).unwrap();
    let (mut found, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in page.lines().filter(|line| line.starts_with("| F")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, within, outside] = cells[..] else { panic!("three columns: {line}") };
        let number: u32 = name[1..].split(' ').next().unwrap().parse().unwrap();
        assert!(found.insert(number), "F{number} has one row");
        for cell in [within, outside] {
            let excused = EXCUSES.iter().any(|excuse| cell.contains(excuse));
            if tests(cell).is_empty() && !excused {
                wrong.push(format!("F{number} has no test in `{cell}`"));
            }
            wrong.extend(tests(cell).into_iter().filter_map(|named| is_there(root, named).err()).map(|what| format!("F{number}: {what}")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(found, rows(), "every row is there");
}

#[test]
fn a_test_that_is_gone_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let here = "testnet/tests/network/faults/rows.rs";
    assert_eq!(is_there(root, &format!("{here}#a_test_that_is_gone_is_noticed")), Ok(()));
    for (named, says) in [("#rows", "no test"), ("#nowhere", "has no"), ("", "is no test")] {
        let error = is_there(root, &format!("{here}{named}")).unwrap_err();
        assert!(error.contains(says), "{named}: {error}");
    }
}
