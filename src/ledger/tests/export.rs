//! Out as text and in again: nothing is different, nothing half is taken in.

use std::fs;

use super::*;

fn any_record() -> impl Strategy<Value = Record> {
    let entry = any_entry().prop_map(|entry| match entry {
        Entry::Observation(o) => Record::Observation(o),
        Entry::Gap(series, run) => Record::Gap(series, run),
    });
    let slice = (1_u32..4, 0_i64..40, prop::option::of(0_i64..10), any::<bool>()).prop_map(
        |(series, hour, bad_at, bare)| {
            let (from, to) = (hour * 600, hour * 600 + 600);
            let mut record = slice(series, from, to, bad_at.map(|k| from + k * 5));
            if let (Record::Slice(slice), true) = (&mut record, bare) {
                slice.latencies = Latencies::default();
                slice.thresholds.clear();
            }
            record
        },
    );
    let state =
        ("[a-zä]{1,8}", "[ -~ä]{0,40}").prop_map(|(name, json)| Record::State { name, json });
    prop_oneof![6 => entry, 2 => slice, 1 => state]
}

fn text_of(directory: &Path) -> (String, Exported) {
    let mut text = Vec::new();
    let done = Reader::open(directory).expect("opens").export(&mut text).expect("readable");
    (String::from_utf8(text).expect("JSON is UTF-8"), done)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_export_of_an_import_of_an_export_is_the_export(
        appends in prop::collection::vec(prop::collection::vec(any_record(), 0..12), 0..10),
        names in prop::collection::btree_set("[a-z]{1,6}/[a-z]{1,6}", 0..4),
        expire in prop::option::of(0_i64..20_000),
    ) {
        let (from, to) = (scratch(), scratch());
        let mut ledger = open(from.path());
        for name in names {
            ledger.series(&name.parse().expect("valid"), "hier").expect("numbered");
        }
        for records in &appends {
            ledger.append(records).expect("kept");
        }
        if let Some(before) = expire {
            while ledger.expire(at(before)).expect("expires").more {}
        }
        // What slices overlap is damage in this sense, too, and is moved aside first.
        history(&mut ledger, Timestamp::MIN);
        let (text, done) = text_of(from.path());
        prop_assert_eq!(done.damage, vec![]);
        let mut copy = open(to.path());
        let lines = copy.import(&mut text.as_bytes()).expect("whole");
        prop_assert_eq!(lines, done.lines);
        prop_assert_eq!(&text_of(to.path()).0, &text);
        let expect = history(&mut ledger, Timestamp::MIN);
        prop_assert_eq!(history(&mut copy, Timestamp::MIN), expect);
        prop_assert_eq!(copy.epoch(), ledger.epoch());
        for series in 0..4 {
            let range = |ledger: &Ledger| {
                ledger.latencies(SeriesId(series), Timestamp::MIN, at(1 << 30)).expect("readable")
            };
            prop_assert_eq!(range(&copy), range(&ledger));
        }
        // It goes on where the other one was.
        let next = |ledger: &mut Ledger| ledger.append(&[bad(1, 99_999)]).expect("kept").seq;
        prop_assert_eq!(next(&mut copy), next(&mut ledger));
    }
}

fn filled(directory: &Path) -> String {
    let mut ledger = open(directory);
    ledger.series(&"shop/home".parse().expect("valid"), "here").expect("numbered");
    ledger.append(&[slice(1, 0, 600, Some(5)), state("alerts", "[]")]).expect("kept");
    ledger.append(&[good(1, 600), bad(1, 605), gap(1, 610, 3)]).expect("kept");
    ledger.close().expect("closes");
    text_of(directory).0
}

#[test]
fn an_export_that_is_not_whole_is_refused_and_nothing_is_taken_in() {
    let (from, to) = (scratch(), scratch());
    let text = filled(from.path());
    let mut ledger = open(to.path());
    let mut refuse = |text: &[u8], what: &str| {
        let refused = ledger.import(&mut &text[..]).expect_err(what);
        assert!(matches!(refused, LedgerError::Broken(_)), "{what}: {refused:?}");
        assert_eq!(history(&mut ledger, Timestamp::MIN).1, RestoreReport::default(), "{what}");
    };
    for len in 0..text.len() {
        refuse(&text.as_bytes()[..len], &format!("cut at {len}"));
    }
    let mut bytes = text.clone().into_bytes();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        refuse(&bytes, &format!("byte {at}"));
        bytes[at] ^= 1;
    }
    let lines: Vec<_> = text.lines().collect();
    for (k, line) in lines.iter().enumerate() {
        let without: Vec<_> = lines.iter().filter(|other| *other != line).copied().collect();
        refuse(format!("{}\n", without.join("\n")).as_bytes(), &format!("without line {k}"));
    }
    assert_eq!(ledger.import(&mut text.as_bytes()).expect("whole") as usize, lines.len() - 1);
    let again = ledger.import(&mut text.as_bytes()).expect_err("not empty");
    assert!(matches!(again, LedgerError::NotEmpty(_)), "{again:?}");
}

#[test]
fn damage_is_left_out_and_told_and_the_ledger_stays_as_it_is() {
    let (from, to) = (scratch(), scratch());
    filled(from.path());
    let database = from.path().join("ledger.db");
    let db = Connection::open(&database).expect("opens");
    db.execute("UPDATE batch SET body = zeroblob(20) WHERE seq = 1", []).expect("damaged");
    db.execute("UPDATE latencies SET crc = 1", []).expect("damaged");
    db.close().expect("closes");
    let before = fs::read(&database).expect("readable");
    let (text, done) = text_of(from.path());
    let told: Vec<_> = done.damage.iter().map(|damage| damage.part).collect();
    assert_eq!(told, [Part::Batch, Part::Latencies]);
    let verified = Reader::open(from.path()).expect("opens").verify().expect("readable");
    let told: Vec<_> = verified.damage.iter().map(|damage| damage.part).collect();
    assert_eq!(told, [Part::Batch, Part::Latencies]);
    assert_eq!(fs::read(&database).expect("readable"), before, "looking changes nothing");
    let mut ledger = open(to.path());
    ledger.import(&mut text.as_bytes()).expect("whole");
    let (lines, report) = history(&mut ledger, Timestamp::MIN);
    assert_eq!((lines.len(), report.slices, report.observations), (2, 1, 0));
    // The batch that is missing is still missed, and now known.
    assert_eq!(report.damage.iter().map(|d| d.part).collect::<Vec<_>>(), [Part::Batch]);
}

#[test]
fn a_ledger_is_verified_and_exported_while_it_is_written() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    ledger.series(&"shop/home".parse().expect("valid"), "here").expect("numbered");
    ledger.append(&[slice(1, 0, 600, Some(5))]).expect("kept");
    let reader = Reader::open(directory.path()).expect("opens beside the writer");
    for k in 0..20 {
        ledger.append(&[good(1, 600 + k * 5)]).expect("kept");
        let found = reader.verify().expect("readable");
        assert_eq!(found.damage, vec![]);
        assert_eq!((found.batches, found.slices, found.latencies), (Some((1, k + 1)), 1, 1));
        let extent = &found.series[&SeriesId(1)];
        assert_eq!(extent.name, Some(("shop/home".to_owned(), "here".to_owned())));
        assert_eq!((extent.slots.good, extent.slots.bad), (119 + k as u64 + 1, 1));
        assert_eq!((extent.from, extent.to), (Some(at(0)), Some(at(600 + k * 5))));
        let (text, _) = text_of(directory.path());
        assert_eq!(text.lines().count() as i64, 1 + 1 + 1 + (k + 1) + 1);
    }
}
