//! Tests over whole scripts.

#[test]
fn smoke() {
    let text = std::fs::read_to_string(std::env::var("SMOKE").unwrap()).unwrap();
    let parsed = velo_sql::parse_script(&text);
    println!("{} statements", parsed.statements.len());
    println!("{}", velo_sql::render(&parsed.diagnostics, "smoke.sql", &text));
}
