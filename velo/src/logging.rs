//! Logs go to stderr, so that results on stdout stay clean; `VELO_LOG` chooses what is logged.

use tracing_subscriber::EnvFilter;

/// Starts logging: warnings, with `-v` what happens, with `-vv` its details.
pub fn start(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("VELO_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
