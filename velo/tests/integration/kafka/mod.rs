//! Topics as streams and sinks, with a real broker.

pub(crate) mod broker;
mod cases;
pub(crate) mod formats;
pub(crate) mod guide;
mod history;
mod keys;
mod letters;
pub(crate) mod running;
mod security;
mod sinks;
mod sources;
pub(crate) mod streams;
mod tables;
mod times;

use crate::support::{Folder, Ran};

use self::broker::Broker;

/// A script in a folder of its own, with the broker's address for `@`.
pub(crate) fn job(broker: &Broker, script: &str) -> Folder {
    Folder::new().file("q.sql", script.replace('@', &broker.servers))
}

/// From a topic to a topic, exactly once; `more` are further properties of the stream.
pub(crate) fn copying(broker: &Broker, from: &str, to: &str, more: &str) -> Folder {
    job(
        broker,
        &format!(
            "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '100ms';
             CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'json'{more});
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json');
             INSERT INTO o SELECT id FROM t;"
        ),
    )
}

pub(crate) fn run(folder: &Folder) -> Ran {
    folder.velo(&["run", "--quiet", "--output", "json", "q.sql"])
}

/// The rows that a script printed, sorted.
pub(crate) fn rows(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut rows = ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>();
    rows.sort();
    rows
}
