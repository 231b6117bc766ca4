//! A page per code of the error reference: what it says, what to do, and a script that gets it.
//!
//! The codes of reading SQL bring their pages along ([`CODES`]); those of planning and running are described here,
//! beside the program that shows them.

use velo_core::error::ErrorKind;
use velo_eventtime::EventTimeErrorKind;
use velo_plan::codes;
use velo_sql::Code;
use velo_sql::diagnostic::CODES;

/// What is known about one code.
pub struct Page {
    /// The stable word.
    pub code: &'static str,
    /// When it is found: while reading the SQL, planning, or running.
    pub found: &'static str,
    /// What it says, in one sentence.
    pub meaning: &'static str,
    /// What to do, in one sentence.
    pub remedy: &'static str,
    /// A script that gets it; empty where it takes more than a script.
    pub example: &'static str,
}

/// All pages, in the order of the reference.
pub fn pages() -> Vec<Page> {
    let reading = CODES.iter().map(|page| Page {
        code: page.code.as_str(),
        found: "reading the script",
        meaning: page.meaning,
        remedy: page.remedy,
        example: page.example,
    });
    let planning = PLANNING.iter().map(|(code, meaning, remedy, example)| Page {
        code: code.as_str(),
        found: "planning",
        meaning,
        remedy,
        example,
    });
    let event_time = EventTimeErrorKind::ALL.map(|kind| {
        let (meaning, remedy) = event_time(kind);
        Page { code: kind.code(), found: "event times of records", meaning, remedy, example: "" }
    });
    let connectors = CONNECTORS.iter().map(|(kind, meaning, remedy)| Page {
        code: kind.code(),
        found: "connectors",
        meaning,
        remedy,
        example: "",
    });
    let running = RUNNING.iter().map(|(code, meaning, remedy)| Page {
        code,
        found: "dead letters of operators",
        meaning,
        remedy,
        example: "",
    });
    reading.chain(planning).chain(event_time).chain(connectors).chain(running).collect()
}

