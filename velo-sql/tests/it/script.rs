//! Scripts as a whole: recovery, annotations, spans, JSON.

use expect_test::expect;
use velo_sql::ast::StatementKind;
use velo_sql::{format_script, parse_script, render, to_json};

fn reports(text: &str) -> String {
    render(&parse_script(text).diagnostics, "s.sql", text)
}

#[test]
fn all_mistakes_come_at_once_and_the_good_statements_too() {
    let text = "SELECT 1;\nSELEC 2;\nSELECT 3 FROM;\nSELECT 4;\nDROP trades;\n";
    let parsed = parse_script(text);
    assert_eq!(parsed.statements.len(), 2);
    assert_eq!(parsed.diagnostics.len(), 3);
    let lines: Vec<u32> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.primary.span.start).collect();
    assert!(lines.is_sorted());
}

#[test]
fn an_unclosed_parenthesis_does_not_hide_the_next_statement() {
    let text = "CREATE STREAM a (x INT;\nSELECT 1;\nSELECT (2;";
    expect![[r#"
        error[unclosed]: this parenthesis is never closed
          --> s.sql:1:17
           1 | CREATE STREAM a (x INT;
             |                 ^ it opens here
             |                       - the statement ends here
           = help: close it with )

        error[unclosed]: this parenthesis is never closed
          --> s.sql:3:8
           3 | SELECT (2;
             |        ^ it opens here
             |          - the statement ends here
           = help: close it with )
    "#]]
    .assert_eq(&reports(text));
    assert_eq!(parse_script(text).statements.len(), 1);
}

#[test]
fn an_unclosed_quote_is_found_where_it_opens_and_the_rest_is_still_read() {
    let text = "SELECT 'abc FROM t;\nSELECT 'x', 'y' FROM t;\nSELECT FROM t;\n";
    expect![[r#"
        error[unclosed]: this string is never closed
          --> s.sql:1:8
           1 | SELECT 'abc FROM t;
             |        ^ the quote opens here
           = help: close it with '; a ' inside is written twice: ''

        error[syntax]: expected an expression, found `FROM`
          --> s.sql:3:8
           3 | SELECT FROM t;
             |        ^^^^
           = help: say what to select: SELECT * FROM …
    "#]]
    .assert_eq(&reports(text));
}

#[test]
fn annotations_belong_to_the_next_statement() {
    let text = "-- @name: a @parallelism: 4\nSELECT 1;\n/* @name: b\n   @mail: x@y.z */ -- plain\nSELECT 2; -- @name: c\nSELECT 3";
    let parsed = parse_script(text);
    let found: Vec<Vec<String>> = parsed
        .statements
        .iter()
        .map(|statement| {
            statement
                .annotations
                .iter()
                .map(|each| {
                    format!("{}={} {} {}", each.name, each.value, each.name_span.text(text), each.value_span.text(text))
                })
                .collect()
        })
        .collect();
    assert_eq!(
        found,
        [
            vec!["name=a @name a", "parallelism=4 @parallelism 4"],
            vec!["name=b @name b", "mail=x@y.z @mail x@y.z"],
            vec!["name=c @name c"],
        ]
    );
}

#[test]
fn spans_give_back_the_text() {
    let text = "  SELECT a + b AS c FROM t WHERE x ;";
    let parsed = parse_script(text);
    let statement = &parsed.statements[0];
    assert_eq!(statement.span.text(text), "SELECT a + b AS c FROM t WHERE x");
    let StatementKind::Select(select) = &statement.kind else { panic!() };
    let velo_sql::ast::SetExpr::Select(select) = &select.query.body else { panic!() };
    assert_eq!(select.items[0].span().text(text), "a + b AS c");
    assert_eq!(select.selection.as_ref().unwrap().span.text(text), "x");
}

#[test]
fn json_has_places_and_help() {
    let text = "SELECT é == 1";
    let json = to_json(&parse_script(text).diagnostics, "s.sql", text);
    expect![[r#"[{"code":"other-dialect","severity":"error","message":"equality is written with one sign","file":"s.sql","primary":{"start":{"offset":10,"line":1,"column":10},"end":{"offset":12,"line":1,"column":12},"text":""},"secondary":[],"help":["write ="]}]"#]]
        .assert_eq(&json.to_string());
}

#[test]
fn the_formatter_keeps_comments_where_they_were() {
    let text = "-- head\n\n-- about a\nselect a, -- the a\n  /* b */ b\nfrom t -- the t\n-- before where\nwhere a = 1 -- end\n; -- after\n\n\n-- tail\n";
    expect![[r#"
        -- head

        -- about a
        SELECT
          a, -- the a
          /* b */
          b
        FROM t -- the t
        -- before where
        WHERE a = 1; -- end -- after

        -- tail
    "#]]
    .assert_eq(&format_script(text).unwrap());
}

#[test]
fn an_empty_script_is_no_mistake() {
    for text in ["", " \n", ";", ";;\n;", "-- only a comment", "/* and\none */"] {
        let parsed = parse_script(text);
        assert!(parsed.statements.is_empty() && parsed.diagnostics.is_empty(), "{text:?}");
    }
}

#[test]
fn every_code_has_an_example_that_gets_it() {
    for page in velo_sql::diagnostic::CODES {
        let example = match page.code {
            velo_sql::Code::NESTING_TOO_DEEP => format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200)),
            _ => page.example.to_owned(),
        };
        let codes: Vec<_> = parse_script(&example).diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert_eq!(codes, [page.code], "{example}");
        assert!(page.meaning.ends_with('.') && page.remedy.ends_with('.'));
    }
}

#[test]
fn parts_of_scripts_are_read_alone() {
    assert!(velo_sql::parse_expression("a + 1 ORDER").is_err());
    assert!(velo_sql::parse_expression("").is_err());
    assert!(velo_sql::parse_expression("a == 1").is_err());
    assert!(velo_sql::parse_select("SELECT 1;").is_err());
    assert!(velo_sql::parse_select("SELECT a INTO b").is_err());
    let query = velo_sql::parse_select("select a from t").unwrap();
    assert_eq!(velo_sql::print_query(&query), "SELECT a FROM t");
}
