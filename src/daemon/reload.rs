//! Another configuration without a restart: everything that can fail first, then one swap.
//!
//! One reload at a time; whoever asks while one is under way is served by the next, together.
//! What it keeps true: a reload that fails has changed nothing, and says every problem there is.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::core::Swap;
use super::{NOTIFY_DRAIN, Pager, start_notifier};
use crate::clock::Clock;
use crate::engine::Engine;
use crate::ledger::Writer;
use crate::model::{Catalog, Probe, ProbeId, SeriesId, Settings};
use crate::notify::Notifier;
use crate::probe::Prober;
use crate::serve::{Gate, Load, ReloadFailure};
use crate::source::{Servers, Sources};

/// Where a configuration is read from.
pub trait Source: Send + Sync {
    /// Reads and checks all of it.
    ///
    /// # Errors
    /// Every problem in it, or what kept it from being read.
    fn load(&self) -> Result<Loaded, ReloadFailure>;

    /// A number that is another one once anything that [`Source::load`] reads is.
    ///
    /// # Errors
    /// It cannot be read at present.
    fn fingerprint(&self) -> anyhow::Result<u64>;
}

/// A configuration that has been read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The operator's choices.
    pub settings: Settings,
    /// What is declared.
    pub catalog: Catalog,
    /// Who may come in over HTTP, and how.
    pub gate: Arc<Gate>,
    /// The fingerprint of what was read.
    pub fingerprint: u64,
}

/// Who waits for a reload; none for a signal or a changed file.
pub type Request = Option<oneshot::Sender<Result<(), Arc<ReloadFailure>>>>;

/// What reloads work with.
pub struct Reloader {
    /// Where the configuration is read from; none for one that is built in.
    pub source: Option<Arc<dyn Source>>,
    /// The fingerprint of what was loaded or refused last.
    pub fingerprint: u64,
    /// The operator's choices in force, which everybody reads.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Who may come in over HTTP, and how.
    pub gate: Arc<ArcSwap<Gate>>,
    /// What is declared and known at present.
    pub engine: Arc<RwLock<Engine>>,
    /// What probes.
    pub prober: Prober,
    /// What asks those who count in place of probes.
    pub sources: Sources,
    /// What pages, if anything does.
    pub notifier: Option<Notifier>,
    /// Where everybody finds that.
    pub pager: Pager,
    /// Who numbers new series.
    pub writer: Arc<Writer>,
    /// To the engine's thread.
    pub swaps: mpsc::Sender<Swap>,
    /// Who wants to know how it went.
    pub load: watch::Sender<Load>,
    /// The time.
    pub clock: Clock,
}

/// What is left when no more reloads may come: the parts that are stopped one by one.
#[derive(Debug)]
pub struct Parts {
    /// What probes.
    pub prober: Prober,
    /// What asks those who count in place of probes.
    pub sources: Sources,
    /// What pages, if anything does.
    pub notifier: Option<Notifier>,
}

impl Reloader {
    /// Reloads whenever somebody asks for it, or the files have changed and changes are looked
    /// for; ends once nobody can ask any more.
    pub async fn work(mut self, mut requests: mpsc::Receiver<Request>) -> Parts {
        let mut seen = self.fingerprint;
        loop {
            let look = self.settings.load().auto_reload_interval;
            tokio::select! {
                request = requests.recv() => match request {
                    None => break,
                    Some(request) => {
                        let mut waiting = vec![request];
                        waiting.extend(std::iter::from_fn(|| requests.try_recv().ok()));
                        let outcome = self.reload().await;
                        for answer in waiting.into_iter().flatten() {
                            // Whoever asked may have gone.
                            let _ = answer.send(outcome.clone());
                        }
                    }
                },
                () = tokio::time::sleep(look.unwrap_or(Duration::MAX)), if look.is_some() => {
                    self.look(&mut seen).await;
                }
            }
        }
        Parts { prober: self.prober, sources: self.sources, notifier: self.notifier }
    }

