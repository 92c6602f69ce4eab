//! Spec files: whatever the text is, loading ends, and every problem has a place.

use nines::spec::{Options, SourceFile, load};

/// Runs one input.
pub fn run(content: &[u8]) {
    let file = SourceFile { path: "a.yaml".into(), root: "".into(), content: content.to_vec() };
    let n_lines = content.split(|b| matches!(b, b'\n' | b'\r')).count();
    let problems = match load(&[file], &Options::default()) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            problems
        }
    };
    for problem in problems {
        assert!(problem.line <= n_lines, "line {} of {n_lines}", problem.line);
        assert!(!problem.message.is_empty());
        let text = problem.render(false);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}
