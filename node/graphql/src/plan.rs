//! A GraphQL request's text as a bounded plan: which searches, with which filters, and what to show of each result.
//!
//! Only queries; fragments, variables, aliases and `@skip`/`@include` as clients use them. Everything is bounded before it is followed:
//! brackets before the grammar recurses (it backtracks), selections while fragments are laid in (they can double at each step).

use std::collections::HashMap;

use ao_types::{Address, Id};
use graphql_parser::query::{
    Definition, Directive, Document, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet, Value as Literal,
    VariableDefinition,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::limits::{DEPTH_MAX, FIELDS_MAX, PAGE, ROOTS_MAX, VALUES_MAX};

/// What is wrong with a query, for its author.
pub type Wrong = String;

/// The request's body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The text.
    pub query: String,
    /// Values for its variables.
    #[serde(default)]
    pub variables: Option<Map<String, Value>>,
    /// Which of its operations.
    #[serde(default)]
    pub operation_name: Option<String>,
}

/// One field to show, fragments laid in and directives applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Key in the answer.
    pub alias: String,
    /// What it is.
    pub name: String,
    /// Arguments, variables filled in.
    pub arguments: Map<String, Value>,
    /// What to show of it; empty for a leaf.
    pub fields: Vec<Self>,
}

/// Order of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Newest first.
    #[default]
    Descending,
    /// Oldest first.
    Ascending,
}

/// A tag filter: the name and one of the values; none of them where `not` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// Exact name.
    pub name: String,
    /// Exact values; any will do. Empty: any value.
    pub values: Vec<String>,
    /// `op: NEQ`.
    pub not: bool,
}

/// `transactions(...)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Any of these.
    pub ids: Option<Vec<Id>>,
    /// Signed by any of these.
    pub owners: Option<Vec<Address>>,
    /// Addressed to any of these.
    pub recipients: Option<Vec<Id>>,
    /// All of these.
    pub tags: Vec<TagFilter>,
    /// Lowest height.
    pub min: Option<u64>,
    /// Highest height.
    pub max: Option<u64>,
    /// Page length.
    pub first: usize,
    /// Cursor of the last one seen, as the gateway gave it.
    pub after: Option<String>,
    /// In any of these bundles.
    pub bundled_in: Option<Vec<Id>>,
    /// Order.
    pub sort: Sort,
}

/// Brackets deeper than allowed, before the grammar sees them.
fn shallow(text: &str) -> Result<(), Wrong> {
    let (mut rest, mut depth, mut most) = (text.as_bytes(), 0_usize, 0);
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => behind_text(rest),
            b'#' => after.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map_or(&[][..], |end| &after[end..]),
            b'{' | b'[' | b'(' => {
                depth += 1;
                most = most.max(depth);
                after
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                after
            }
            _ => after,
        };
    }
    if most > DEPTH_MAX { Err(format!("the query nests {most} levels; at most {DEPTH_MAX} are allowed")) } else { Ok(()) }
}

/// What follows a text that begins here. One of two kinds: `"`, which ends with the line at the latest, and `"""`, within which single marks
/// are letters like others. Where a text does not end the grammar stops too, so what is behind it does not matter.
fn behind_text(from: &[u8]) -> &[u8] {
    let (long, mut rest) = match from.strip_prefix(b"\"\"\"") {
        Some(rest) => (true, rest),
        None => (false, &from[1..]),
    };
    loop {
        rest = match rest {
            [b'\\', b'"', b'"', b'"', after @ ..] if long => after,
            [b'"', b'"', b'"', after @ ..] if long => return after,
            [b'\\', _, after @ ..] if !long => after,
            [b'"' | b'\n', after @ ..] if !long => return after,
            [_, after @ ..] => after,
            [] => return rest,
        };
    }
}

/// The top-level fields of the request's operation.
///
/// # Errors
/// It is not a query of the subset, or is over a limit.
pub fn plan(request: &Request) -> Result<Vec<Shown>, Wrong> {
    shallow(&request.query)?;
    let document: Document<'_, &str> = graphql_parser::parse_query(&request.query).map_err(|error| error.to_string())?;
    let mut fragments = HashMap::new();
    let mut operations = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::Fragment(fragment) => {
                fragments.insert(fragment.name, fragment);
            }
            Definition::Operation(operation) => operations.push(operation),
        }
    }
    let wanted = request.operation_name.as_deref().filter(|name| !name.is_empty());
    let mut candidates = operations.into_iter().filter(|operation| match operation {
        OperationDefinition::Query(query) => wanted.is_none_or(|name| query.name == Some(name)),
        _ => wanted.is_none(),
    });
    let operation = candidates.next().ok_or("there is no such operation in the query")?;
    if candidates.next().is_some() {
        return Err("`operationName` must say which of several operations is meant".into());
    }
    let (definitions, selections): (&[VariableDefinition<'_, &str>], _) = match operation {
        OperationDefinition::SelectionSet(selections) => (&[], selections),
        OperationDefinition::Query(query) => (&query.variable_definitions, &query.selection_set),
        OperationDefinition::Mutation(_) | OperationDefinition::Subscription(_) => return Err("only queries are answered here".into()),
    };
    let variables = variables(definitions, request.variables.as_ref())?;
    let mut planner = Planner { fragments, variables, fields: 0 };
    let mut roots = Vec::new();
    planner.lay_in(selections, 0, &mut roots)?;
    if roots.len() > ROOTS_MAX {
        return Err(format!("{} searches in one request; at most {ROOTS_MAX} are allowed", roots.len()));
    }
    Ok(roots)
}