    /// Reloads if the files are others than those that were loaded last, and have not changed
    /// since the look before: half a checkout is no configuration.
    async fn look(&mut self, seen: &mut u64) {
        let Some(source) = self.source.clone() else { return };
        let found = tokio::task::spawn_blocking(move || source.fingerprint()).await;
        match found {
            Ok(Ok(found)) if found == self.fingerprint => *seen = found,
            Ok(Ok(found)) if found == *seen => {
                // A refusal has been logged; the files are not looked at again until they change.
                let _ = self.reload().await;
                self.fingerprint = found;
            }
            Ok(Ok(found)) => *seen = found,
            Ok(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "cannot look for changed files");
            }
            Err(error) => tracing::error!(%error, "looking for changed files broke down"),
        }
    }

    async fn reload(&mut self) -> Result<(), Arc<ReloadFailure>> {
        match self.try_reload().await {
            Ok(()) => {
                let _ = self.load.send(Load { success_at: self.clock.now(), failure: None });
                Ok(())
            }
            Err(failure) => {
                for problem in failure.problems() {
                    tracing::error!(problem, "the configuration was not reloaded");
                }
                let failure = Arc::new(failure);
                self.load.send_modify(|load| load.failure = Some(Arc::clone(&failure)));
                Err(failure)
            }
        }
    }

    async fn try_reload(&mut self) -> Result<(), ReloadFailure> {
        let Some(source) = self.source.clone() else {
            let why = "this configuration is built in; it cannot be loaded again";
            return Err(ReloadFailure::Refused(vec![why.to_owned()]));
        };
        let loaded = blocking(move || source.load()).await??;
        let Loaded { settings, catalog, gate, fingerprint } = loaded;
        let before = self.settings.load_full();
        let fixed = needs_restart(&before, &settings);
        if !fixed.is_empty() {
            return Err(ReloadFailure::Refused(fixed));
        }
        let objections = self.engine().objections(&catalog);
        if !objections.is_empty() {
            return Err(ReloadFailure::Refused(objections));
        }
        let renewed = match pages_alike(&before, &settings) {
            true => None,
            false => {
                let started = start_notifier(&settings);
                Some(started.map_err(|error| ReloadFailure::Refused(vec![format!("{error:#}")]))?)
            }
        };
        let servers = Servers::new(&settings.prometheus, &settings.egress, self.sources.servers())
            .map_err(|error| ReloadFailure::Refused(vec![error.to_string()]))?;
        let numbered = self.number(&catalog, &settings.vantage).await?;
        let catalog = Arc::new(catalog);
        self.swap(&catalog, numbered, (settings, servers), renewed).await?;
        self.gate.store(gate);
        self.fingerprint = fingerprint;
        let writer = Arc::clone(&self.writer);
        if let Err(error) = blocking(move || writer.flush()).await? {
            tracing::warn!(%error, "the reload is in force but not yet durable");
        }
        tell_undeclared(&self.engine());
        let (services, slos) = (catalog.services.len(), catalog.slos().count());
        tracing::info!(services, slos, "configuration reloaded");
        Ok(())
    }

    fn engine(&self) -> RwLockReadGuard<'_, Engine> {
        // A writer that panics ends the process; what can be read is whole.
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of every probe; new ones are durable when this returns.
    async fn number(
        &self,
        catalog: &Catalog,
        vantage: &str,
    ) -> Result<Vec<(SeriesId, Probe)>, ReloadFailure> {
        let probes: Vec<Probe> = catalog.probes().cloned().collect();
        let wanted: Vec<(ProbeId, String)> =
            probes.iter().map(|probe| (probe.id.clone(), vantage.to_owned())).collect();
        let writer = Arc::clone(&self.writer);
        let numbers = blocking(move || writer.series(wanted)).await?;
        let numbers = numbers.map_err(|error| ReloadFailure::Failed(error.to_string()))?;
        Ok(numbers.into_iter().zip(probes).collect())
    }

    /// Nothing in here can fail any more but for a part of the process that has ended.
    async fn swap(
        &mut self,
        catalog: &Arc<Catalog>,
        probes: Vec<(SeriesId, Probe)>,
        (settings, servers): (Settings, Servers),
        renewed: Option<Option<Notifier>>,
    ) -> Result<(), ReloadFailure> {
        let ended = || ReloadFailure::Failed("the engine has ended".to_owned());
        let notifier = renewed.as_ref().unwrap_or(&self.notifier).as_ref().map(Notifier::handle);
        let (done, begins) = oneshot::channel();
        // Nothing is taken any more for what ends, so all of it is known.
        let promised = self.sources.make_way(&probes, &servers).await;
        let swap = Swap {
            catalog: Arc::clone(catalog),
            series: probes.iter().map(|(series, probe)| (probe.id.clone(), *series)).collect(),
            promised,
            resend_delay: settings.resend_delay,
            retention: settings.retention,
            notifier,
            done,
        };
        self.swaps.send(swap).await.map_err(|_| ended())?;
        let at = begins.await.map_err(|_| ended())?;
        self.settings.store(Arc::new(settings));
        self.sources.replace(&probes, servers, at).await;
        self.prober.replace(probes, at).await;
        if let Some(renewed) = renewed
            && let Some(before) = std::mem::replace(&mut self.notifier, renewed)
        {
            // What it still has to say is said, beside what the new one says already.
            tokio::spawn(before.drain(NOTIFY_DRAIN));
        }
        Ok(())
    }
}

