//! What `deploy/` asks Prometheus: the rules' and the dashboard's expressions, and the names in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file or folder below `deploy/`.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).expect("the file is there")
}

/// The values of `key` in the rules, those that go on below included.
fn rules_values(key: &str) -> Vec<String> {
    let text = text("prometheus/rules.yml");
    let mut lines = text.lines().peekable();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut values = Vec::new();
    while let Some(line) = lines.next() {
        let Some((head, value)) = line.split_once(&format!("{key}: ")) else { continue };
        if !head.trim_start().trim_start_matches("- ").is_empty() {
            continue;
        }
        let mut value = value.trim_end_matches('>').to_owned();
        let depth = indent(line) + usize::from(head.contains('-'));
        while let Some(more) = lines.next_if(|next| value.is_empty() || indent(next) > depth + 2) {
            value = format!("{value} {}", more.trim());
        }
        values.push(value.trim().to_owned());
    }
    values
}

/// The names that rules record.
pub fn recorded() -> Vec<String> {
    rules_values("record")
}

/// The names of all alerts.
pub fn alerts() -> Vec<String> {
    rules_values("alert")
}

/// The rules' expressions.
pub fn rule_expressions() -> Vec<String> {
    rules_values("expr")
}

/// The dashboard's expressions, as Prometheus gets them when everything is looked at.
pub fn dashboard_expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text("grafana/dashboards/cenet.json")).expect("JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        found.extend(
            query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", ")).map(|(of, _)| of.into()),
        );
    }
    let filled = |text: String| {
        let all = ["$job", "$instance", "$model"].iter().fold(text, |text, name| text.replace(name, ".*"));
        all.replace("$__rate_interval", "1m")
    };
    found.into_iter().map(filled).collect()
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// The names in an expression: of metrics, and of labels.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub metrics: BTreeSet<String>,
    pub labels: BTreeSet<String>,
}

/// What may stand where a metric's name may.
const WORDS: [&str; 17] = [
    "and",
    "or",
    "unless",
    "bool",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "inf",
    "sum",
    "min",
    "max",
    "avg",
    "count",
];
/// What is followed by labels in parentheses.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Reads an expression of PromQL, as far as names go.
pub fn names(expression: &str) -> Names {
    let mut names = Names::default();
    let mut rest = without_strings_and_ranges(expression);
    // in braces, each name is a label's
    while let Some((before, (inside, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        names.labels.extend(words(inside).map(|(word, _)| word.to_owned()));
        rest = format!("{before} {after}");
    }
    let mut grouping = false;
    for (word, next) in words(&rest) {
        if GROUPINGS.contains(&word) {
            grouping = next == Some('(');
        } else if grouping {
            names.labels.insert(word.to_owned());
            grouping = next != Some(')');
        } else if next != Some('(') && !WORDS.contains(&word) {
            names.metrics.insert(word.to_owned());
        }
    }
    names
}

fn without_strings_and_ranges(expression: &str) -> String {
    let outside_strings: String = expression.split('"').step_by(2).collect();
    let parts = outside_strings.split('[').map(|part| part.split_once(']').map_or(part, |(_, after)| after));
    parts.collect()
}

/// Every name, with the first character after it that is no space.
fn words(text: &str) -> impl Iterator<Item = (&str, Option<char>)> {
    let part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    let mut position = 0;
    std::iter::from_fn(move || {
        loop {
            let begin = position + text[position..].find(part)?;
            let end = text[begin..].find(|letter| !part(letter)).map_or(text.len(), |length| begin + length);
            position = end;
            let word = &text[begin..end];
            if !word.starts_with(|letter: char| letter.is_ascii_digit()) {
                return Some((word, text[end..].trim_start().chars().next()));
            }
        }
    })
}