fn variables<'q>(
    definitions: &[VariableDefinition<'q, &'q str>],
    given: Option<&Map<String, Value>>,
) -> Result<HashMap<String, Value>, Wrong> {
    let mut values = HashMap::new();
    for definition in definitions {
        let value = match (given.and_then(|given| given.get(definition.name)), &definition.default_value) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => literal(default, &HashMap::new())?,
            (None, None) if matches!(definition.var_type, graphql_parser::query::Type::NonNullType(_)) => {
                return Err(format!("variable ${} is required", definition.name));
            }
            // Not given is not null: the argument is then absent.
            (None, None) => continue,
        };
        values.insert(definition.name.to_owned(), value);
    }
    Ok(values)
}

struct Planner<'q> {
    fragments: HashMap<&'q str, &'q FragmentDefinition<'q, &'q str>>,
    variables: HashMap<String, Value>,
    fields: usize,
}

impl<'q> Planner<'q> {
    fn lay_in(&mut self, selections: &'q SelectionSet<'q, &'q str>, depth: usize, out: &mut Vec<Shown>) -> Result<(), Wrong> {
        if depth > DEPTH_MAX {
            // Fragments may spread each other in a circle: the brackets of the text do not show that.
            return Err(format!("fragments nest more than {DEPTH_MAX} levels"));
        }
        for selection in &selections.items {
            self.fields += 1;
            if self.fields > FIELDS_MAX {
                return Err(format!("more than {FIELDS_MAX} fields"));
            }
            match selection {
                Selection::Field(field) if self.included(&field.directives)? => {
                    let shown = self.field(field, depth)?;
                    match out.iter_mut().find(|other| other.alias == shown.alias) {
                        // The same field twice, from two fragments: shown once, with both selections.
                        Some(other) if other.name == shown.name && other.arguments == shown.arguments => other.fields.extend(shown.fields),
                        Some(_) => return Err(format!("two different fields are called `{}`", shown.alias)),
                        None => out.push(shown),
                    }
                }
                Selection::FragmentSpread(spread) if self.included(&spread.directives)? => {
                    let fragment =
                        *self.fragments.get(spread.fragment_name).ok_or_else(|| format!("no fragment `{}`", spread.fragment_name))?;
                    self.lay_in(&fragment.selection_set, depth + 1, out)?;
                }
                Selection::InlineFragment(fragment) if self.included(&fragment.directives)? => {
                    self.lay_in(&fragment.selection_set, depth + 1, out)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'q Field<'q, &'q str>, depth: usize) -> Result<Shown, Wrong> {
        let mut arguments = Map::new();
        for (name, value) in &field.arguments {
            match value {
                Literal::Variable(variable) if !self.variables.contains_key(*variable) => {}
                value => {
                    arguments.insert((*name).to_owned(), literal(value, &self.variables)?);
                }
            }
        }
        let mut fields = Vec::new();
        self.lay_in(&field.selection_set, depth + 1, &mut fields)?;
        Ok(Shown { alias: field.alias.unwrap_or(field.name).to_owned(), name: field.name.to_owned(), arguments, fields })
    }

    /// `@skip(if:)` and `@include(if:)`.
    fn included(&self, directives: &[Directive<'q, &'q str>]) -> Result<bool, Wrong> {
        for directive in directives {
            let skip = match directive.name {
                "skip" => true,
                "include" => false,
                other => return Err(format!("directive @{other} is not known")),
            };
            let argument = directive.arguments.iter().find(|(name, _)| *name == "if").map(|(_, value)| literal(value, &self.variables));
            match argument.transpose()? {
                Some(Value::Bool(condition)) if condition == skip => return Ok(false),
                Some(Value::Bool(_)) => {}
                _ => return Err(format!("@{} needs `if` with true or false", directive.name)),
            }
        }
        Ok(true)
    }
}

fn literal<'q>(value: &Literal<'q, &'q str>, variables: &HashMap<String, Value>) -> Result<Value, Wrong> {
    Ok(match value {
        Literal::Variable(name) => variables.get(*name).cloned().unwrap_or(Value::Null),
        Literal::Int(number) => number.as_i64().map_or(Value::Null, Value::from),
        Literal::Float(number) => Value::from(*number),
        Literal::String(text) => Value::from(text.as_str()),
        Literal::Boolean(value) => Value::from(*value),
        Literal::Null => Value::Null,
        Literal::Enum(name) => Value::from(*name),
        Literal::List(values) => Value::Array(values.iter().map(|value| literal(value, variables)).collect::<Result<_, _>>()?),
        Literal::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| Ok(((*name).to_owned(), literal(value, variables)?))).collect::<Result<_, Wrong>>()?,
        ),
    })
}

