//! The guide to Kafka: its scripts are run as they stand there, and print what is shown below them. Blocks `sql kafka` need a broker,
//! those `sql registry` a registry beside it.

use std::fmt::Write as _;
use std::path::Path;

use super::broker::Broker;
use crate::support::Folder;

/// Where the guide lies, from the folder of this crate.
const GUIDE: &str = "../docs/guide";

/// Where the guide's broker listens.
const SERVERS: &str = "localhost:9092";

/// Where the guide's registry is.
pub const REGISTRY: &str = "http://localhost:8081";

/// What scripts of the guide speak of that stands in no block.
const BEFORE: &str = "
CREATE STREAM orders (id BIGINT, cust STRING) WITH (connector = 'kafka', 'bootstrap.servers' = 'localhost:9092', topic = 'orders');
CREATE SINK paid WITH (connector = 'kafka', 'bootstrap.servers' = 'localhost:9092', topic = 'paid', format = 'json');
";

/// A script, and what is shown behind it.
struct Block {
    sql: String,
    shown: Option<String>,
}

/// The blocks of this kind in their order.
fn blocks(wanted: &str) -> Vec<Block> {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE).join("kafka.md")).unwrap();
    let (mut blocks, mut lines) = (Vec::<Block>::new(), guide.lines());
    let mut is_behind_script = false;
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            is_behind_script &= line.is_empty();
            continue;
        };
        let body = lines.by_ref().take_while(|line| *line != "```").fold(String::new(), |mut body, line| {
            writeln!(body, "{line}").unwrap();
            body
        });
        match (kind, blocks.last_mut()) {
            (kind, _) if kind == wanted => blocks.push(Block { sql: body, shown: None }),
            ("text", Some(script)) if is_behind_script => script.shown = Some(body),
            _ => {}
        }
        is_behind_script = kind == wanted;
    }
    blocks
}

/// A folder as the root of the repository is for the scripts.
fn root() -> Folder {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE).join("data");
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    files.fold(Folder::new(), |folder, file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        folder.file(&format!("docs/guide/data/{name}"), std::fs::read(&file).unwrap())
    })
}

#[test]
fn what_the_guide_shows_is_printed() {
    // It fills a topic, runs a job and looks at its results.
    prints_what_it_shows("sql kafka", 3, &[]);
}

/// Runs the scripts of this kind behind which the guide shows what they print, which so many are. The broker, the names of topics and what
/// stands in pairs here are others than in the guide.
pub fn prints_what_it_shows(kind: &str, count: usize, others: &[(&str, &str)]) {
    let broker = Broker::new();
    let topics = format!("guide{}-", std::process::id());
    let scripts: Vec<Block> = blocks(kind).into_iter().filter(|block| block.shown.is_some()).collect();
    assert_eq!(scripts.len(), count);
    let folder = root();
    let run = |block: &Block| {
        let sql = block.sql.replace(SERVERS, &broker.servers).replace("topic = '", &format!("topic = '{topics}"));
        let sql = others.iter().fold(sql, |sql, (guide, here)| sql.replace(guide, here));
        std::fs::write(folder.path("script.sql"), sql).unwrap();
        // Rows of several tasks come in no order, and the guide has one.
        let ran = folder.velo(&["run", "--parallelism", "1", "script.sql"]);
        assert_eq!(ran.code, 0, "{}: {}", block.sql, ran.stderr);
        let printed = ran.stdout + &ran.stderr;
        sorted(&printed.replace(&broker.servers, SERVERS).replace(&topics, ""))
    };
    for block in &scripts {
        assert_eq!(run(block), sorted(block.shown.as_ref().unwrap()), "{}", block.sql);
    }
}

/// Partitions are read in no order.
fn sorted(printed: &str) -> Vec<String> {
    let mut lines = printed.trim_end().lines().map(str::to_owned).collect::<Vec<_>>();
    lines.sort();
    lines
}

/// What is shown as a part of a script, or without results, is right too.
#[test]
fn every_script_of_the_guide_can_be_planned() {
    let (parts, scripts): (Vec<Block>, Vec<Block>) = blocks("sql kafka")
        .into_iter()
        .filter(|block| block.shown.is_none())
        .partition(|block| block.sql.starts_with('\''));
    assert!(!parts.is_empty() && scripts.len() >= 4, "the guide has blocks `sql kafka` that are not run");
    // Of one with a registry the columns are asked for, so that it is run or nothing.
    assert!(blocks("sql registry").iter().all(|block| block.shown.is_some()));
    let mut script = scripts.iter().fold(BEFORE.to_owned(), |script, block| script + &block.sql);
    for (number, part) in parts.iter().enumerate() {
        // The properties of a connection.
        let with = format!("connector = 'kafka', 'bootstrap.servers' = '{SERVERS}', topic = 'part', {}", part.sql);
        write!(script, "CREATE STREAM part{number} (id BIGINT) WITH ({with}); SELECT id FROM part{number};").unwrap();
    }
    let folder = root().file("script.sql", &script);
    let ran = folder.command(&["validate", "script.sql"]).env("KAFKA_PASSWORD", "none").output().unwrap();
    assert!(ran.status.success(), "{script}\n{}", String::from_utf8_lossy(&ran.stderr));
    // It is looked at closely: a property that is misspelt is found.
    let folder = folder.file("script.sql", script.replace("'ssl.ca.location'", "'ssl.ca.loction'"));
    let ran = folder.command(&["validate", "script.sql"]).env("KAFKA_PASSWORD", "none").output().unwrap();
    assert!(!ran.status.success());
}
