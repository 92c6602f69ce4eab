//! Whether the platform carries its applications, for programs: the API and two metrics.
//!
//! Judged when somebody asks, over a copy of what the engine knows at that moment, so that no
//! tick waits for it. The judging itself is the engine's.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::engine::fit::{self, Answer, Gate, Ground, Measured, render};
use crate::model::objective::PPB;
use crate::model::{Catalog, SloId};

use super::exposition::{Exposition, Labels};
use super::problem::Problem;
use super::routes::Shared;
use super::site::Site;

/// The series of one application: every gate, and the offer.
pub const SERIES_EACH: usize = Gate::ALL.len() + 1;

/// What was declared and what is known of it at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    catalog: Arc<Catalog>,
    measured: BTreeMap<SloId, Measured>,
}

impl Snapshot {
    /// As the engine stands.
    pub fn of(site: &Site) -> Self {
        let engine = site.engine();
        let catalog = engine.shared_catalog();
        let promises = catalog.services.iter().filter_map(|service| service.promise());
        let promises = promises.filter(|_| !catalog.applications.is_empty());
        let composites = catalog.slos().map(|(_, slo)| slo).filter(|slo| slo.is_composite());
        let needed = promises.chain(composites);
        let measured = |slo: &crate::model::Slo| Some((slo.id.clone(), engine.measured(&slo.id)?));
        let measured = needed.filter_map(measured).collect();
        Snapshot { catalog, measured }
    }

    /// The platform to hold applications against.
    pub fn ground(&self) -> Ground<'_> {
        Ground::new(&self.catalog, &|id| self.measured.get(id).copied())
    }

    /// What was declared.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// That there is no such application, and which ones there are.
    pub fn unknown(&self, name: &str) -> Problem {
        let known = self.catalog.applications.iter().map(|one| one.name.as_str());
        Problem::unknown("application", name, known)
    }
}

/// `GET /api/v1/applications`.
///
/// # Errors
/// When judging panics.
pub async fn applications(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let site = shared.site.clone();
    let judge = move || {
        let snapshot = Snapshot::of(&site);
        let ground = snapshot.ground();
        let fits: Value = fit::assess_all(&ground).iter().map(render::summary_json).collect();
        Json(json!({ "schema": "nines.applications/v1", "applications": fits }))
    };
    shared.blocking(judge).await
}

/// `GET /api/v1/applications/{name}/fit`.
///
/// # Errors
/// Unknown applications.
pub async fn application(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let site = shared.site.clone();
    let judge = move || {
        let snapshot = Snapshot::of(&site);
        let ground = snapshot.ground();
        let application = snapshot.catalog.application(&name);
        let application = application.ok_or_else(|| snapshot.unknown(&name))?;
        Ok(render::fits_json(&[fit::assess(&ground, application)]))
    };
    shared.blocking(judge).await?.map(Json)
}

/// `GET /api/v1/services/{name}/fit`.
///
/// # Errors
/// Unknown services.
pub async fn service(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let site = shared.site.clone();
    let judge = move || {
        let snapshot = Snapshot::of(&site);
        let ground = snapshot.ground();
        let fit = fit::service::assess(&ground, &name);
        let fit = fit.ok_or_else(|| {
            let known = snapshot.catalog().services.iter().map(|service| service.name.as_str());
            Problem::unknown("service", &name, known)
        })?;
        Ok(render::service_json(&fit))
    };
    shared.blocking(judge).await?.map(Json)
}

/// Writes the fit group.
pub fn write(out: &mut Exposition, snapshot: &Snapshot) {
    let format = out.format();
    let ground = snapshot.ground();
    let fits = fit::assess_all(&ground);
    let labels =
        |fit: &fit::Fit<'_>| Labels::of(format, &[("application", fit.application.name.as_str())]);
    let fits: Vec<(Labels, fit::Fit<'_>)> =
        fits.into_iter().map(|fit| (labels(&fit), fit)).collect();
    let help = "Whether a gate holds for an application; nothing where nobody can tell yet.";
    let mut family = out.gauge("nines_application_fit", help);
    for (labels, fit) in &fits {
        for (gate, finding) in fit.gates().filter(|(_, one)| one.answer != Answer::Unknown) {
            let holds = finding.answer == Answer::Pass;
            family.sample_with(labels, &Labels::of(format, &[("gate", gate.word())]), holds);
        }
    }
    let help = "The highest objective at which no gate of an application fails.";
    let mut family = out.gauge("nines_application_supported_ratio", help);
    for (labels, fit) in &fits {
        if let Some(offer) = &fit.offer {
            family.sample(labels, f64::from(offer.objective.ppb()) / f64::from(PPB));
        }
    }
}
