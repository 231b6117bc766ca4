//! The files of a checkpoint, opened by other people's programs.

use std::path::Path;
use std::process::Command;

use velo_core::duration::Span;
use velo_exec::checkpoint::{Folder, Inventory};
use velo_job::{RunOptions, Script};
use velo_plan::RecoveryProperties;

use crate::context::context;

/// Reads the Arrow files that are named, each by pyarrow, and counts their rows by DuckDB; then adds the counts of all groups up.
const READER: &str = r"
import sys
import duckdb, pyarrow.ipc
for path in sys.argv[2:]:
    state = pyarrow.ipc.open_file(path).read_all()
    rows = duckdb.sql('SELECT COUNT(*) FROM state').fetchall()[0][0]
    keys = duckdb.sql('SELECT COUNT(DISTINCT _key_group) FROM state').fetchall()[0][0] if '_key_group' in state.column_names else 0
    print(rows, keys, ','.join(state.column_names), sep='\t')
";

/// What stands in the manifest is what others find in the files: the rows of each, and a group of keys beside each key.
#[tokio::test]
async fn duckdb_and_pyarrow_open_the_state() {
    let python = std::env::var_os("VELO_PYTHON")
        .unwrap_or_else(|| panic!("`cargo xtask integration` says which Python has DuckDB and pyarrow"));
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..900).map(|at| format!("{{\"k\":\"key {}\",\"v\":{at},\"t\":{at}}}\n", at % 70)).collect();
    std::fs::write(folder.path().join("in.jsonl"), rows).unwrap();
    let sql = "CREATE STREAM t (k STRING, v BIGINT) WITH (connector = 'file', path = '@/in.jsonl', format = 'json', 'watch' = 'true', 'event.time.field' = 't', 'event.time.format' = 'epoch_seconds', 'watermark.max_out_of_orderness' = '1h');
        CREATE SINK sums WITH (connector = 'blackhole');
        INSERT INTO sums SELECT k, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY k EMIT CHANGES;
        CREATE SINK windows WITH (connector = 'blackhole');
        INSERT INTO windows SELECT k, MAX(v) AS m FROM t WINDOW TUMBLING (1 MINUTE) GROUP BY k;";
    let sql = sql.replace('@', folder.path().to_str().unwrap());
    let script = Script::plan(&sql, &context(folder.path())).await;
    assert!(script.is_runnable(), "{:?}", script.diagnostics());
    let mut options = RunOptions::new(2);
    let state = folder.path().join("state");
    options.recovery = Some(RecoveryProperties {
        dir: Some(state.to_str().unwrap().to_owned()),
        interval: Span(0),
        ..RecoveryProperties::default()
    });
    let (stop, progress) = (options.stop.clone(), script.progress());
    let source = std::sync::Arc::clone(&progress.sources[0]);
    options.on_checkpoint = Some(std::sync::Arc::new(move |manifest| {
        // All rows are in it.
        let delivered = manifest.sources.values().map(|source| source.counters["delivered"]).sum::<u64>();
        if delivered == 900 {
            assert_eq!(source.delivered.load(std::sync::atomic::Ordering::Relaxed), 900);
            stop.stop();
        }
    }));
    script.run(options, &progress).await.unwrap();
    let inventory = Inventory::take(&Folder::open(state.to_str().unwrap()).unwrap()).await.unwrap();
    let manifest = inventory.checkpoints.last().unwrap().manifest.clone().unwrap();
    let files: Vec<_> = manifest.operators.values().flatten().flat_map(|task| task.files.clone()).collect();
    assert!(files.len() >= 3, "{files:?}");
    let paths = files.iter().map(|file| state.join(&file.path));
    let read = Command::new(python).arg("-c").arg(READER).arg("files").args(paths).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let printed = String::from_utf8(read.stdout).unwrap();
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), files.len());
    let mut keys = 0;
    for (file, line) in files.iter().zip(&lines) {
        assert_eq!(line[0], file.rows.to_string(), "{}", file.path);
        if line[2].starts_with("$key0,$rows,$latest,") {
            keys += file.rows;
        }
    }
    assert_eq!(keys, 70, "a row for each key in the groups of all tasks: {printed}");
    assert!(Path::new(&state).join("job.json").exists());
}
