//! The configuration read again while the node runs, on SIGHUP or by the operator's listener: log levels, rates,
//! origins, the reserve on disk.
//!
//! All or nothing: a configuration with anything wrong in it changes nothing. Keys that cannot change in a running node are named.

use parking_lot::Mutex;

use super::service::rates;
use crate::config::{Config, Loaded};
use crate::http::{App, Open, Origins, Reloaded};
use crate::logging::Levels;

/// Keys that take effect at once; all others wait for a restart.
pub const RELOADED: [&str; 8] = [
    "api.cors_origins",
    "api.reads_per_s",
    "api.writes_per_s",
    "api.dry_runs_per_s",
    "api.burst_s",
    "log.level",
    "storage.reserve",
    "chain.clock_skew_ms",
];

/// Applies what concerns the node itself, or says why that cannot be.
pub type Apply = Box<dyn Fn(&Config) -> Result<(), String> + Send + Sync>;

/// What is needed to read the configuration again and to apply it.
pub struct Reloader {
    /// In force, as far as it can be.
    loaded: Mutex<Loaded>,
    app: App,
    levels: Option<Levels>,
    apply: Apply,
}

/// What `config` says about what may change while listeners are open.
///
/// # Errors
/// An origin is none.
pub fn open(config: &Config) -> Result<Open, String> {
    Ok(Open { rates: rates(config), origins: Origins::parse(&config.api.cors_origins)? })
}

impl Reloader {
    /// For a node that runs on `loaded`.
    pub fn new(loaded: Loaded, app: App, levels: Option<Levels>, apply: Apply) -> Self {
        Self { loaded: Mutex::new(loaded), app, levels, apply }
    }

    /// Reads the configuration again and applies what can be applied. A level that the operator set by hand is the configured one again.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration; all is as before.
    pub fn reload(&self) -> Result<Reloaded, String> {
        let mut loaded = self.loaded.lock();
        let again = loaded.again().map_err(|error| error.to_string())?;
        let open = open(&again.config)?;
        let (before, after) = (loaded.rows(), again.rows());
        let different = before.into_iter().zip(after).filter(|((_, was, _), (_, is, _))| was != is).map(|((key, ..), _)| key);
        let (changed, needs_restart) = different.partition(|key| RELOADED.contains(&key.as_str()));
        (self.apply)(&again.config)?;
        if let Some(levels) = &self.levels {
            levels.set(&again.config.log.level)?;
        }
        // Whether loopback is free decides about connections too, which are counted from the start on.
        let loopback_free = loaded.config.api.loopback_free;
        self.app.set_open(Open { rates: crate::http::Rates { loopback_free, ..open.rates }, ..open });
        // What waits for a restart is named again each time until then.
        let mut in_force = loaded.clone();
        in_force.config.log.level.clone_from(&again.config.log.level);
        in_force.config.storage.reserve = again.config.storage.reserve;
        in_force.config.chain.clock_skew_ms = again.config.chain.clock_skew_ms;
        let (api, new) = (&mut in_force.config.api, &again.config.api);
        api.cors_origins.clone_from(&new.cors_origins);
        (api.reads_per_s, api.writes_per_s, api.dry_runs_per_s, api.burst_s) =
            (new.reads_per_s, new.writes_per_s, new.dry_runs_per_s, new.burst_s);
        *loaded = in_force;
        Ok(Reloaded { changed, needs_restart })
    }

    /// The same on a signal: what came of it goes into the log.
    pub fn on_signal(&self) {
        match self.reload() {
            Ok(Reloaded { changed, needs_restart }) if needs_restart.is_empty() => {
                tracing::info!(event = "config_reloaded", changed = changed.join(" "), "the configuration was read again");
            }
            Ok(Reloaded { changed, needs_restart }) => tracing::warn!(
                event = "config_reloaded",
                changed = changed.join(" "),
                needs_restart = needs_restart.join(" "),
                "the configuration was read again; restart the node for the keys that cannot change while it runs"
            ),
            Err(reason) => {
                tracing::warn!(event = "config_refused", reason, "nothing was changed; correct the configuration and send SIGHUP again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KEYS, Sources};
    use crate::http::tests::support::Script;

    #[test]
    fn keys_that_change_exist() {
        for key in RELOADED {
            assert!(KEYS.iter().any(|known| known.path() == key), "{key}");
        }
    }

    #[tokio::test]
    async fn a_changed_file_changes_what_can_change_and_a_wrong_one_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("[api]\nreads_per_s = 5\n");
        let loaded = Sources { file: Some(file.clone()), ..Sources::default() }.load().unwrap();
        let app = Script::new().app();
        let reloader = Reloader::new(loaded, app.clone(), None, Box::new(|_| Ok(())));
        assert_eq!(reloader.reload().unwrap(), Reloaded::default());

        write("[api]\nreads_per_s = 7\nloopback_free = false\ncors_origins = \"https://app.example\"\n");
        let names = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (changed, needs_restart) = (names(&["api.cors_origins", "api.reads_per_s"]), names(&["api.loopback_free"]));
        assert_eq!(reloader.reload().unwrap(), Reloaded { changed, needs_restart: needs_restart.clone() });
        let now = app.open();
        assert_eq!((now.rates.read_per_s, now.rates.loopback_free), (7, true));
        assert!(now.origins.vary());
        assert_eq!(reloader.reload().unwrap(), Reloaded { changed: Vec::new(), needs_restart });

        for wrong in ["[api]\nreads_per_s = -1\n", "[api]\ncors_origins = \"app\"\n", "[log]\nlevel = \"loud\"\n", "nonsense"] {
            write(wrong);
            let reason = reloader.reload().unwrap_err();
            assert!(reason.contains("config.toml"), "{reason}");
            assert_eq!(app.open(), now, "{wrong}");
        }
    }
}
