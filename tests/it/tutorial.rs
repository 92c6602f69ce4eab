//! The tutorial's commands are run and must print what it says they print.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nines::spec::{Options, SourceFile, load};

use crate::harness::daemon::BINARY;
use crate::harness::process::run;

const LIMIT: Duration = Duration::from_secs(120);

/// Each `sh` block of a document with the `text` block that follows it.
fn commands(document: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (kind, after) = after.split_once('\n').expect("a block has lines");
        let (body, after) = after.split_once("```").expect("a block ends");
        blocks.push((kind.trim().to_owned(), body.to_owned()));
        rest = after;
    }
    let pairs = blocks.windows(2).filter(|pair| pair[0].0 == "sh" && pair[1].0 == "text");
    pairs.map(|pair| (pair[0].1.clone(), pair[1].1.clone())).collect()
}

#[test]
fn the_tutorial_prints_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/tutorial.md")).expect("the tutorial");
    let commands = commands(&text);
    assert!(commands.len() >= 5, "{commands:?}");
    let programs = Path::new(BINARY).parent().expect("a directory").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    for (command, expect) in commands {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(&command).current_dir(root).env("PATH", &path).env("NO_COLOR", "1");
        let ran = run("sh", &mut shell, b"", LIMIT);
        assert_eq!(ran.stdout, expect, "of {command}{}", ran.stderr);
    }
}

#[test]
fn the_worked_platform_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text: String = ["00-people", "10-services", "20-applications", "30-agreements"]
        .map(|name| root.join(format!("slo-specs/worked/{name}.yaml")))
        .map(|path| std::fs::read_to_string(path).expect("a part of the platform"))
        .join("---\n");
    let file =
        SourceFile { path: "worked.yaml".into(), root: "".into(), content: text.into_bytes() };
    let catalog = match load(&[file], &Options::default()) {
        Ok(loaded) => loaded.catalog,
        Err(problems) => panic!("{}", problems[0].render(false)),
    };
    let counts = (
        catalog.services.len(),
        catalog.applications.len(),
        catalog.tiers.len(),
        catalog.agreements.len(),
    );
    assert_eq!(counts, (6, 3, 2, 1));
    // One asks for five nines, and is offered less.
    let args = ["fit", "payments", "--specs", "slo-specs/worked", "--format", "json"];
    let ran = run("nines", Command::new(BINARY).args(args).current_dir(root), b"", LIMIT);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let fit = &told["applications"][0];
    assert_eq!((&fit["fit"], &fit["offer"]["objective"]), (&"fail".into(), &"0.9995".into()));
    let five = catalog.applications.iter().filter(|one| one.objective.to_string() == "99.999%");
    assert_eq!(five.map(|one| one.name.as_str()).collect::<Vec<_>>(), ["payments"]);
}

#[test]
fn blocks_are_found_in_pairs() {
    let document = "a\n```sh\none\n```\nb\n```text\n1\n```\n```sh\ntwo\n```\n```yaml\nx\n```\n";
    assert_eq!(commands(document), [("one\n".to_owned(), "1\n".to_owned())]);
}
