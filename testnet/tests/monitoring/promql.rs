//! Which metrics and labels an expression of Prometheus uses. Not a parser: what is no expression at all, `promtool` and the server say.

use std::collections::BTreeSet;

/// Followed by a list of labels.
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are no metric although no parenthesis follows them.
const WORDS: [&str; 18] = [
    "and", "or", "unless", "offset", "bool", "inf", "nan", "sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "group",
    "stddev", "stdvar",
];

/// A metric where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its name, with the ending of a histogram's part.
    pub name: String,
    /// Labels it is selected by.
    pub labels: BTreeSet<String>,
    /// As it is written, from the name to the closing brace.
    pub selector: String,
}

/// All metrics of an expression.
pub fn uses(expression: &str) -> Vec<Use> {
    scan(expression).0
}

/// Labels of the expression's lists (`by`, `on` and their like).
pub fn grouped_by(expression: &str) -> BTreeSet<String> {
    scan(expression).1
}

fn scan(expression: &str) -> (Vec<Use>, BTreeSet<String>) {
    let (mut uses, mut grouping) = (Vec::new(), BTreeSet::new());
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => rest = after_text(rest),
            '[' => rest = &rest[rest.find(']').expect("a range ends") + 1..],
            '0'..='9' => rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.'),
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let word = word_of(rest);
                let after = &rest[word.len()..];
                let next = after.trim_start();
                if GROUPING.contains(&word) {
                    let (list, tail) = next.strip_prefix('(').and_then(|list| list.split_once(')')).expect("a list of labels");
                    grouping.extend(list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
                    rest = tail;
                } else if next.starts_with('(') || WORDS.contains(&word) {
                    rest = after;
                } else {
                    let (labels, tail) = next.strip_prefix('{').map_or((BTreeSet::new(), after), matchers);
                    let selector = expression[expression.len() - rest.len()..expression.len() - tail.len()].to_owned();
                    uses.push(Use { name: word.to_owned(), labels, selector });
                    rest = tail;
                }
            }
            _ => rest = &rest[first.len_utf8()..],
        }
    }
    (uses, grouping)
}

/// Labels up to the closing brace, and what is behind it.
fn matchers(mut rest: &str) -> (BTreeSet<String>, &str) {
    let mut labels = BTreeSet::new();
    loop {
        match rest.chars().next().expect("a brace closes") {
            '}' => return (labels, &rest[1..]),
            '"' => rest = after_text(rest),
            'a'..='z' | 'A'..='Z' | '_' => {
                let label = word_of(rest);
                labels.insert(label.to_owned());
                rest = &rest[label.len()..];
            }
            other => rest = &rest[other.len_utf8()..],
        }
    }
}

fn word_of(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    &text[..end]
}

/// Behind the text in quotes that `rest` starts with.
fn after_text(rest: &str) -> &str {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return &rest[at + 1..],
            _ => escaped = c == '\\' && !escaped,
        }
    }
    panic!("a text ends: {rest}")
}

#[test]
fn metrics_labels_and_lists_are_told_apart() {
    let expression =
        r#"sum by (le, instance) (rate(a_bucket{job="a}b\"c", code=~"5.."}[5m])) > 1e9 and on (job) b offset 1h unless up{x="y"} == 0"#;
    let found = uses(expression);
    let names: Vec<_> = found.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["a_bucket", "b", "up"]);
    assert_eq!(found[0].labels, BTreeSet::from(["code".to_owned(), "job".to_owned()]));
    assert_eq!(found[0].selector, r#"a_bucket{job="a}b\"c", code=~"5.."}"#);
    assert_eq!(found[2].selector, r#"up{x="y"}"#);
    assert_eq!(grouped_by(expression), ["instance", "job", "le"].map(str::to_owned).into());
}
