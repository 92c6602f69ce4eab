use super::*;

fn files(texts: &[(&str, &str)]) -> Vec<SourceFile> {
    let file = |(path, text): &(&str, &str)| SourceFile {
        path: path.into(),
        root: "specs".into(),
        content: text.as_bytes().to_vec(),
    };
    texts.iter().map(file).collect()
}

/// Every problem of one file as people read it.
fn problems(text: &str) -> String {
    match load(&files(&[("specs/a.yaml", text)]), &Options::default()) {
        Ok(loaded) => loaded.warnings.iter().map(|p| p.render(false)).collect(),
        Err(problems) => problems.iter().map(|p| p.render(false)).collect(),
    }
}

#[test]
fn dump() {
    println!(
        "{}",
        problems(
            r#"
apiVersion: nines/v1
kind: Service
metadata: {name: Registry, lables: {a: b}}
spec:
  support: bussiness
  probes:
    - name: pull
      htpp: {url: "http://a/"}
      interval: 5
      timeout: 2s
      timeout: 2s
    - name: push
      http: {url: "http://u:p@a/", expect: {status: [20]}}
    - name: icmp
      icmp: {}
  slos:
    - name: a
      probe: pul
      objektive: 99.9%
      window: {calendar: month}
      minCoverage: 5
    - name: b
      probes: []
      objective: 100%
      window: 1d
      method: {timeslices: 3}
---
kind: Application
---
apiVersion: openslo/v1
"#
        )
    );
}
