//! `--report` and `replay`.

use std::fs;

use crate::Folder;

#[test]
fn reports_are_written_beside_the_output_and_kept_unless_told() {
    let folder = Folder::new();
    fs::write(folder.path("rows.csv"), "a,b\n0.5,1\nx,1\n-1,0.25\n").expect("writes");
    let arguments = "--input rows.csv --output out.csv --report r.html --report r.json";
    let (code, told) = folder.told(arguments);
    assert_eq!(code, 0, "{told}");
    let page = fs::read_to_string(folder.path("r.html")).expect("is there");
    assert!(page.contains("direction@v1") && page.contains("expected a number"));
    let json = fs::read_to_string(folder.path("r.json")).expect("is there");
    assert!(json.contains("\"rejected\": 1") && json.contains("\"name\": \"rows.csv\""), "{json}");
    fs::remove_file(folder.path("out.csv")).expect("removes");
    fs::remove_file(folder.path("out.csv.rejects.csv")).expect("removes");
    let (code, told) = folder.told(arguments);
    assert!(code == 73 && told.contains("r.html exists; --overwrite replaces it"), "{code}: {told}");
    assert!(!folder.path("out.csv").exists());
    let (code, told) = folder.told("--input rows.csv --output o.csv --report r.txt");
    assert!(code == 2 && told.contains(".html or .json"), "{code}: {told}");
}

#[test]
fn a_log_is_replayed_by_a_subcommand_with_flags_of_its_own() {
    let folder = Folder::new();
    let log = "prediction_id,model,version,features,score\n\
        p1,direction,v1,\"{\"\"a\"\": 0.5, \"\"b\"\": 1}\",\"{\"\"down\"\": 0.9, \"\"up\"\": 0.1}\"\n\
        p2,direction,v0,\"{\"\"a\"\": 0.5}\",\"{\"\"down\"\": 0.9, \"\"up\"\": 0.1}\"\n\
        p3,other,v1,{},{}\n";
    fs::write(folder.path("log.csv"), log).expect("writes");
    let replay = |arguments: &str| {
        let output = folder.program(&format!("replay --registry models {arguments}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
    };
    let (code, told, _) =
        replay("--log log.csv --model direction@v1 --output changes.csv --report r.json --quiet");
    assert_eq!(code, 0, "{told}");
    assert!(told.starts_with("1 of 1 decisions change with direction@v1 (100.0 %)\n"), "{told}");
    for part in ["  down -> up  1", "3 rows read: 1 of other models", "1 rejected", "p1"] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    let changes = fs::read_to_string(folder.path("changes.csv")).expect("is there");
    assert!(
        changes.lines().nth(1).is_some_and(|row| row.starts_with("1,p1,,v1,down,up,up,0.1,")),
        "{changes}"
    );
    assert!(fs::read_to_string(folder.path("r.json")).expect("is there").contains("\"kind\": \"replay\""));
    assert_eq!(replay("--log log.csv").0, 2);
    fs::write(folder.path("rows.csv"), "a,b\n0.5,1\n").expect("writes");
    let (code, _, told) = replay("--log rows.csv --model direction");
    assert!(code == 65 && told.contains("is no log of predictions"), "{code}: {told}");
}
