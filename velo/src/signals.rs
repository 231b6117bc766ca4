//! Ctrl-C and SIGTERM: the first asks the job to stop, the second ends the process at once.

use velo_job::Stop;

/// Asks `stop` when a signal comes; with `finish` the inputs end instead.
pub fn watch(stop: Stop, finish: bool) {
    tokio::spawn(async move {
        if !received().await {
            return;
        }
        if finish {
            stop.finish();
        } else {
            stop.stop();
        }
        tracing::info!("stopping; a second signal stops at once");
        if received().await {
            // The usual code of a process that a signal ended.
            std::process::exit(130);
        }
    });
}

/// Waits for a signal; false where signals cannot be had.
async fn received() -> bool {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return tokio::signal::ctrl_c().await.is_ok() };
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
            _ = terminate.recv() => true,
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
