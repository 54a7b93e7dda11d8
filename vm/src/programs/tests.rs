use std::collections::VecDeque;
use std::time::Duration;

use ao_types::Tag;

use super::*;
use crate::compiler::{Budget, InProcess};

/// Ends as it is told, and counts.
#[derive(Debug)]
struct Told {
    endings: Mutex<VecDeque<CompileError>>,
    budget: Budget,
}

impl Compiler for Told {
    fn compile(&self, job: &Job<'_>) -> Result<Vec<u8>, CompileError> {
        match self.endings.lock().pop_front() {
            Some(ending) => Err(ending),
            None => InProcess::default().compile(job),
        }
    }
    fn budget(&self) -> Budget {
        self.budget
    }
}

struct Lab {
    programs: Programs,
    compiler: Arc<Told>,
}

fn lab(folder: Option<&std::path::Path>, cpu_ms: u64, endings: &[CompileError]) -> Lab {
    let clock = Arc::new(Clocked::new(Duration::from_secs(60)).unwrap());
    let cache = Cache::open(folder, &clock.engine);
    let budget = budget(cpu_ms);
    let compiler = Arc::new(Told { endings: Mutex::new(endings.iter().cloned().collect()), budget });
    Lab { programs: Programs::new(clock, cache, Runtimes::default(), compiler.clone()), compiler }
}

fn budget(cpu_ms: u64) -> Budget {
    Budget { cpu: Duration::from_millis(cpu_ms), ..Budget::default() }
}

fn module(id: u8) -> ModuleSource {
    let code = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
    ModuleSource { id: Id([id; 32]), tags: vec![Tag::new("Module-Format", "wasm32-ao-json-1")], code: code.into() }
}

impl Lab {
    /// How asking for a module ended, by what was counted.
    fn ask(&self, id: u8) -> (bool, LookUp) {
        let counts = || {
            let ModuleLookups { memory, disk, compiled, refused, failed } = self.programs.lookups();
            [
                (memory, LookUp::Memory),
                (disk, LookUp::Disk),
                (compiled, LookUp::Compiled),
                (refused, LookUp::Refused),
                (failed, LookUp::Failed),
            ]
        };
        let before = counts();
        let made = self.programs.of(&module(id)).is_ok();
        let counted: Vec<_> = counts().into_iter().zip(before).filter(|(now, before)| now.0 == before.0 + 1).collect();
        assert_eq!(counted.len(), 1, "one ending for each request");
        (made, counted[0].0.1)
    }

    fn left(&self) -> usize {
        self.compiler.endings.lock().len()
    }
}

#[test]
fn a_module_is_compiled_once_then_found_in_memory_and_after_a_start_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let first = lab(Some(folder.path()), 1, &[]);
    assert_eq!([first.ask(1), first.ask(1)], [(true, LookUp::Compiled), (true, LookUp::Memory)]);
    assert_eq!(first.ask(2), (true, LookUp::Memory), "another item of the same bytes");
    let second = lab(Some(folder.path()), 1, &[]);
    assert_eq!([second.ask(2), second.ask(1)], [(true, LookUp::Disk), (true, LookUp::Memory)]);
}

#[test]
fn a_refusal_is_remembered_for_the_bytes_and_over_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = CompileError::Refused("too large for the compiler".into());
    let first = lab(Some(folder.path()), 1, &[refusal]);
    assert_eq!([first.ask(1), first.ask(1), first.ask(2)], [(false, LookUp::Refused); 3]);
    assert_eq!(first.left(), 0);
    let second = lab(Some(folder.path()), 1_000_000, &[]);
    assert_eq!(second.ask(3), (false, LookUp::Refused));
    let text = second.programs.of(&module(3)).err().unwrap();
    assert!(matches!(&text, Error::Refused(refusal) if refusal.to_string().contains("too large for the compiler")), "{text}");
}

#[test]
fn going_over_a_budget_is_remembered_until_there_is_a_larger_one() {
    let folder = tempfile::tempdir().unwrap();
    let over = CompileError::OverBudget { what: "time".into(), budget: budget(1000) };
    let first = lab(Some(folder.path()), 1000, &[over]);
    assert_eq!([first.ask(1), first.ask(1)], [(false, LookUp::Refused); 2]);
    assert!(matches!(first.programs.of(&module(1)), Err(Error::OverBudget(_))), "of this host's making, hence no refusal");
    for (cpu_ms, expected) in [(999, (false, LookUp::Refused)), (1000, (false, LookUp::Refused)), (1001, (true, LookUp::Compiled))] {
        assert_eq!(lab(Some(folder.path()), cpu_ms, &[]).ask(1), expected, "{cpu_ms}");
    }
    assert_eq!(lab(Some(folder.path()), 1, &[]).ask(1), (true, LookUp::Disk), "what was compiled once is there");
}

#[test]
fn passing_trouble_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(Some(folder.path()), 1, &[CompileError::Unavailable("busy".into()), CompileError::Unavailable("busy".into())]);
    assert_eq!([lab.ask(1), lab.ask(1), lab.ask(1)], [(false, LookUp::Failed), (false, LookUp::Failed), (true, LookUp::Compiled)]);
}
