//! `features.yaml`: what it says, and that all of its mistakes are told at once.

use std::time::Duration;

use serve_features::MissingPolicy::{Constant, Nan, Reject};
use serve_features::{
    DeclarationError, Declarations, Entity, Feature, FeatureKind, MaxAge, RawTable, SourceColumn,
};

const SOUND: &str = r#"
feature_sets:
  btc_hourly:
    entity: symbol
    default_entity: BTC/USD
    max_age: 90m
    sources:
      price:     { table: price_data }
      sentiment: { table: sentiment_data, join: as_of, max_age: 1d, delay: 30m }
    features:
      z_last:      "return(close, 1)"
      sma_ratio_7: "close / rolling_mean(close, 7) - 1"
      mood:        { expr: "rolling_mean(sentiment.score, 1d)", missing: { constant: 0 } }
      strict:      { expr: log(volume), missing: reject }
      open_ended:  { expr: log(volume), missing: nan }
      bias:        1
  ready_made:
    entity: user
    max_age: none
"#;

fn lines(yaml: &str) -> Vec<String> {
    match Declarations::parse(yaml) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn a_sound_file_says_all_there_is() {
    let declarations = Declarations::parse(SOUND).expect("is sound");
    let [hourly, ready] = declarations.sets() else { unreachable!("two sets are declared") };
    assert_eq!((hourly.name().as_str(), hourly.entity_key()), ("btc_hourly", "symbol"));
    assert_eq!(hourly.default_entity().map(Entity::as_str), Some("BTC/USD"));
    assert_eq!(hourly.max_age(), Some(MaxAge::Limit(Duration::from_mins(90))));
    let sources: Vec<_> =
        hourly.sources().iter().map(|s| (&*s.name, s.table.clone(), s.max_age, s.delay)).collect();
    let day = Some(MaxAge::Limit(Duration::from_hours(24)));
    let expected = [
        ("price", RawTable::Price, None, Duration::ZERO),
        ("sentiment", RawTable::Sentiment, day, Duration::from_mins(30)),
    ];
    assert_eq!(sources, expected);
    let names: Vec<&str> = hourly.feature_names().collect();
    assert_eq!(names, ["z_last", "sma_ratio_7", "mood", "strict", "open_ended", "bias"]);
    let policies: Vec<_> = hourly.features().iter().map(Feature::missing).collect();
    assert_eq!(policies, [Nan, Nan, Constant(0.0), Reject, Nan, Nan]);
    assert_eq!(hourly.features()[1].expression(), Some("close / rolling_mean(close, 7) - 1"));
    assert_eq!(ready.max_age(), Some(MaxAge::Unlimited));
    assert!(ready.features().is_empty() && ready.sources().is_empty());
}

#[test]
fn every_mistake_is_told_at_once_with_line_set_and_feature() {
    let yaml = r#"feature_sets:
  Hourly:
    entity: symbol
    max_age: 90
    owner: me
    sources:
      price: { table: Prices }
      news:  { table: sentiment_data, join: left, max_age: soon, delay: 1 }
      2nd:   { tabel: price_data }
    features:
      a: "clsoe + news.score"
      b: { expr: "lag(close, 0)", missing: zero }
      c: { missing: { constant: x } }
      d: [1]
      entity: close
  other:
    features:
      e: close
extra: 1
"#;
    let usage = "takes (x, n), expected a whole number of rows from 1 to 1000000, got 0";
    let durations = "expected a whole number and one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`, such as `15m`";
    let missing = "`missing`: expected `nan`, `reject` or `{ constant: NUMBER }`";
    let expected = [
        "line 3: feature set \"Hourly\": feature set name \"Hourly\": expected 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`, beginning with a letter or a digit".to_owned(),
        "line 4: feature set \"Hourly\": expected `max_age`: a duration such as `90m`, or `none`, got the number 90".to_owned(),
        "line 5: feature set \"Hourly\": unknown key `owner`: expected entity, default_entity, max_age, sources, features".to_owned(),
        "line 7: feature set \"Hourly\": source \"price\": table \"Prices\": expected `price_data`, `sentiment_data` or 1 to 63 of `a-z`, `0-9`, `_`, beginning with a letter".to_owned(),
        "line 8: feature set \"Hourly\": source \"news\": `join`: expected `as_of`, got \"left\"".to_owned(),
        format!("line 8: feature set \"Hourly\": source \"news\": duration \"soon\": {durations}"),
        "line 8: feature set \"Hourly\": source \"news\": expected `delay`: a duration such as `1d`, got the number 1".to_owned(),
        "line 9: feature set \"Hourly\": source \"2nd\": unknown key `tabel`: expected table, columns, join, max_age, delay".to_owned(),
        "line 9: feature set \"Hourly\": source \"2nd\": expected a name of letters, digits and `_` that expressions can use".to_owned(),
        "line 9: feature set \"Hourly\": source \"2nd\": expected the key `table`: `price_data`, `sentiment_data` or a table of your own".to_owned(),
        format!("line 12: feature set \"Hourly\": feature \"b\": {missing}, got \"zero\""),
        format!("line 12: feature set \"Hourly\": feature \"b\": at character 12: `lag` {usage}"),
        "line 13: feature set \"Hourly\": feature \"c\": expected the key `expr`".to_owned(),
        format!("line 13: feature set \"Hourly\": feature \"c\": {missing}"),
        "line 14: feature set \"Hourly\": feature \"d\": expected an expression, or a map with `expr` and `missing`, got a list".to_owned(),
        "line 15: feature set \"Hourly\": feature \"entity\": the name is taken by a column of every built table".to_owned(),
        "line 17: feature set \"other\": expected the key `entity`, the name of what the features describe".to_owned(),
        "line 18: feature set \"other\": feature \"e\": expected `number`, `bool` or `text`, got \"close\"; an expression needs the key `sources`, which says where its columns come from".to_owned(),
        "line 19: unknown key `extra`: expected feature_sets".to_owned(),
    ];
    assert_eq!(lines(yaml), expected);
}

const SCORED: &str = r#"
feature_sets:
  shop:
    entity: user
    sources:
      paid: { table: payments, columns: { amount: number, note: text } }
      news: { table: sentiment_data, columns: { finbert: number } }
    features:
      spent: { expr: "rolling_sum(amount, 3)", type: number, range: { min: 0 }, max_null_rate: 0.5 }
      tone: vader(note) + vader(news.text) + news.finbert + news.score
      both: spent * tone
"#;

#[test]
fn columns_of_tables_of_ones_own_are_checked_where_they_are_declared() {
    let set = Declarations::parse(SCORED).expect("is sound").sets()[0].clone();
    let spent = &set.features()[0];
    assert_eq!((spent.kind(), spent.range().min, spent.range().max), (FeatureKind::Number, Some(0.0), None));
    assert_eq!(spent.max_null_rate(), Some(0.5));
    let paid = &set.sources()[0];
    assert_eq!((paid.column("note"), paid.column("x")), (Some(SourceColumn::Text), None));
    for (from, to, told) in [
        (
            "(amount, 3)",
            "(amonut, 3)",
            "line 9: feature set \"shop\": feature \"spent\": at character 13: no column `amonut`: source `paid` has amount, note; of `news`: `news.…`",
        ),
        (
            "news.finbert",
            "news.finbret",
            "line 10: feature set \"shop\": feature \"tone\": at character 34: no column `news.finbret`: source `news` has score, text, finbert; of `paid`: `paid.…`",
        ),
        (
            "vader(note)",
            "note",
            "line 10: feature set \"shop\": feature \"tone\": at character 1: no column `note`: texts are not numbers; `vader(paid.note)` is",
        ),
        (
            "note: text",
            "note: words",
            "line 6: feature set \"shop\": source \"paid\": column `note`: expected `number` or `text`, got \"words\"",
        ),
        (
            "type: number",
            "type: text",
            "line 9: feature set \"shop\": feature \"spent\": `range`: only numbers have one\nline 9: feature set \"shop\": feature \"spent\": `type`: an expression gives numbers, expected `number`",
        ),
    ] {
        let told_now = lines(&SCORED.replace(from, to));
        assert!(told_now.join("\n").contains(told), "{to}: {told_now:?}");
    }
}

#[test]
fn features_in_a_circle_are_named() {
    let told = lines(&SCORED.replace("rolling_sum(amount, 3)", "lag(both, 1)"));
    let circle =
        "line 9: feature set \"shop\": features refer to each other in a circle: `spent` → `both` → `spent`";
    assert_eq!(told, [circle]);
    let told = lines(&SCORED.replace("rolling_sum(amount, 3)", "spent + 1"));
    assert!(told[0].contains("no column `spent`"), "{told:?}");
}

#[test]
fn ready_rows_may_be_described() {
    let yaml = "
feature_sets:
  ready:
    entity: user
    features:
      age: { type: number, range: { min: 0, max: 150 }, missing: reject }
      member: bool
      city: { type: text, max_null_rate: 0.1 }
";
    let declarations = Declarations::parse(yaml).expect("is sound");
    let kinds: Vec<_> = declarations.sets()[0].features().iter().map(Feature::kind).collect();
    assert_eq!(kinds, [FeatureKind::Number, FeatureKind::Bool, FeatureKind::Text]);
    assert!(declarations.sets()[0].features().iter().all(|feature| feature.expression().is_none()));
    let told = lines(&yaml.replace("max: 150", "max: -1").replace("0.1", "10%").replace("bool", "boolean"));
    let expected = [
        "line 6: feature set \"ready\": feature \"age\": `range`: expected `min` not above `max`, got 0 and -1",
        "line 7: feature set \"ready\": feature \"member\": expected `number`, `bool` or `text`, got \"boolean\"; an expression needs the key `sources`, which says where its columns come from",
        "line 8: feature set \"ready\": feature \"city\": `max_null_rate`: expected a number from 0 to 1, got \"10%\"",
    ];
    assert_eq!(told, expected);
}

#[test]
fn windows_deeper_than_what_is_read_on_demand_are_known_beforehand() {
    let set = &Declarations::parse(SOUND).expect("is sound").sets()[0].clone();
    assert_eq!(set.deeper_than(6), [("sma_ratio_7", 7)]);
    assert_eq!(set.deeper_than(7), []);
}

#[test]
fn a_wrong_column_is_told_with_those_there_are() {
    let yaml = SOUND.replace("log(volume)", "log(volum)");
    let told = lines(&yaml);
    assert_eq!(told.len(), 2);
    assert_eq!(
        told[0],
        "line 14: feature set \"btc_hourly\": feature \"strict\": at character 5: no column `volum`: source `price` has \
         open, high, low, close, volume; of `sentiment`: `sentiment.…`"
    );
}

#[test]
fn an_age_limit_on_the_first_source_is_refused_because_it_would_do_nothing() {
    let told = lines(&SOUND.replace("{ table: price_data }", "{ table: price_data, max_age: 1d }"));
    assert_eq!(told.len(), 1);
    assert!(
        told[0]
            .ends_with("the first source gives the rows, so `max_age` would do nothing: put it on the set")
    );
}

#[test]
fn what_is_no_yaml_or_no_map_is_refused() {
    assert!(matches!(Declarations::parse("a: [1"), Err(DeclarationError::Yaml { .. })));
    assert!(matches!(Declarations::parse("a: 1\na: 2"), Err(DeclarationError::Yaml { .. })));
    assert!(matches!(Declarations::parse(&"[".repeat(100_000)), Err(DeclarationError::Yaml { .. })));
    let empty = [
        "line 1: expected a map with the key `feature_sets`, got nothing",
        "line 1: expected the key `feature_sets`",
    ];
    assert_eq!(lines(""), empty);
    assert_eq!(Declarations::parse("feature_sets: {}").map(|sets| sets.sets().len()).ok(), Some(0));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Declarations::load("/no/such/features.yaml").expect_err("is not there");
    assert_eq!(error.to_string(), "cannot read the feature declarations \"/no/such/features.yaml\"");
}

#[test]
fn every_mistake_of_a_file_is_a_line_that_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("features.yaml");
    let text = "feature_sets:\n  a:\n    entity: symbol\n    sources:\n      p: { table: price_data }\n    \
                features:\n      x: sinus(close)\n      y: lag(close)\n";
    std::fs::write(&path, text).expect("writes");
    let told = Declarations::load(&path).expect_err("has two mistakes").to_string();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    for (line, number) in lines.iter().zip([7, 8]) {
        let begins = format!("{}: line {number}: feature set \"a\": ", path.display());
        assert!(line.starts_with(&begins), "{line}");
    }
}
