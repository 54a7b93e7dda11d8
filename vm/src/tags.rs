//! What the tags of a process and its module ask for, and whether it is granted (`vm-abi.md`, section 9).

use ao_types::{Id, Tag};

use crate::{ModuleSource, Refusal};

/// Ceilings of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) memory: u64,
    pub(crate) compute: u64,
}

/// Gas where no limit is given.
const GAS_UNLIMITED: u64 = 9_000_000_000_000_000;

/// First value of a tag.
pub(crate) fn value<'a>(tags: &'a [Tag], name: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
}

/// The encodings a module declares have to be among `known`.
pub(crate) fn encodings(module: &ModuleSource, known: &[&str]) -> Result<(), Refusal> {
    if known.is_empty() {
        return Ok(());
    }
    for name in ["Input-Encoding", "Output-Encoding"] {
        match value(&module.tags, name) {
            Some(found) if known.contains(&found) => {}
            Some(found) => {
                let found: String = found.chars().take(128).collect();
                return Err(Refusal::Limit(format!(
                    "{name} `{found}` of module {} is not supported; known: {}",
                    module.id,
                    known.join(", ")
                )));
            }
            None => return Err(Refusal::Limit(format!("module {} has no {name}", module.id))),
        }
    }
    Ok(())
}

/// No extension is offered, and WeaveDrive without a drive needs none: whoever asks for one is refused.
pub(crate) fn extensions(module: &ModuleSource, process_tags: &[Tag]) -> Result<(), Refusal> {
    match module.tags.iter().chain(process_tags).find(|tag| tag.name == "Extension") {
        Some(tag) => {
            let found: String = tag.value.chars().take(128).collect();
            Err(Refusal::Limit(format!("Extension `{found}` of module {} is not supported", module.id)))
        }
        None => Ok(()),
    }
}

/// `Memory-Limit` and `Compute-Limit`, process over module, have to be given and granted.
pub(crate) fn limits(module: &ModuleSource, process_id: &Id, process_tags: &[Tag], ceilings: &Limits) -> Result<(), Refusal> {
    let tag = |name| value(process_tags, name).or_else(|| value(&module.tags, name));
    let refused = |name| Err(Refusal::Limit(format!("{name} for process \"{process_id}\" exceeds supported limit")));
    match tag("Memory-Limit").and_then(memory_bytes) {
        Some(bytes) if bytes <= ceilings.memory => {}
        _ => return refused("Memory-Limit"),
    }
    match tag("Compute-Limit").and_then(gas) {
        Some(gas) if gas <= ceilings.compute => Ok(()),
        _ => refused("Compute-Limit"),
    }
}

/// Gas of each message of a process.
pub(crate) fn compute_limit(process_tags: &[Tag], module_tags: &[Tag]) -> u64 {
    let tag = value(process_tags, "Compute-Limit").or_else(|| value(module_tags, "Compute-Limit"));
    tag.and_then(gas).unwrap_or(GAS_UNLIMITED).min(GAS_UNLIMITED)
}

/// The leading decimal integer of a text.
fn gas(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// A size such as `500-mb`, `1-gb`, `1.5gb`, `1024`: powers of 1024.
pub(crate) fn memory_bytes(text: &str) -> Option<u64> {
    let text = text.replacen('-', "", 1).to_ascii_lowercase();
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text[..unit].trim(), text[unit..].trim());
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let scale = match unit {
        "" | "b" => 1u64,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        "pb" => 1 << 50,
        _ => return None,
    };
    // In integers, so that no rounding differs from host to host: the fraction is cut to nine digits.
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = &fraction[..fraction.len().min(9)];
    let part: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let fraction = u128::from(part) * u128::from(scale) / 10u128.pow(digits.len() as u32);
    whole.checked_mul(scale)?.checked_add(u64::try_from(fraction).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        let cases = [
            ("500-mb", Some(500 << 20)),
            ("1-gb", Some(1 << 30)),
            ("1.5GB", Some(3 << 29)),
            ("1024", Some(1024)),
            (" 2 kb ", Some(2048)),
            (".5-kb", Some(512)),
            ("1-xb", None),
            ("mb", None),
            ("", None),
            ("99999999999999999999-pb", None),
            ("20000-pb", None),
            ("1.2.3-mb", None),
        ];
        for (text, expected) in cases {
            assert_eq!(memory_bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn gas_is_the_leading_integer() {
        assert_eq!([gas("9000000000000"), gas("12abc"), gas("-1"), gas("")], [Some(9_000_000_000_000), Some(12), None, None]);
    }

    fn source(tags: &[(&str, &str)]) -> ModuleSource {
        ModuleSource { id: Id::default(), tags: tags.iter().map(|(n, v)| Tag::new(*n, *v)).collect(), code: Default::default() }
    }

    #[test]
    fn a_limit_is_granted_up_to_the_ceiling_and_the_process_wins() {
        let ceilings = Limits { memory: 1 << 30, compute: 100 };
        let module = source(&[("Memory-Limit", "1-gb"), ("Compute-Limit", "100")]);
        let check = |tags: &[(&str, &str)]| {
            let tags: Vec<_> = tags.iter().map(|(n, v)| Tag::new(*n, *v)).collect();
            limits(&module, &Id::default(), &tags, &ceilings).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(
            check(&[("Memory-Limit", "1073741825")]),
            Err(format!("Memory-Limit for process \"{}\" exceeds supported limit", Id::default()))
        );
        assert!(check(&[("Compute-Limit", "101")]).unwrap_err().starts_with("Compute-Limit for process"));
        assert!(check(&[("Compute-Limit", "x")]).is_err());
        assert!(limits(&source(&[]), &Id::default(), &[], &ceilings).is_err());
    }

    #[test]
    fn extensions_and_encodings_are_refused_by_name() {
        assert!(extensions(&source(&[]), &[Tag::new("Extension", "WeaveDrive")]).unwrap_err().to_string().contains("WeaveDrive"));
        let module = source(&[("Input-Encoding", "JSON-1"), ("Output-Encoding", "ANS-104")]);
        assert!(encodings(&module, &["JSON-1"]).unwrap_err().to_string().contains("ANS-104"));
        assert!(encodings(&source(&[]), &["JSON-1"]).is_err());
        assert!(encodings(&source(&[]), &[]).is_ok());
    }
}
