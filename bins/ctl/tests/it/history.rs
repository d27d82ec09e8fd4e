//! Who moved what and why; pins; deletion and pruning.

use serde_json::json;

use crate::shop::Shop;

fn host() -> String {
    let host = std::process::Command::new("uname").arg("-n").output().expect("uname starts");
    String::from_utf8_lossy(&host.stdout).trim().to_owned()
}

#[test]
fn the_history_says_who_moved_what_from_where_and_why() {
    let shop = Shop::with(&["v1", "v2"]);
    let told = shop.ctl(&["promote", "m", "v2", "--why", "better in the rain"]).ok();
    assert_eq!(told, "m: champion moved from v1 to v2\n");
    assert_eq!(shop.ctl(&["rollback", "m"]).ok(), "m: champion moved back from v2 to v1\n");
    let moves = shop.ctl(&["history", "m", "--json"]).json();
    let alice = format!("alice@{}", host());
    let brief: Vec<_> = moves
        .as_array()
        .expect("a list")
        .iter()
        .map(|step| {
            assert_eq!(step["by"], alice.as_str());
            json!([step["alias"], step["action"], step["from"], step["to"], step["why"]])
        })
        .collect();
    assert_eq!(
        brief,
        [
            json!(["champion", "publish", null, "v1", null]),
            json!(["champion", "promote", "v1", "v2", "better in the rain"]),
            json!(["champion", "rollback", "v2", "v1", null]),
        ]
    );
    let table = shop.ctl(&["history", "m"]).ok();
    let header: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(header, ["WHEN", "ALIAS", "WHAT", "FROM", "TO", "BY", "WHY"]);
    assert!(table.lines().nth(2).is_some_and(|line| line.ends_with("better in the rain")), "{table}");
}

#[test]
fn a_pinned_model_stays_where_it_is() {
    let shop = Shop::with(&["v1", "v2"]);
    assert_eq!(shop.ctl(&["pin", "m", "--why", "audit"]).ok(), "m is pinned to v1\n");
    let told = shop.ctl(&["promote", "m", "v2"]).failed(65);
    assert!(told.starts_with("m is pinned to v1 by alice@"), "{told}");
    assert!(told.ends_with(" (audit); unpin it first"), "{told}");
    shop.ctl(&["rollback", "m"]).failed(65);
    let shown = shop.ctl(&["show", "m"]).ok();
    assert!(shown.contains("pinned to v1 by alice@") && shown.contains(": audit"), "{shown}");
    assert_eq!(shop.ctl(&["unpin", "m"]).ok(), "m is not pinned any more\n");
    assert_eq!(shop.ctl(&["unpin", "m"]).failed(65), "m is not pinned");
    assert_eq!(shop.ctl(&["pin", "m", "v2"]).ok(), "m is pinned to v2\n");
    let moves = shop.ctl(&["history", "m", "--json"]).json();
    let actions: Vec<_> =
        moves.as_array().expect("a list").iter().map(|step| step["action"].clone()).collect();
    assert_eq!(actions, ["publish", "pin", "unpin", "promote", "pin"]);
}

#[test]
fn what_an_alias_points_to_is_not_deleted() {
    let shop = Shop::with(&["v1", "v2"]);
    let told = shop.ctl(&["delete", "m@v1"]).failed(65);
    assert_eq!(told, "m@v1 is not deleted: the alias champion points to it");
    assert_eq!(shop.ctl(&["delete", "m@v2"]).ok(), "m@v2 is deleted\n");
    assert!(!shop.path("registry/m/v2").exists());
    assert_eq!(shop.ctl(&["delete", "m@v2"]).failed(66), "model \"m\" has no version \"v2\"");
    let told = shop.ctl(&["delete", "m"]).failed(65);
    assert_eq!(told, "\"m\" does not say which version: expected NAME@VERSION or NAME@ALIAS");
}

#[test]
fn prune_says_what_goes_what_stays_and_why() {
    let shop = Shop::with(&["v1", "v2", "v3", "v4"]);
    shop.ctl(&["promote", "m", "v3"]).ok();
    let table = |told: &str| {
        let cells = |line: &str| {
            let cells: Vec<_> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            format!("{} {}: {}", cells[1], cells[3], cells[4])
        };
        let lines: Vec<_> = told.lines().collect();
        lines[1..lines.len() - 1].iter().map(|line| cells(line)).collect::<Vec<_>>()
    };
    let dry = shop.ctl(&["prune", "m", "--keep", "1", "--dry-run"]).ok();
    let reasons = [
        "v1 stays: a rollback would return to it",
        "v2 would go: -",
        "v3 stays: the alias champion points to it",
        "v4 stays: it is the newest",
    ];
    assert_eq!(table(&dry), reasons, "{dry}");
    assert!(dry.ends_with("\n1 of 4 version(s) would be deleted\n"), "{dry}");
    let told = shop.ctl(&["prune", "--keep", "1"]).ok();
    assert_eq!(table(&told)[1], "v2 gone: -");
    assert!(told.ends_with("\n1 of 4 version(s) deleted\n"), "{told}");
    assert!(!shop.path("registry/m/v2").exists() && shop.path("registry/m/v1").exists());
    let young = shop.ctl(&["prune", "m", "--older-than", "30d"]).ok();
    assert!(young.ends_with("\n0 of 3 version(s) deleted\n"), "{young}");
    assert_eq!(shop.ctl(&["prune", "m"]).code, Some(2), "some rule has to be given");
    let unit = shop.ctl(&["prune", "m", "--older-than", "30"]);
    assert_eq!(unit.code, Some(2));
    assert!(unit.err.contains("has no unit"), "{}", unit.err);
    assert_eq!(shop.ctl(&["prune", "z", "--keep", "1"]).failed(66), "unknown model \"z\"");
}
