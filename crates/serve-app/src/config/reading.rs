//! Settings as a type, with all that does not fit: whatever a type refuses is set aside, and the rest is read again.

use std::collections::{BTreeSet, HashSet};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// One step into the settings.
#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// What the settings make, where they make anything, and every setting that is wrong with what is wrong with it.
pub(super) fn read<T: DeserializeOwned>(mut settings: Value) -> (Option<T>, Vec<(String, String)>) {
    let mut aside = Aside::default();
    let mut mistakes = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(settings.clone()) {
            Ok(config) => return (Some(config), mistakes),
            Err(error) => error,
        };
        let steps = steps(error.path());
        let problem = error.into_inner().to_string();
        // A field that was set aside is missing where it has no default; that is not told a second time.
        let lacks = quoted(&problem, "missing field `").map(|field| with(&steps, field));
        let told = lacks.is_some_and(|lacks| aside.names.contains(&aside.name(&lacks)));
        let steps = match quoted(&problem, "unknown field `") {
            Some(field) => with(&steps, field),
            None => steps,
        };
        let Some(name) = aside.set(&mut settings, steps) else {
            mistakes.push(("configuration".to_owned(), problem));
            return (None, mistakes);
        };
        if !told {
            mistakes.push((name, problem));
        }
    }
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { variant } => Some(Step::Key(variant.clone())),
        Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// The name that a problem of a kind quotes.
fn quoted<'a>(problem: &'a str, kind: &str) -> Option<&'a str> {
    problem.strip_prefix(kind)?.split('`').next()
}

/// One step further, if it is not the last already.
fn with(steps: &[Step], field: &str) -> Vec<Step> {
    let mut steps = steps.to_vec();
    if !matches!(steps.last(), Some(Step::Key(last)) if last == field) {
        steps.push(Step::Key(field.to_owned()));
    }
    steps
}

/// What was set aside.
#[derive(Default)]
struct Aside {
    /// By its name.
    names: HashSet<String>,
    /// Entries of lists, by the list's name and where they stood at first.
    entries: BTreeSet<(String, usize)>,
}

impl Aside {
    /// Takes the setting, or the nearest that it is part of, out of `settings`, and returns its name.
    fn set(&mut self, settings: &mut Value, mut steps: Vec<Step>) -> Option<String> {
        while let Some((last, parents)) = steps.split_last() {
            let name = self.name(&steps);
            if taken(settings, parents, last) {
                if let (Step::Index(_), Some((list, at))) = (last, entry(&name)) {
                    self.entries.insert((list.to_owned(), at));
                }
                self.names.insert(name.clone());
                return Some(name);
            }
            steps.pop();
        }
        None
    }

    /// A setting's name, with entries of lists where they stood before others were set aside.
    fn name(&self, steps: &[Step]) -> String {
        let mut name = String::new();
        for step in steps {
            match step {
                Step::Key(key) if name.is_empty() => name.push_str(key),
                Step::Key(key) => name = format!("{name}.{key}"),
                Step::Index(at) => {
                    let gone = self.entries.iter().filter(|(list, _)| *list == name);
                    let at = gone.fold(*at, |at, (_, gone)| if *gone <= at { at + 1 } else { at });
                    name = format!("{name}[{at}]");
                }
            }
        }
        name
    }
}

/// `keys[3]` as `keys` and 3.
fn entry(name: &str) -> Option<(&str, usize)> {
    let (list, at) = name.strip_suffix(']')?.rsplit_once('[')?;
    Some((list, at.parse().ok()?))
}

fn taken(settings: &mut Value, parents: &[Step], last: &Step) -> bool {
    let parent = parents.iter().try_fold(settings, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(at) => value.get_mut(at),
    });
    match (parent, last) {
        (Some(Value::Object(parent)), Step::Key(key)) => parent.remove(key).is_some(),
        (Some(Value::Array(parent)), Step::Index(at)) if *at < parent.len() => {
            parent.remove(*at);
            true
        }
        _ => false,
    }
}