/// Says which Corrections are in force though no file has them any more.
pub(super) fn tell_undeclared(engine: &Engine) {
    for name in engine.book().undeclared() {
        tracing::warn!(
            correction = name.as_str(),
            "this Correction is in no spec file any more and stays in force; put it back, and \
             withdraw it by another one if it is not to hold"
        );
    }
}

/// Whether notices go to the same Alertmanagers with the same links.
fn pages_alike(before: &Settings, after: &Settings) -> bool {
    let of = |settings: &Settings| {
        (settings.alerting, settings.alertmanagers.clone(), settings.external_url.clone())
    };
    of(before) == of(after)
}

/// What the configuration asks for that a running process cannot do.
fn needs_restart(before: &Settings, after: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |what: &str, before: String, after: String| {
        if before != after {
            problems.push(format!(
                "restart needed to change {what} from {before} to {after}; undo that or restart"
            ));
        }
    };
    check("the listening address", before.listen.to_string(), after.listen.to_string());
    let path = |settings: &Settings| settings.storage_path.display().to_string();
    check("the ledger's directory", path(before), path(after));
    check("the vantage", before.vantage.clone(), after.vantage.clone());
    for (key, same) in [
        ("egress", before.egress == after.egress),
        ("reference", before.references == after.references),
    ] {
        if !same {
            problems.push(format!("restart needed to change `{key}`; undo that or restart"));
        }
    }
    problems
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReloadFailure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ReloadFailure::Failed(format!("reloading broke down: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_restart_can_change_is_named_one_by_one() {
        let before = Settings::default();
        let after = Settings {
            listen: "127.0.0.1:1".parse().expect("an address"),
            storage_path: "elsewhere".into(),
            retention: Duration::from_secs(86_400),
            ..Settings::default()
        };
        assert_eq!(needs_restart(&before, &before), [""; 0]);
        let problems = needs_restart(&before, &after);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("the listening address from 127.0.0.1:10099 to 127.0.0.1:1"));
        assert!(problems[1].contains("the ledger's directory from nines-data to elsewhere"));
    }

    #[test]
    fn a_notifier_is_only_renewed_for_what_it_is_told() {
        let before = Settings::default();
        let check = |after: Settings, alike| assert_eq!(pages_alike(&before, &after), alike);
        check(Settings { resend_delay: Duration::from_secs(1), ..Settings::default() }, true);
        check(Settings { external_url: "http://other".to_owned(), ..Settings::default() }, false);
        let alertmanagers = vec!["http://alertmanager.example:9093".to_owned()];
        check(Settings { alertmanagers, ..Settings::default() }, false);
    }
}
