//! What an error of RocksDB means to an operator.

use std::path::Path;

use rocksdb::ErrorKind;

use crate::Error;

/// Turns RocksDB's text into one of our kinds. `directory` is the place named where the text names none.
pub(crate) fn typed(error: &rocksdb::Error, directory: &Path) -> Error {
    let text = error.as_ref();
    let io = error.kind() == ErrorKind::IOError;
    if ["No space left on device", "Disk quota exceeded", "space limit was reached"].iter().any(|sign| text.contains(sign)) {
        return Error::DiskFull(text.to_owned());
    }
    if io && (text.contains("lock file") || text.contains("/LOCK:")) {
        return Error::Locked(directory.display().to_string());
    }
    // A file that the manifest lists is part of the data: its absence is damage, not a passing fault.
    if error.kind() == ErrorKind::Corruption || (io && text.contains("No such file or directory")) {
        return Error::Corrupt { what: "database".into(), place: place(text, directory), reason: text.to_owned() };
    }
    Error::Io(text.to_owned())
}

/// File and offset, as far as the text names them: `... in /db/000012.sst offset 0 size 90`, `...: /db/000012.sst: ...`. Of several
/// files the one with rows: where the manifest and a table disagree, RocksDB suspects the manifest, wrongly as a rule.
fn place(text: &str, directory: &Path) -> String {
    let root = directory.to_string_lossy();
    let word_end = |from: &str| from.find([' ', ':', ',']).unwrap_or(from.len());
    let names: Vec<_> = text.match_indices(".sst").chain(text.match_indices(".blob")).map(|(at, _)| at).collect();
    let start = match names.first() {
        Some(at) => text[..*at].rfind([' ', ':', ',']).map_or(0, |before| before + 1),
        None => match text.find(&*root) {
            Some(at) => at,
            None => return root.into_owned(),
        },
    };
    let rest = &text[start..];
    let name = &rest[..word_end(rest)];
    let file = if name.starts_with(&*root) { name.to_owned() } else { format!("{root}/{}", name.trim_start_matches('/')) };
    let offset =
        rest[name.len()..].strip_prefix(" offset ").map(|tail| tail.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
    match offset {
        Some(offset) if !offset.is_empty() => format!("{file} offset {offset}"),
        _ => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_file_and_offset_where_the_text_has_them() {
        let at = |text| place(text, Path::new("/data/db"));
        let checksum = "Corruption: block checksum mismatch: stored = 1, computed = 2, type = 4  in /data/db/000012.sst offset 77 size 90";
        assert_eq!(at(checksum), "/data/db/000012.sst offset 77");
        assert_eq!(at("Corruption: file is too short (5 bytes) to be an sstable: /data/db/000012.sst"), "/data/db/000012.sst");
        assert_eq!(at("IO error: No such file or directory: While open: /data/db/000009.sst: gone"), "/data/db/000009.sst");
        let both = "Corruption: Can't access /000012.sst: bad block  The file /data/db/MANIFEST-000005 may be corrupted.";
        assert_eq!(at(both), "/data/db/000012.sst");
        assert_eq!(at("Corruption: in /data/db/MANIFEST-000005: bad"), "/data/db/MANIFEST-000005");
        assert_eq!(at("Corruption: unknown"), "/data/db");
    }
}