// tidy: table: one code of planning a row
const PLANNING: &[(Code, &str, &str, &str)] = &[
    (
        codes::NOT_SUPPORTED,
        "The statement or clause is understood and cannot run yet.",
        "Do what the help says instead, or wait for a later version.",
        "STOP JOB alerts;",
    ),
    (
        codes::UNKNOWN_RELATION,
        "No stream, table or view has this name.",
        "Declare it before its use; the help names the nearest one that is there.",
        "SELECT * FROM trades;",
    ),
    (
        codes::UNKNOWN_COLUMN,
        "No column in reach has this name.",
        "Correct the name; the help has the nearest, or all of them.",
        "CREATE STREAM trades (symbol STRING) WITH (connector = 'file', path = 't.jsonl');\nSELECT symbl FROM trades;",
    ),
    (
        codes::AMBIGUOUS_COLUMN,
        "Several columns could be meant.",
        "Put the name of the relation before it, as in `trades.symbol`, or quote the exact spelling.",
        "CREATE STREAM t (\"id\" INT, \"Id\" INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT ID FROM t;",
    ),
    (
        codes::UNKNOWN_FUNCTION,
        "No function has this name.",
        "`velo functions` lists them; the help names the nearest.",
        "CREATE STREAM trades (symbol STRING) WITH (connector = 'file', path = 't.jsonl');\nSELECT UPER(symbol) FROM trades;",
    ),
    (
        codes::DUPLICATE_NAME,
        "The name is taken already.",
        "Choose another one, or write CREATE OR REPLACE.",
        "CREATE SINK out WITH (connector = 'file', path = 'a.jsonl');\nCREATE SINK out WITH (connector = 'file', path = 'b.jsonl');",
    ),
    (
        codes::TYPE_MISMATCH,
        "The types of operands or arguments do not fit together.",
        "CAST one of them to what is expected.",
        "CREATE STREAM t (flag BOOLEAN, n INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT flag + n FROM t;",
    ),
    (
        codes::ARGUMENTS,
        "The function takes other arguments.",
        "Give what the message lists.",
        "CREATE STREAM t (n INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT SUM(n, n) FROM t;",
    ),
    (
        codes::NOT_GROUPED,
        "A column of a grouped query is neither grouped by nor inside an aggregate.",
        "Add it to GROUP BY, or say with an aggregate which of its values is meant.",
        "CREATE STREAM t (a STRING, n INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT a, SUM(n) FROM t;",
    ),
    (
        codes::MISPLACED_AGGREGATE,
        "An aggregate stands where there are single rows.",
        "Move a condition on an aggregate from WHERE to HAVING, and take aggregates out of aggregates.",
        "CREATE STREAM t (n INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT n FROM t WHERE SUM(n) > 1;",
    ),
    (
        codes::PROPERTY,
        "A property is unknown, missing, or has a value that does not fit.",
        "`velo properties` lists them with their values; the help names the nearest.",
        "CREATE STREAM t (n INT) WITH (connector = 'file', pth = 't.jsonl');",
    ),
    (
        codes::UNKNOWN_CONNECTOR,
        "This build has no connector of this name.",
        "`velo connectors` lists them; a connector is chosen when velo is built.",
        "CREATE STREAM t (n INT) WITH (connector = 'pigeon');",
    ),
    (
        codes::CONNECTOR,
        "The system behind a connector answered with an error while the script was planned, as when columns are inferred.",
        "The message is the system's; declare the columns if the data is to come later.",
        "CREATE STREAM t WITH (connector = 'file', path = 'no-such-file.jsonl');",
    ),
    (
        codes::EVENT_TIME_MISSING,
        "A time window or another clause goes by event time, and the stream has none.",
        "Set `event.time.field` where the stream is declared.",
        "CREATE STREAM t (n INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT COUNT(*) FROM t WINDOW TUMBLING(1m);",
    ),
    (
        codes::NOT_EVENT_TIME,
        "Another column stands where the event time must.",
        "Use the column that the message names, or make this one the event time of its stream.",
        "CREATE STREAM t (a TIMESTAMP, b TIMESTAMP) WITH (connector = 'file', path = 't.jsonl', 'event.time.field' = 'a');\nSELECT COUNT(*) FROM t WINDOW TUMBLING(b, 1m);",
    ),
    (
        codes::WINDOW,
        "The length, advance or zone of a window is impossible.",
        "Give a length above zero, and an advance and zone that fit it.",
        "CREATE STREAM t (a TIMESTAMP) WITH (connector = 'file', path = 't.jsonl', 'event.time.field' = 'a');\nSELECT COUNT(*) FROM t WINDOW TUMBLING(0s);",
    ),
    (
        codes::UNBOUNDED,
        "The clause needs an input that ends.",
        "Bound the input, or add a time window.",
        "CREATE STREAM t (n INT) WITH (connector = 'file', path = 't.jsonl', watch = true);\nSELECT n FROM t ORDER BY n;",
    ),
    (
        codes::SINK,
        "The sink cannot take what the query gives.",
        "Change the query's columns or the sink, as the message says.",
        "CREATE STREAM t (n INT) WITH (connector = 'file', path = 't.jsonl');\nCREATE SINK out WITH (connector = 'file', path = 'out.jsonl');\nINSERT INTO out SELECT n, n FROM t;",
    ),
    (
        codes::CONFLICT,
        "Two settings contradict each other.",
        "Keep one of the two.",
        "CREATE STREAM t (a TIMESTAMP, b TIMESTAMP, WATERMARK FOR a AS a - INTERVAL '5' SECOND)\nWITH (connector = 'file', path = 't.jsonl', 'event.time.field' = 'b');",
    ),
    (
        codes::LITERAL,
        "A literal is no value of its type.",
        "Write it in the form that the message shows.",
        "CREATE STREAM t (d DATE) WITH (connector = 'file', path = 't.jsonl');\nSELECT DATE '2024-02-30' FROM t;",
    ),
    (
        codes::KEPT_STATE,
        "A warning: state is kept that nothing in the script bounds.",
        "Nothing, where it stays small; else group by a WINDOW, set `state.ttl`, or give the sink the key of the query.",
        "CREATE STREAM t (k STRING) WITH (connector = 'file', path = 't.jsonl', watch = 'true');\nSELECT k, COUNT(*) FROM t GROUP BY k;",
    ),
    (
        codes::EVERY_PAIR,
        "A warning: every row of a stream meets every row of a table.",
        "Nothing, where the table has a few rows; else write the equality of a column of each side into ON.",
        "CREATE STREAM s (a INT) WITH (connector = 'file', path = 's.jsonl');\nCREATE TABLE t (b INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT a, b FROM s CROSS JOIN t;",
    ),
    (
        codes::INTEGER_DIVISION,
        "A warning: integer / integer truncates.",
        "CAST one side to DECIMAL if the fraction matters.",
        "CREATE STREAM t (a INT, b INT) WITH (connector = 'file', path = 't.jsonl');\nSELECT a / b FROM t;",
    ),
];

