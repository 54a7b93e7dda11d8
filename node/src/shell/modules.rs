//! Modules by id: read from the store, a few kept.

use std::sync::Arc;

use ao_storage::{Store, schema};
use ao_types::{DataItem, Id, Module, Subject, Verified};
use ao_vm::{ModuleSource, Refusal};
use lru::LruCache;
use parking_lot::Mutex;

use crate::error::{Code, Rejection};
use crate::limits::MODULE_BYTES_CACHED_MAX;

/// A module as the machine and the environment need it.
#[derive(Debug)]
pub struct Loaded {
    /// For the machine.
    pub source: ModuleSource,
    /// For the environment.
    pub subject: Subject,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Modules {
    cache: Mutex<(LruCache<Id, Arc<Loaded>>, usize)>,
}

impl Default for Modules {
    fn default() -> Self {
        Self { cache: Mutex::new((LruCache::unbounded(), 0)) }
    }
}

impl Modules {
    /// The module of this id. Refused where no such item is here, or where it is none.
    pub fn load(&self, store: &dyn Store, id: Id) -> Result<Arc<Loaded>, Rejection> {
        if let Some(found) = self.cache.lock().0.get(&id) {
            return Ok(found.clone());
        }
        let refused = |reason: String| Rejection::new(Code::ModuleRefused, format!("module {id} is refused: {reason}"));
        let bytes = schema::ITEMS.get(store, &id).map_err(|error| store_failed(&error))?;
        let bytes = bytes.ok_or_else(|| refused("it is not known here; upload it first (POST /tx)".to_owned()))?;
        let item = Verified::<DataItem>::reload(bytes).map_err(|error| refused(error.to_string()))?;
        Module::read(&item).map_err(|error| refused(error.to_string()))?;
        let subject = Subject::of(&item);
        let source = ModuleSource { id, tags: subject.tags.clone(), code: item.data_bytes() };
        let loaded = Arc::new(Loaded { source, subject });
        self.keep(id, &loaded);
        Ok(loaded)
    }

    fn keep(&self, id: Id, loaded: &Arc<Loaded>) {
        let size = loaded.source.code.len();
        if size > MODULE_BYTES_CACHED_MAX {
            return;
        }
        let (cache, bytes) = &mut *self.cache.lock();
        if cache.put(id, loaded.clone()).is_none() {
            *bytes += size;
        }
        while *bytes > MODULE_BYTES_CACHED_MAX {
            let Some((_, dropped)) = cache.pop_lru() else { break };
            *bytes -= dropped.source.code.len();
        }
    }
}

/// How a refusal of the machine is told to a client.
pub fn refused(refusal: &Refusal) -> Rejection {
    let code = match refusal {
        Refusal::UnknownFormat { .. } | Refusal::Module { .. } => Code::ModuleRefused,
        Refusal::Limit(_) => Code::LimitExceeded,
    };
    Rejection::new(code, refusal.to_string())
}

/// How a store that cannot answer is told to a client.
pub fn store_failed(error: &ao_storage::Error) -> Rejection {
    match error {
        ao_storage::Error::Corrupt { .. } => Rejection::new(Code::Internal, error.to_string()),
        _ => Rejection::retry(Code::Unavailable, error.to_string(), 2),
    }
}
