//! `deploy/`: rules and dashboard ask for what the server tells, and Prometheus's own checks pass.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use cenet_serve::metrics::Kind;
use cenet_serve::metrics::families::ALL;
use support::deployed::{Names, alerts, dashboard_expressions, names, path, recorded, rule_expressions};

/// Labels that Prometheus adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// Every name that may be asked for: a histogram has three.
fn told() -> BTreeSet<String> {
    let suffixes = |kind| if kind == Kind::Histogram { &["_bucket", "_sum", "_count"][..] } else { &[""] };
    let names = ALL.iter().flat_map(|family| suffixes(family.kind).iter().map(|end| format!("{}{end}", family.name)));
    names.chain(recorded()).chain(["up".to_owned()]).collect()
}

#[test]
fn rules_and_dashboard_use_what_there_is() {
    let (told, labels) = (told(), ALL.iter().flat_map(|family| family.labels).chain(&ADDED));
    let labels: BTreeSet<_> = labels.map(|label| (*label).to_owned()).collect();
    let (rules, dashboard) = (rule_expressions(), dashboard_expressions());
    assert!(rules.len() > 10 && dashboard.len() > 30, "{} rules, {} of the dashboard", rules.len(), dashboard.len());
    for expression in rules.iter().chain(&dashboard) {
        let names = names(expression);
        assert!(!names.metrics.is_empty(), "no metric in {expression}");
        let unknown: Vec<_> = names.metrics.difference(&told).chain(names.labels.difference(&labels)).collect();
        assert!(unknown.is_empty(), "{unknown:?} in {expression}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown: BTreeSet<_> = dashboard_expressions().iter().flat_map(|expression| names(expression).metrics).collect();
    let shown_of = |name: &str| shown.iter().any(|one| one.starts_with(name));
    let hidden: Vec<_> = ALL.iter().map(|family| family.name).filter(|name| !shown_of(name)).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn each_alert_has_its_place_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let told: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(told, alerts().into_iter().collect());
}

#[test]
fn names_are_read_out_of_an_expression() {
    let expression = r#"sum by (job, le) (rate(a_bucket{model=~"x|y", le!=""}[5m] offset 1h)) / on (job) group_left b:c > 0.5 and d"#;
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        names(expression),
        Names { metrics: set(&["a_bucket", "b:c", "d"]), labels: set(&["job", "le", "model"]) }
    );
}

#[test]
fn prometheus_accepts_what_it_is_given() {
    for arguments in [
        &["check", "config", "prometheus/prometheus.yml"][..],
        &["check", "rules", "--lint=all", "--lint-fatal", "prometheus/rules.yml"],
        &["test", "rules", "prometheus/rules_test.yml"],
    ] {
        let Ok(checked) = Command::new("promtool").args(arguments).current_dir(path("")).output() else {
            eprintln!("passed over: there is no promtool; Debian has it in the package prometheus");
            return;
        };
        let said = [checked.stdout, checked.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(checked.status.success(), "{arguments:?}: {said}");
    }
}

#[test]
fn every_alert_is_tested() {
    let tests = std::fs::read_to_string(path("prometheus/rules_test.yml")).expect("the file is there");
    for alert in alerts() {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is never seen to fire");
    }
}
