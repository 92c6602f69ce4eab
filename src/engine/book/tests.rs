//! Which Corrections hold, and what stays in the book.

use super::*;

fn at(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn id() -> SloId {
    "svc/a".parse().expect("an id")
}

pub(in crate::engine) fn set(called: &str, from: i64, to: i64, outcome: Outcome) -> Correction {
    let act = Act::Set { slo: id(), from: at(from), to: at(to), outcome };
    let (reason, author) = ("a fault of ours".to_owned(), "ana".to_owned());
    Correction { name: name(called), act, reason, author, at: None }
}

pub(in crate::engine) fn withdrawal(called: &str, of: &str) -> Correction {
    Correction { act: Act::Withdraw(name(of)), ..set(called, 0, 1, Outcome::Good) }
}

fn catalog(corrections: &[Correction]) -> Catalog {
    let corrections = corrections.iter().cloned().map(Arc::new).collect();
    Catalog { corrections, ..Catalog::default() }
}

fn holding(corrections: &[Correction]) -> String {
    let book = Book::of(&catalog(corrections));
    book.holding().into_iter().map(Name::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_correction_holds_unless_one_that_holds_withdraws_it() {
    let a = set("a", 0, 9, Outcome::Bad);
    assert_eq!(holding(std::slice::from_ref(&a)), "a");
    assert_eq!(holding(&[a.clone(), withdrawal("b", "a")]), "b");
    let back = [a.clone(), withdrawal("b", "a"), withdrawal("c", "b")];
    assert_eq!(holding(&back), "a c", "withdrawing a withdrawal");
    let twice = [a.clone(), withdrawal("b", "a"), withdrawal("c", "b"), withdrawal("d", "a")];
    assert_eq!(holding(&twice), "c d", "one withdrawal that holds is enough");
    assert_eq!(holding(&[withdrawal("b", "c"), withdrawal("c", "b"), a]), "a");
}

#[test]
fn the_one_that_was_written_later_holds_and_of_two_the_later_name() {
    let outcome_at = |corrections: &[Correction], n| {
        let book = Book::of(&catalog(corrections));
        let slo = id();
        let amendments = book.amendments([&slo].into_iter()).remove(0);
        let mut series = crate::engine::series::Series::default();
        series.push(at(n), std::time::Duration::ZERO, 1, Tally::of(Outcome::Unknown, 1));
        amendments.over(vec![series])[0].total()
    };
    let [bad, good] = [set("a", 0, 10, Outcome::Bad), set("b", 0, 10, Outcome::Good)];
    let both = [bad.clone(), good.clone()];
    assert_eq!(outcome_at(&both, 5), Tally::of(Outcome::Good, 1), "the later name");
    let written = [Correction { at: Some(at(99)), ..bad.clone() }, good.clone()];
    assert_eq!(outcome_at(&written, 5), Tally::of(Outcome::Bad, 1), "the later moment");
    let ends_later = [set("a", 0, 11, Outcome::Bad), good];
    assert_eq!(outcome_at(&ends_later, 5), Tally::of(Outcome::Bad, 1), "its end stands for it");
    assert_eq!(outcome_at(&both, 10), Tally::of(Outcome::Unknown, 1), "the end is not in it");
}

#[test]
fn what_was_entered_stays_whatever_is_declared_later() {
    let (a, b) = (set("a", 0, 9, Outcome::Bad), set("b", 0, 9, Outcome::Good));
    let mut book = Book::default();
    book.declare(&catalog(&[a.clone(), b.clone()]));
    assert_eq!(book.corrections().count(), 0, "nothing is in force before it is entered");
    assert_eq!(book.enter(at(50)).len(), 2);
    assert_eq!(book.enter(at(60)).len(), 0, "entered once");

    let changed = Correction { reason: "another".to_owned(), ..a.clone() };
    let told = book.objections(&catalog(&[changed.clone(), b.clone()]));
    assert!(told.len() == 1 && told[0].contains("\"a\"") && told[0].contains("withdraws: a"));
    book.declare(&catalog(&[changed]));
    let entry = book.correction(&name("a")).expect("entered");
    assert_eq!((&*entry.correction, entry.entered), (&a, Some(at(50))), "as it was entered");
    assert_eq!(book.undeclared().map(Name::as_str).collect::<Vec<_>>(), ["b"]);
    assert_eq!(book.objections(&catalog(&[])), [""; 0], "a file that is gone is told, not refused");
    book.declare(&catalog(&[a, b]));
    assert_eq!(book.undeclared().count(), 0);
}

#[test]
fn the_book_survives_a_restart() {
    let mut written = withdrawal("c", "a");
    written.at = Some(at(77));
    let all = [set("a", -5, 9, Outcome::Unknown), set("b", 1, 2, Outcome::Excluded), written];
    let mut book = Book::default();
    book.declare(&catalog(&all));
    let records = book.enter(at(50));
    let mut again = Book::default();
    again.declare(&catalog(&all[1..]));
    for record in &records {
        let Record::State { name, json } = record else { panic!("a state") };
        assert!(again.restore(name, json));
    }
    let entries = |book: &Book| -> Vec<(Correction, Option<Timestamp>)> {
        book.corrections().map(|e| ((*e.correction).clone(), e.entered)).collect()
    };
    assert_eq!(entries(&again), entries(&book));
    assert_eq!(again.undeclared().map(Name::as_str).collect::<Vec<_>>(), ["a"]);
    assert_eq!(again.enter(at(60)), [], "nothing is entered twice");
    assert!(!again.restore("alert/x/y", "{}") && again.restore("correction/z", "nonsense"));
}

#[test]
fn more_corrections_than_the_book_takes_are_refused() {
    let all: Vec<Correction> =
        (0..=MAX_CORRECTIONS).map(|n| set(&format!("c{n}"), 0, 9, Outcome::Bad)).collect();
    let mut book = Book::default();
    book.declare(&catalog(&all[..MAX_CORRECTIONS]));
    book.enter(at(0));
    assert_eq!(book.objections(&catalog(&all[..5])), [""; 0]);
    assert_eq!(book.objections(&catalog(&all[MAX_CORRECTIONS..])).len(), 1);
}

#[test]
fn what_touched_an_slo_is_told_with_author_and_reason() {
    let work = Maintenance {
        name: name("upgrade"),
        services: vec![name("svc")],
        when: crate::model::maintenance::When::Once(Period { start: at(5), end: at(15) }),
        effect: Effect::Exclude,
        reason: Some("new disks".to_owned()),
        author: None,
    };
    let other = Maintenance { services: vec![name("other")], ..work.clone() };
    let catalog = Catalog {
        maintenances: vec![Arc::new(work), Arc::new(other)],
        ..catalog(&[
            set("a", 0, 9, Outcome::Bad),
            set("b", 8, 30, Outcome::Good),
            withdrawal("c", "a"),
        ])
    };
    let touches = Book::of(&catalog).touching(&id(), at(7), at(10));
    let told: Vec<_> = touches
        .iter()
        .map(|t| (t.name.as_str(), t.period.start, t.period.end, t.author.as_deref(), t.holds))
        .collect();
    assert_eq!(
        told,
        [
            ("upgrade", at(7), at(10), None, true),
            ("a", at(7), at(9), Some("ana"), false),
            ("b", at(8), at(10), Some("ana"), true),
        ]
    );
    assert_eq!(touches[1].withdrawn_by, [name("c")]);
    assert_eq!(touches[0].reason.as_deref(), Some("new disks"));
    let elsewhere: SloId = "svc/b".parse().expect("an id");
    assert_eq!(Book::of(&catalog).touching(&elsewhere, at(7), at(10)).len(), 1, "the maintenance");
}
