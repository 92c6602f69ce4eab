//! Gate 4: whether redundancy is as independent as is claimed. For each group, the largest share
//! of common causes with which it alone stays within the budget (beta-factor model).

use std::cmp::Reverse;

use serde_json::json;

use crate::model::composition::DEFAULT_COMMON_CAUSE_PPB;
use crate::model::decimal;
use crate::model::number;
use crate::model::objective::PPB;

use super::dependencies::within;
use super::ground::{Ask, TermFacts};
use super::{Answer, Finding};

/// One group at this objective.
struct Group {
    title: String,
    answer: Answer,
    declared: Option<u32>,
    largest: Option<u32>,
}

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    if ask.case.structure.is_none() {
        let sentence = "the services that are needed are too entangled to compute";
        return Finding::new(Answer::Unknown, sentence);
    }
    let groups = ask.case.terms.iter().filter(|term| term.is_group);
    let groups: Vec<Group> = groups.map(|term| group(ask, term)).collect();
    let worst = groups.iter().max_by_key(|group| (group.answer, Reverse(group.largest)));
    let Some(worst) = worst else {
        return Finding::new(Answer::Pass, "nothing redundant is counted on");
    };
    let ratio = |ppb: u32| decimal::ratio(ppb.into(), PPB.into());
    let json = |group: &Group| {
        json!({
            "of": group.title,
            "answer": group.answer.word(),
            "common_cause": group.declared.and_then(ratio),
            "largest_common_cause": group.largest.and_then(ratio),
        })
    };
    Finding::new(worst.answer, sentence(worst))
        .number(worst.largest.and_then(ratio), "ratio")
        .fact("groups", groups.iter().map(json).collect::<serde_json::Value>())
}

fn group(ask: &Ask<'_, '_>, term: &TermFacts) -> Group {
    let declared = term.common_cause_ppb;
    // A share that nobody declared can be too large, but it cannot have been wrongly claimed.
    let answer = match within(&term.composed, ask.budget_ratio()) {
        Answer::Fail if declared.is_none() => Answer::Unknown,
        answer => answer,
    };
    // Worked out for the need only: at other objectives nobody reads it.
    let is_need = ask.objective == ask.case.application.objective;
    let largest = term.largest_common_cause_ppb.filter(|_| is_need);
    Group { title: term.title(), answer, declared, largest }
}

fn sentence(group: &Group) -> String {
    let share = |ppb: u32| number::percent_of(ppb.into(), PPB.into());
    let declared = match group.declared {
        Some(ppb) => format!("{} is declared", share(ppb)),
        None => format!("none is declared, {} is taken", share(DEFAULT_COMMON_CAUSE_PPB)),
    };
    match group.largest {
        None => format!("{} loses too much even without common causes; {declared}", group.title),
        Some(PPB) => format!("{} would fit if it failed as one; {declared}", group.title),
        Some(largest) => format!(
            "{} fits with at most {} of common causes; {declared}",
            group.title,
            share(largest)
        ),
    }
}