impl Search {
    /// Reads the arguments of `transactions`.
    ///
    /// # Errors
    /// An argument is unknown, of a wrong type, or over a limit.
    pub fn parse(arguments: &Map<String, Value>) -> Result<Self, Wrong> {
        let mut search = Self { first: PAGE.0, ..Self::default() };
        for (name, value) in arguments.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                // Texts that are no ids or addresses match nothing: aos asks for the owner "".
                "ids" => search.ids = Some(texts(name, value)?.iter().filter_map(|text| Id::parse(text).ok()).collect()),
                "owners" => search.owners = Some(texts(name, value)?.iter().filter_map(|text| text.parse().ok()).collect()),
                "recipients" => search.recipients = Some(texts(name, value)?.iter().filter_map(|text| Id::parse(text).ok()).collect()),
                "tags" => search.tags = tag_filters(value)?,
                "block" => {
                    search.min = height(value, "min")?;
                    search.max = height(value, "max")?;
                }
                "first" => match value.as_u64() {
                    Some(first) => search.first = usize::try_from(first).unwrap_or(usize::MAX).min(PAGE.1),
                    None => return Err("`first` must be a whole number".into()),
                },
                "after" => match value.as_str() {
                    Some("") => {}
                    Some(cursor) => search.after = Some(cursor.to_owned()),
                    None => return Err("`after` must be a text".into()),
                },
                "sort" => match value.as_str() {
                    Some("HEIGHT_DESC" | "INGESTED_AT_DESC") => search.sort = Sort::Descending,
                    Some("HEIGHT_ASC" | "INGESTED_AT_ASC") => search.sort = Sort::Ascending,
                    _ => return Err("`sort` must be HEIGHT_DESC or HEIGHT_ASC".into()),
                },
                "bundledIn" => search.bundled_in = Some(texts(name, value)?.iter().filter_map(|text| Id::parse(text).ok()).collect()),
                other => return Err(format!("`transactions` has no argument `{other}`")),
            }
        }
        Ok(search)
    }
}

/// A list of texts, or one text, which GraphQL reads as a list of one.
fn texts(name: &str, value: &Value) -> Result<Vec<String>, Wrong> {
    let values = match value {
        Value::String(text) => return Ok(vec![text.clone()]),
        Value::Array(values) => values,
        _ => return Err(format!("`{name}` must be a list of texts")),
    };
    if values.len() > VALUES_MAX {
        return Err(format!("`{name}` has {} values; at most {VALUES_MAX} are allowed", values.len()));
    }
    values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(|| format!("`{name}` must be a list of texts"))).collect()
}

fn tag_filters(value: &Value) -> Result<Vec<TagFilter>, Wrong> {
    let filters = match value {
        Value::Array(filters) if filters.len() <= VALUES_MAX => filters.as_slice(),
        Value::Array(filters) => return Err(format!("{} tag filters; at most {VALUES_MAX} are allowed", filters.len())),
        one @ Value::Object(_) => std::slice::from_ref(one),
        _ => return Err("`tags` must be a list of {name, values}".into()),
    };
    filters
        .iter()
        .map(|filter| {
            let name = filter.get("name").and_then(Value::as_str).ok_or("a tag filter needs a `name`")?.to_owned();
            let values = match filter.get("values") {
                None | Some(Value::Null) => Vec::new(),
                Some(values) => texts("values", values)?,
            };
            let not = match filter.get("op").and_then(Value::as_str) {
                None | Some("EQ") => false,
                Some("NEQ") => true,
                Some(other) => return Err(format!("`op` must be EQ or NEQ, found `{other}`")),
            };
            Ok(TagFilter { name, values, not })
        })
        .collect()
}

fn height(block: &Value, name: &str) -> Result<Option<u64>, Wrong> {
    match block.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(height) => height.as_u64().map(Some).ok_or_else(|| format!("`block.{name}` must be a height")),
    }
}

#[cfg(test)]
mod tests;
