//! What may come of an SLO, for those who ask; no tick waits for it.

use super::Engine;
use crate::engine::evaluate::Moment;
use crate::engine::forecast;
use crate::engine::status::SloStatus;

impl Engine {
    /// The chance that the budget of an SLO is not overspent [ahead](forecast::ahead) of this
    /// evaluation of it; none without data, for an SLO that is not declared, and for one that is
    /// made of others, whose outages may come together.
    pub fn survival(&self, id: &str, status: &SloStatus) -> Option<f64> {
        let state = self.slo(id).filter(|state| !state.slo.is_composite())?;
        let slo = state.slo_at(status.at);
        let moment = Moment::new(self.judged(state), status.at).under(state.revisions());
        forecast::survival(&moment, &slo, status)
    }
}
