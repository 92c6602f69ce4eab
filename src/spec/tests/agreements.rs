//! Agreements: what is refused, what is warned of, and what arrives.

use super::*;

/// A service `a` that aims at 99.95 %, and an agreement with these keys in its spec, from line 5.
fn agreement(keys: &str) -> String {
    let service = slo("objective: 99.95%, window: 30d");
    format!(
        "apiVersion: nines/v1\nkind: Agreement\nmetadata: {{name: sla}}\nspec:\n  {keys}\n---\n{service}"
    )
}

/// The same with everything that it must have, and these keys more on line 6.
fn with(objective: &str, more: &str) -> String {
    agreement(&format!(
        "{{service: a, slo: s, customer: shop, window: {{calendar: month}}, objective: {objective}{more}}}"
    ))
}

#[test]
fn an_agreement_arrives_with_its_tiers() {
    let credits = ", credits: [{below: 99.9%, credit: 10%}, {below: 99%, credit: 25%}]";
    check(&with("99.9%", credits), &[]);
    let catalog = catalog(&with("99.9%", credits));
    let sla = &catalog.agreements[0];
    assert_eq!(
        (sla.name.as_str(), sla.slo.as_str(), sla.customer.as_str()),
        ("sla", "a/s", "shop")
    );
    assert_eq!(
        (sla.objective.to_string(), sla.calendar.to_string()),
        ("99.9%".into(), "calendar month (UTC)".into())
    );
    let tiers: Vec<_> =
        sla.credits.iter().map(|c| (c.below.to_string(), c.credit.to_string())).collect();
    let expect = [("99.9%", "10%"), ("99%", "25%")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(tiers, expect);
    check(&with("99.9%", ""), &[]);
}

#[test]
fn what_an_agreement_is_about_must_be_there() {
    check(
        &agreement("{service: b, slo: s, customer: x, objective: 99%, window: {calendar: month}}"),
        &["5:13 spec.service: unknown Service \"b\""],
    );
    let text =
        agreement("{service: a, slo: t, customer: x, objective: 99%, window: {calendar: month}}");
    check(&text, &["5:21 spec.slo: a has no SLO \"t\""]);
    let problem = read(&text).expect_err("wrong").remove(0);
    assert_eq!(problem.expected.as_deref(), Some("one of `s`"));
    check(
        &agreement("{service: a, slo: s, objective: 99%, window: {calendar: month}}"),
        &["5:3 spec: missing key `customer`"],
    );
    let rolling =
        read(&agreement("{service: a, slo: s, customer: x, objective: 99%, window: 30d}"));
    assert_eq!(rolling.expect_err("periods begin and end").len(), 1);
    let options = Options { retention: Duration::from_secs(20 * 86_400), ..Options::default() };
    let text = with("99%", "").replace("window: 30d", "window: 7d");
    let problems = load(&files(&[("a", &text)]), &options).expect_err("too long");
    assert!(problems[0].message.contains("longer than history is kept"), "{problems:?}");
}

#[test]
fn tiers_fall_while_credits_rise() {
    let tiers = |tiers: &str| with("99.9%", &format!(", credits: [{tiers}]"));
    let told = |text: &str| {
        let problems = read(text).expect_err("wrong");
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    let order = "{below: 99.9%, credit: 25%}, {below: 99.9%, credit: 10%}";
    let expect =
        ["99.9% is not below the tier before it", "10% is not more than the tier before it"];
    assert_eq!(told(&tiers(order)), expect);
    assert_eq!(told(&tiers("{below: 99.9%, credit: 0%}")), ["a credit of nothing"]);
}

#[test]
fn an_agreement_that_surprises_somebody_is_warned_of() {
    let warned = |text: &str| {
        let problems = read(text).expect("good").warnings;
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    assert_eq!(warned(&with("99.95%", "")), ["99.95% is agreed, and a/s aims at no more"]);
    assert_eq!(warned(&with("99.99%", "")), ["99.99% is agreed, and a/s only aims at 99.95%"]);
    let low = with("99.9%", ", credits: [{below: 99%, credit: 10%}]");
    assert_eq!(warned(&low), ["from 99% to 99.9% it is broken, and nothing is owed"]);
    let high = with("99%", ", credits: [{below: 99.9%, credit: 10%}]");
    assert_eq!(warned(&high), ["from 99% to 99.9% it is kept, and still owes"]);
    let needs = format!(
        "{}---\napiVersion: nines/v1\nkind: Application\nmetadata: {{name: shop}}\nspec:\n  \
         needs: {{objective: 99.9%, window: 30d}}\n  dependsOn: [{{service: a}}]\n",
        with("99.5%", "")
    );
    assert_eq!(warned(&needs), ["99.5% is agreed, and shop needs 99.9%"]);
    let good = with("99.9%", "").replace("window: 30d", "window: 30d, unknown: good");
    assert_eq!(warned(&good), ["a/s counts time that nobody measured as good"]);
}
