//! The operator's config file: whatever the text is, loading ends with settings or problems.

use nines::model::Settings;
use nines::spec::{SourceFile, config};

/// Runs one input.
pub fn run(content: &[u8]) {
    let file = SourceFile { path: "c.yaml".into(), root: "".into(), content: content.to_vec() };
    match config::load(&file) {
        Ok(config) => config.apply(&mut Settings::default()),
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
}
