//! Under which names contributions are told: those of the columns that the model sees, but that the columns of a one-hot
//! encoding count as the column they were made from. Each name is a position in one list.

use std::collections::HashMap;

use crate::graph::Column;
use crate::transform::Transform;

/// Names, each once, in the order of their first mention.
#[derive(Debug, Default)]
pub(super) struct Labels {
    names: Vec<String>,
    places: HashMap<String, u32>,
}

impl Labels {
    /// The position of a name.
    pub(super) fn place(&mut self, name: &str) -> u32 {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }

    /// The names.
    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }

    /// The labels of `columns`, which come out of `transforms` applied to columns `inputs`, labelled `labels`.
    pub(super) fn of_columns(
        &mut self,
        inputs: &[String],
        labels: &[u32],
        transforms: &[Transform],
        columns: &[String],
    ) -> Vec<u32> {
        let mut known: HashMap<String, u32> = inputs.iter().cloned().zip(labels.iter().copied()).collect();
        for transform in transforms {
            if let Transform::OneHot { column, categories, .. } = transform {
                let label = known.get(column).copied().unwrap_or_else(|| self.place(column));
                known.extend(categories.iter().map(|category| (format!("{column}_{category}"), label)));
            }
        }
        columns.iter().map(|name| known.get(name).copied().unwrap_or_else(|| self.place(name))).collect()
    }

    /// The labels of the columns that the model inside a graph sees: what comes from one input counts as that input, what
    /// several make together has all their names.
    pub(super) fn of_graph(&mut self, inputs: &[String], labels: &[u32], columns: &[Column]) -> Vec<u32> {
        let name = |source: &u32| inputs.get(*source as usize).map_or("", String::as_str);
        let label = |column: &Column| match column.sources[..] {
            [source] if (source as usize) < labels.len() => labels[source as usize],
            [] => self.place("constant"),
            _ => self.place(&column.sources.iter().map(name).collect::<Vec<_>>().join(" ")),
        };
        columns.iter().map(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_columns_count_as_their_source() {
        let one_hot = |column: &str| Transform::OneHot {
            column: column.to_owned(),
            categories: vec![0.0, 1.0],
            drop_first: false,
        };
        let ratio = Transform::Ratio { numerator: "a".to_owned(), denominator: "c_1".to_owned() };
        let mut labels = Labels::default();
        let inputs = ["a", "c"].map(str::to_owned);
        let places: Vec<u32> = inputs.iter().map(|name| labels.place(name)).collect();
        let columns = ["a", "c_0", "c_1", "a / c_1"].map(str::to_owned);
        let found = labels.of_columns(&inputs, &places, &[one_hot("c"), ratio], &columns);
        assert_eq!(found, [0, 1, 1, 2]);
        assert_eq!(labels.into_names(), ["a", "c", "a / c_1"]);
    }
}
