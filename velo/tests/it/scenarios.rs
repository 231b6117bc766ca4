//! `velo test`: what it prints, what it writes, and its exit code.

use crate::support::Folder;

const SCENARIOS: &str = "# Doubling

## Twice as much

```sql
CREATE STREAM t (v INT) WITH (connector = 'kafka', topic = 't', format = 'json');
CREATE STREAM doubled AS SELECT v * 2 AS twice FROM t;
```

```input t
v
1
2
```

```output doubled
twice
+I 2
+I 4
```

## A misspelt column

```sql
SELECT x FROM nowhere;
```

```error
error[unknown-relation]: there is no stream, table or view 'nowhere'
  --> script.sql:1:15
   1 | SELECT x FROM nowhere;
     |               ^^^^^^^
   = help: CREATE STREAM … WITH (connector = …) declares one; it must stand before its use
```
";

fn broken() -> Folder {
    Folder::new().file("scenarios/double.md", SCENARIOS.replace("+I 4", "+I 5"))
}

#[test]
fn what_holds_is_counted() {
    let folder = Folder::new().file("scenarios/double.md", SCENARIOS).file("scenarios/README.md", "```sql\n```\n");
    let ran = folder.velo(&["test", "scenarios"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "2 scenarios in 2 runs: all as expected\n");
    let ran = folder.velo(&["test", "scenarios", "--filter", "TWICE", "--modes", "chosen", "--seed", "5"]);
    assert!(ran.stdout.starts_with("1 scenarios in ") && ran.stdout.ends_with("(seed 5)\n"), "{}", ran.stdout);
}

#[test]
fn what_does_not_hold_fails_with_its_line() {
    let folder = broken();
    let ran = folder.velo(&["test", "scenarios", "--junit", "report.xml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("FAILED: Twice as much (plain)\nscenarios/double.md:17: the output doubled differs:"));
    assert!(ran.stderr.ends_with("error: 2 scenarios in 2 runs: 1 not as expected\n"), "{}", ran.stderr);
    assert!(folder.read("report.xml").contains("tests=\"2\" failures=\"1\""));
    let ran = folder.velo(&["test", "scenarios", "--output", "json"]);
    let first: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((ran.code, &first["passed"], &first["failures"][0]["line"]), (1, &false.into(), &17.into()));
}

#[test]
fn an_update_makes_it_hold() {
    let folder = broken();
    let ran = folder.velo(&["test", "scenarios", "--update"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2 scenarios in 2 runs: all as expected, 1 updated\n"));
    let text = folder.read("scenarios/double.md");
    assert!(text.contains("```output doubled\n   twice\n+I 2\n+I 4\n```\n\n## A misspelt column"), "{text}");
    assert_eq!(folder.velo(&["test", "scenarios"]).code, 0);
}

#[test]
fn files_that_are_no_scenarios() {
    let folder = Folder::new().file("a.md", "## One\n```sql\nSELECT 1;\n```\n").file("b/notes.txt", "");
    let ran = folder.velo(&["test", "a.md"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("error: a.md:1: the scenario 'One' expects nothing"), "{}", ran.stderr);
    let ran = folder.velo(&["test", "b"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there are no scenarios"), "{}", ran.stderr);
    assert_eq!(folder.velo(&["test", "nowhere.md"]).code, 1);
}
