//! Gate 3: what the platform leaves of the budget for the application's own failures, and
//! whether that is the share it wants to keep.

use crate::model::decimal;
use crate::model::number;
use crate::model::objective::PPB;

use super::dependencies::within;
use super::ground::Ask;
use super::{Answer, Finding};

/// Digits of a share that are computed: millionths.
const PARTS: i128 = 1_000_000;

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let Some(composed) = ask.case.composed else {
        let sentence = "the services that are needed are too entangled to compute";
        return Finding::new(Answer::Unknown, sentence);
    };
    let (budget, whole) = ask.budget_ratio();
    let left = composed.independent.map(|lost| {
        // Cut toward worse: down.
        let share = 1.0 - lost.value() * whole as f64 / budget as f64;
        (share * PARTS as f64 + 1e-6).floor() as i128
    });
    let left_words = left
        .map_or(number::NO_DATA.to_owned(), |left| number::percent_of(left, PARTS.unsigned_abs()));
    let text = left.and_then(|left| decimal::ratio(left, PARTS.unsigned_abs()));
    let Some(reserve) = ask.case.application.reserve else {
        let takes = match left.filter(|left| *left < 0) {
            Some(left) => {
                let taken = (PARTS - left).unsigned_abs();
                format!("takes {}", number::of_budget(taken, PARTS.unsigned_abs()))
            }
            None => format!("leaves {left_words} of the budget"),
        };
        let sentence = format!("no reserve is declared; the platform {takes}");
        return Finding::new(Answer::Unknown, sentence).number(text, "ratio");
    };
    // What the platform may take: (1 - reserve) of the budget.
    let share = budget * u128::from(PPB - reserve.ppb());
    let answer = within(&composed, (share, whole * u128::from(PPB)));
    let reserve = number::percent_ppb(reserve.ppb());
    let sentence = match (answer, left) {
        (_, None) => format!("{reserve} of the budget is to be kept; what is left is not known"),
        (_, Some(left)) if left < 0 => {
            format!("{reserve} of the budget is to be kept; the platform takes all of it and more")
        }
        (Answer::Pass, _) => {
            format!("the platform leaves {left_words} of the budget; {reserve} is to be kept")
        }
        _ => {
            format!("the platform leaves only {left_words} of the budget; {reserve} is to be kept")
        }
    };
    Finding::new(answer, sentence).number(text, "ratio")
}
