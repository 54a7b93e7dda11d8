//! `consensus`: which engines this build has, what each is, and the beginning of a new one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{ConsensusVerb, NewEngine};
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{pairs, table};
use crate::datadir;
use crate::wiring::engines::{ENGINES, Engine, Param};

const MANIFEST: &str = include_str!("consensus/template/Cargo.toml.txt");
const ENGINE: &str = include_str!("consensus/template/lib.rs");
const CONFORMANCE: &str = include_str!("consensus/template/conformance.rs.txt");
const README: &str = include_str!("consensus/template/README.md.txt");

/// `consensus`.
pub fn consensus(context: &mut Context<'_>, verb: &ConsensusVerb) -> Result<Exit, Failure> {
    match verb {
        ConsensusVerb::List => {
            let columns = [("engine", "name"), ("how it confirms", "about")];
            context.printer.list("engine/v1", ENGINES.iter().map(row).collect(), &columns, None)?;
            Ok(Exit::Ok)
        }
        ConsensusVerb::Describe { name } => {
            let engine = ENGINES.iter().find(|engine| engine.name == name).ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("this build has no engine `{name}`")).fix("`aonode consensus list` shows those it has")
            })?;
            let terminal = context.printer.io.terminal;
            context.printer.record("engine/v1", row(engine), || describe(engine, terminal))?;
            Ok(Exit::Ok)
        }
        ConsensusVerb::New(new) => scaffold(context, new),
    }
}

fn row(engine: &Engine) -> Value {
    let param = |param: &Param| json!({ "name": param.name, "default": param.default, "lowest": param.range.0, "highest": param.range.1, "meaning": param.about });
    json!({
        "name": engine.name, "about": engine.about, "alone": engine.alone,
        "params": engine.params.iter().map(param).collect::<Vec<_>>(),
    })
}

fn describe(engine: &Engine, terminal: bool) -> String {
    let head = pairs(&[
        ("Engine", engine.name.to_owned()),
        ("Network", if engine.alone { "of one node" } else { "of any size" }.to_owned()),
        ("Genesis", format!("consensus.plugin = \"{}\"", engine.name)),
    ]);
    if engine.params.is_empty() {
        return format!("{head}\n{}", engine.about);
    }
    let rows = engine.params.iter().map(|param| vec![param.name.to_owned(), param.default.to_string(), param.about.to_owned()]);
    let params = table(["consensus.params", "default", "meaning"].into_iter(), rows, terminal);
    format!("{head}\n{}\n\n{params}", engine.about)
}

/// Writes the crate of a new engine.
fn scaffold(context: &mut Context<'_>, new: &NewEngine) -> Result<Exit, Failure> {
    let name = &new.name;
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(valid) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(Failure::usage(format!("`{name}` is no name of an engine: 1 to 32 of the characters a-z 0-9 - and a letter first")));
    }
    if ENGINES.iter().any(|engine| engine.name == name) {
        return Err(Failure::usage(format!("this build has an engine `{name}`")).fix("choose another name"));
    }
    let repository = repository(new.repository.as_deref())?;
    let folder = new.out.clone().unwrap_or_else(|| PathBuf::from(format!("ao-{name}")));
    if folder.exists() {
        return Err(Failure::new(Exit::Precondition, format!("{} is there already", folder.display())).fix("name another place with --out"));
    }
    for (path, text) in files(name, &repository) {
        let path = folder.join(path);
        let io = |error: std::io::Error| Failure::new(super::exit::io_exit(&error), format!("cannot write {}: {error}", path.display()));
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(io)?;
        datadir::write_atomic(&path, text.as_bytes(), 0o644)?;
    }
    let shown = Context::shown(&folder);
    context.printer.record("engine-new/v1", json!({ "name": name, "path": shown }), || {
        format!("{}\nNext: cd {} && cargo test", shown.display(), folder.display())
    })?;
    Ok(Exit::Ok)
}

/// Paths and texts of a new engine's crate.
fn files(name: &str, repository: &Path) -> [(&'static str, String); 4] {
    let fill = |text: &str| {
        text.replace("ao_CRATE", &format!("ao_{}", name.replace('-', "_")))
            .replace("REPOSITORY", &repository.display().to_string())
            .replace("NAME", name)
    };
    [("Cargo.toml", fill(MANIFEST)), ("README.md", fill(README)), ("src/lib.rs", fill(ENGINE)), ("tests/conformance.rs", fill(CONFORMANCE))]
}

/// The sources that the new crate stands on: as named, or the folder that this is run in.
fn repository(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let root = named.unwrap_or(Path::new("."));
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    if root.join("consensus/core/Cargo.toml").exists() {
        return Ok(root);
    }
    Err(Failure::new(Exit::NotFound, format!("{} is not a checkout of aonode: it has no consensus/core", root.display()))
        .fix("run this in a checkout, or name one with --repository DIR"))
}

/// The very file that is written, compiled for its test.
#[cfg(test)]
#[path = "consensus/template/lib.rs"]
mod template;

#[cfg(test)]
mod tests {
    use ao_consensus::Consensus;
    use ao_consensus::contract::{Suite, conformance};

    use super::*;

    #[test]
    fn what_a_new_engine_begins_with_keeps_the_contract() {
        let make = |setup| -> Box<dyn Consensus> { Box::new(template::Engine::new(&setup)) };
        let suite = Suite { alone: true, ..Suite::new(&make) };
        let reports = conformance(&suite, 1, 5).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(reports.iter().all(|(_, report)| report.confirmed >= report.frames && report.frames > 0));
    }

    #[test]
    fn a_new_crate_has_its_name_everywhere() {
        let files = files("my-engine", Path::new("/src/aonode"));
        for (path, text) in &files {
            assert!(!text.contains("NAME") && !text.contains("REPOSITORY") && !text.contains("CRATE"), "{path}: {text}");
        }
        let manifest: toml::Table = files[0].1.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("ao-my-engine"));
        assert_eq!(manifest["dependencies"]["ao-consensus"]["path"].as_str(), Some("/src/aonode/consensus/core"));
        assert!(files[3].1.contains("use ao_my_engine::Engine;"));
    }
}
