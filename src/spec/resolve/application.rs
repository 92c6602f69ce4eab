//! Applications: what they need, what they bring, and what they depend on.

use std::time::Duration;

use super::parts::within;
use super::service::{dependencies, labels, texts, window};
use super::{Context, raw};
use crate::model::catalog::{Application, Support};
use crate::model::objective::PPB;
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::Problems;

/// Most applications: each is ten series, and each is composed at every scrape.
const MAX_APPLICATIONS: usize = 10_000;
/// Longest time that people take.
const MAX_TIME: Duration = Duration::from_secs(30 * 86_400);

/// Builds every application, by name; none if something in one was wrong.
pub(super) fn applications(
    raws: &[raw::Application],
    cx: &mut Context,
) -> Option<Vec<Application>> {
    if let Some(first) = raws.get(MAX_APPLICATIONS).and_then(raw::Application::name) {
        let message = format!("more than {MAX_APPLICATIONS} applications");
        cx.problems.error(&first.at, message).hint("leave out those that nobody runs any more");
    }
    let built: Vec<_> = raws.iter().map(|raw| application(raw, cx)).collect();
    let mut applications: Vec<Application> = built.into_iter().collect::<Option<_>>()?;
    applications.sort_by(|a, b| a.name.cmp(&b.name));
    Some(applications)
}

fn application(raw: &raw::Application, cx: &mut Context) -> Option<Application> {
    let labels = raw.metadata.value().map(|metadata| labels(&metadata.labels, cx.problems));
    let spec = raw.spec.value()?;
    let depends_on = dependencies(&spec.depends_on, cx);
    let needs = spec.needs.value();
    let window =
        needs.and_then(|needs| needs.window.given()).and_then(|given| window(given, &[], cx));
    let reserve = spec.reserve.given().map(|reserve| {
        if reserve.value.ppb() == PPB {
            let problem = cx.problems.error(&reserve.at, "a reserve of the whole budget");
            problem.expected("a share below 100%: the platform fails at times, too");
        }
        reserve.value
    });
    let support = support(&spec.support, cx.problems);
    let metadata = raw.metadata.value()?;
    Some(Application {
        name: raw.name()?.value.clone(),
        display_name: metadata.display_name.value().map(|name| name.0.clone()),
        labels: labels?,
        description: spec.description.value().map(|text| text.0.clone()),
        links: texts(&spec.links),
        objective: *needs?.objective.value()?,
        window: window?,
        reserve,
        support: support?,
        depends_on,
    })
}

/// What the team does, if that is said; none of both if it is wrong.
fn support(field: &Field<raw::TeamSupport>, problems: &mut Problems) -> Option<Option<Support>> {
    let raw = match field {
        Field::Absent => return Some(None),
        Field::Broken => return None,
        Field::Given(given) => &given.value,
    };
    let mut time = |given: Option<&Given<Duration>>, least| {
        given.and_then(|given| within(given, (least, MAX_TIME), problems))
    };
    let acknowledge = time(raw.acknowledge.given(), Duration::from_secs(1));
    let repair = time(raw.repair.given(), Duration::ZERO);
    let hours = *raw.hours.value()?;
    Some(Some(Support { hours, acknowledge: acknowledge?, repair: repair? }))
}