/// What a kind says, and what to do.
fn event_time(kind: EventTimeErrorKind) -> (&'static str, &'static str) {
    match kind {
        EventTimeErrorKind::MissingField => (
            "MissingField: the event-time field of a record is null or missing.",
            "Correct `event.time.field`, or decide with `event.time.on.error` what becomes of such records.",
        ),
        EventTimeErrorKind::TypeMismatch => (
            "TypeMismatch: the value is of a type that can be no time in this format.",
            "Set the `event.time.format` that the values have.",
        ),
        EventTimeErrorKind::InvalidTimestamp => (
            "InvalidTimestamp: the value has the right form, and there is no such time, or it is out of range or far in the future.",
            "Correct the data; for times far ahead see `watermark.max_future_skew`.",
        ),
        EventTimeErrorKind::ParseError => (
            "ParseError: the value does not have the form of the format.",
            "Set the `event.time.format` that the values have.",
        ),
        EventTimeErrorKind::AmbiguousTimezone => (
            "AmbiguousTimezone: the local time occurs twice or never, because the clocks of its zone change.",
            "Write times with an offset, or give `event.time.zone` a zone without changes.",
        ),
        EventTimeErrorKind::AutoDetectFailed => (
            "AutoDetectFailed: no format was given, and the value is neither an integer nor ISO 8601.",
            "Set `event.time.format`; Velo does not guess.",
        ),
    }
}

const CONNECTORS: &[(ErrorKind, &str, &str)] = &[
    (
        ErrorKind::NotFound,
        "The file, topic or table is not there.",
        "Create it, or have Velo wait for it (`file.wait.timeout`).",
    ),
    (
        ErrorKind::PermissionDenied,
        "It is there, and may not be read or written.",
        "Give the user that runs velo the right.",
    ),
    (
        ErrorKind::Configuration,
        "A setting does not fit the system that is there.",
        "Change the setting that the message names.",
    ),
    (ErrorKind::Decode, "A record cannot be decoded.", "Correct the data or the declaration, or set `on.error`."),
    (
        ErrorKind::Encode,
        "A row cannot be written in the sink's format.",
        "CAST the column to a type that the format has.",
    ),
    (ErrorKind::StorageFull, "No room is left for the output.", "Make room, and run the script again."),
    (
        ErrorKind::Unavailable,
        "The other side cannot be reached, or says that it is busy.",
        "Check that it runs and can be reached from here.",
    ),
    (
        ErrorKind::OffsetLost,
        "What was to be read next is no longer there.",
        "Choose with `offset.lost` where to go on.",
    ),
    (
        ErrorKind::Memory,
        "What must stay in memory is more than `max.memory.mb` allows.",
        "Raise `max.memory.mb`, or load fewer rows or columns.",
    ),
    (ErrorKind::Fenced, "Another process has taken over this output.", "Stop one of the two."),
    (ErrorKind::Io, "Reading or writing failed otherwise.", "The message is the system's."),
    (ErrorKind::Unsupported, "The connector cannot do what was asked.", "The message says what it can do."),
];

/// Codes of rows that operators give up.
const RUNNING: &[(&str, &str, &str)] = &[
    (
        "late-data",
        "A row came behind the watermark, and what it is for had closed.",
        "A larger `watermark.max_out_of_orderness` waits longer; `late.data.strategy` decides what becomes of such rows.",
    ),
    (
        "compute-error",
        "An expression failed on a row: an overflow, a division by zero, a CAST of text that is no number.",
        "Compute with TRY_CAST or NULLIF what may fail, or correct the data; `on.compute.error` decides what becomes of such rows.",
    ),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::context::plan_context;

    #[test]
    fn codes_are_described_once() {
        let mut seen = std::collections::BTreeSet::new();
        for page in pages() {
            assert!(seen.insert(page.code), "{} has two pages", page.code);
            assert!(page.meaning.ends_with('.') && page.remedy.ends_with('.'), "{}: whole sentences", page.code);
        }
    }

    #[cfg(feature = "file")]
    #[test]
    fn examples_of_planning_get_their_codes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let wrong: Vec<String> = PLANNING
            .iter()
            .filter_map(|(code, _, _, example)| {
                let script = runtime.block_on(velo_job::Script::plan(example, &plan_context(Path::new("."))));
                let found: Vec<_> = script.diagnostics().iter().map(|found| found.code.as_str()).collect();
                let only = !found.is_empty() && found.iter().all(|found| *found == code.as_str());
                (!only).then(|| format!("{code}: {found:?} from\n{example}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}
