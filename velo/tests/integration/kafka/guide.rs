//! The guide to Kafka: its scripts are run as they stand there, and print what is shown below them.

use std::fmt::Write as _;
use std::path::Path;

use super::broker::Broker;
use crate::support::Folder;

/// Where the guide lies, from the folder of this crate.
const GUIDE: &str = "../docs/guide";

/// Where the guide's broker listens.
const SERVERS: &str = "localhost:9092";

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

/// The blocks `sql kafka` in their order.
fn blocks() -> Vec<Block> {
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
            ("sql kafka", _) => blocks.push(Block { sql: body, shown: None }),
            ("text", Some(script)) if is_behind_script => script.shown = Some(body),
            _ => {}
        }
        is_behind_script = kind == "sql kafka";
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
    let broker = Broker::new();
    let topics = format!("guide{}-", std::process::id());
    let scripts: Vec<Block> = blocks().into_iter().filter(|block| block.shown.is_some()).collect();
    assert_eq!(scripts.len(), 3, "the guide fills a topic, runs a job and looks at its results");
    let folder = root();
    // Only the broker and the names of topics are others.
    let run = |block: &Block| {
        let sql = block.sql.replace(SERVERS, &broker.servers).replace("topic = '", &format!("topic = '{topics}"));
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
    let (parts, scripts): (Vec<Block>, Vec<Block>) =
        blocks().into_iter().filter(|block| block.shown.is_none()).partition(|block| block.sql.starts_with('\''));
    assert!(!parts.is_empty() && scripts.len() >= 4, "the guide has blocks `sql kafka` that are not run");
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
