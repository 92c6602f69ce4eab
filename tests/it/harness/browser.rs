//! Chromium without a screen: what a page looks like and what it becomes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{program, run};

/// Longest time a page gets. Chromium's first start on a busy machine takes a while.
const LIMIT: Duration = Duration::from_secs(90);

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// The document of a page after its scripts have run.
pub fn dom(url: &str) -> String {
    chromium(&["--dump-dom", url]).stdout
}

/// Writes a PNG of a page.
pub fn screenshot(url: &str, (width, height): (u32, u32), png: &Path) {
    let size = format!("--window-size={width},{height}");
    let ran = chromium(&[&size, &format!("--screenshot={}", png.display()), url]);
    assert!(png.is_file(), "chromium took no picture of {url}: {}", ran.stderr);
}

fn chromium(args: &[&str]) -> super::process::Ran {
    let profile = super::scratch("chromium");
    let mut command = Command::new(program("chromium", "chromium"));
    command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).args(args);
    let ran = run("chromium", &mut command, b"", LIMIT);
    assert_eq!(ran.code, Some(0), "chromium failed: {}", ran.stderr);
    ran
}
