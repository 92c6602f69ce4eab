//! The benchmark of memory over weeks, with one series: once the windows are full, nothing grows.

#[path = "../../benches/support/soak.rs"]
mod soak;

#[test]
fn what_is_held_grows_until_windows_are_full_and_no_further() {
    // What has just become old is put on its grid in two days at most.
    let full = soak::full_after() + 2;
    let plan = soak::Plan { n_series: 1, interval: 30, days: 2 * full };
    for kind in soak::KINDS {
        let days = soak::run(kind, plan);
        soak::print(kind, plan, &days);
        let most = |from: u32, to: u32| {
            let days = &days[from as usize..to as usize];
            (days.iter().map(|held| held.segments).max(), days.iter().map(|held| held.kib).max())
        };
        let (first, second) = (most(0, full), most(full, plan.days));
        let (before, after) = (first.0.unwrap_or(0), second.0.unwrap_or(0));
        assert!(after <= before + before / 50 + 1, "{}: {before}, then {after} runs", kind.0);
        // So few series leave traces smaller than the noise of an allocator.
        assert!(second.1 > Some(0), "{}: memory can be told", kind.0);
    }
}
