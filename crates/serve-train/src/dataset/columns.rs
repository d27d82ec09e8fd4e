//! Which column is what: the target, the time, left out, or a feature. Features keep the file's order, because that
//! becomes the order of the signature.

use csv::StringRecord;

use super::{DatasetError, DatasetOptions};

/// Taken for the time where no column is named for it, the first of these that there is.
const TIME: [&str; 3] = ["timestamp", "time", "date"];
/// Never features: they say which series a row belongs to.
const ENTITY: [&str; 2] = ["entity", "symbol"];

/// The columns' roles, as positions in the file.
#[derive(Debug, PartialEq)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    pub(super) target: usize,
    pub(super) time: Option<usize>,
    pub(super) features: Vec<usize>,
    /// Names of the entity columns left out without being asked to.
    pub(super) entities: Vec<String>,
}

impl Columns {
    pub(super) fn choose(header: &StringRecord, options: &DatasetOptions) -> Result<Self, DatasetError> {
        let names = names(header)?;
        let find = |role, name: &String| {
            let unknown = || DatasetError::Unknown { role, name: name.clone(), columns: names.clone() };
            names.iter().position(|column| column == name).ok_or_else(unknown)
        };
        let target = find("target", &options.target)?;
        let excluded = options.exclude.iter().map(|name| find("exclude", name));
        let excluded = excluded.collect::<Result<Vec<_>, _>>()?;
        let time = match &options.time {
            Some(name) => Some(find("time", name)?),
            None => usual_time(&names, |column| column != target && !excluded.contains(&column)),
        };
        let conflict = |role| Err(DatasetError::Conflict { name: options.target.clone(), role });
        if excluded.contains(&target) {
            return conflict("excluded");
        }
        if time == Some(target) {
            return conflict("the time");
        }
        let entity = |i: &usize| *i != target && ENTITY.contains(&names[*i].as_str());
        let taken = |i: &usize| *i == target || time == Some(*i) || excluded.contains(i) || entity(i);
        let features: Vec<usize> = (0..names.len()).filter(|i| !taken(i)).collect();
        if features.is_empty() {
            return Err(DatasetError::NoFeatures);
        }
        let entities = (0..names.len()).filter(|i| entity(i) && !excluded.contains(i));
        let entities = entities.map(|i| names[i].clone()).collect();
        Ok(Self { names, target, time, features, entities })
    }

    pub(super) fn feature_names(&self) -> Vec<String> {
        self.features.iter().map(|&column| self.names[column].clone()).collect()
    }
}

fn usual_time(names: &[String], free: impl Fn(usize) -> bool) -> Option<usize> {
    let find = |usual| names.iter().position(|name| name == usual).filter(|column| free(*column));
    TIME.iter().find_map(find)
}

fn names(header: &StringRecord) -> Result<Vec<String>, DatasetError> {
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (index, name) in header.iter().enumerate() {
        if name.is_empty() {
            return Err(DatasetError::Unnamed { position: index + 1 });
        }
        if names.iter().any(|other| other == name) {
            return Err(DatasetError::Duplicate { name: name.to_owned() });
        }
        names.push(name.to_owned());
    }
    if names.is_empty() { Err(DatasetError::NoHeader) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(header: &[&str], options: &DatasetOptions) -> Result<Columns, String> {
        Columns::choose(&StringRecord::from(header), options).map_err(|error| error.to_string())
    }

    #[test]
    fn roles_are_found_by_usual_names() {
        let columns =
            choose(&["symbol", "b", "date", "up", "a"], &DatasetOptions::new("up")).expect("chosen");
        assert_eq!((columns.time, columns.target), (Some(2), 3));
        assert_eq!(columns.feature_names(), ["b", "a"]);
        assert_eq!(columns.entities, ["symbol"]);
    }

    #[test]
    fn timestamp_goes_before_date_and_an_excluded_one_is_no_time() {
        let header = ["date", "timestamp", "a", "up"];
        let mut options = DatasetOptions::new("up");
        assert_eq!(choose(&header, &options).map(|c| c.time), Ok(Some(1)));
        options.exclude = vec!["timestamp".to_owned()];
        assert_eq!(choose(&header, &options).map(|c| c.time), Ok(Some(0)));
        options.time = Some("timestamp".to_owned());
        let columns = choose(&header, &options).expect("chosen");
        assert_eq!(
            (columns.time, columns.feature_names()),
            (Some(1), vec!["date".to_owned(), "a".to_owned()])
        );
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let told = |header: &[&str], options: DatasetOptions| choose(header, &options).expect_err("refused");
        let with = |exclude: &str, time: Option<&str>| DatasetOptions {
            exclude: vec![exclude.to_owned()],
            time: time.map(str::to_owned),
            ..DatasetOptions::new("up")
        };
        let new = DatasetOptions::new;
        assert_eq!(told(&["a", "b"], new("up")), "there is no column \"up\" (target); the file has a, b");
        assert_eq!(
            told(&["a", "up"], with("x", None)),
            "there is no column \"x\" (exclude); the file has a, up"
        );
        assert_eq!(
            told(&["a", "up"], with("a", Some("t"))),
            "there is no column \"t\" (time); the file has a, up"
        );
        assert_eq!(
            told(&["a", "up"], with("up", None)),
            "column \"up\" cannot be the target and excluded too"
        );
        assert_eq!(
            told(&["a", "up"], with("a", Some("up"))),
            "column \"up\" cannot be the target and the time too"
        );
        assert_eq!(told(&["date", "symbol", "up"], new("up")), "no column is left to learn from");
        assert_eq!(told(&["a", "", "up"], new("up")), "column 2 has no name");
        assert_eq!(told(&["a", "a", "up"], new("up")), "column \"a\" stands twice in the header");
    }
}
