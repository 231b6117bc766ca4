//! Which partitions of a source are paused: those whose watermark is too far ahead of the slowest that is read.
//!
//! A paused partition keeps what it has decoded and its reader is asked for no more, so it is held back as a slow consumer holds it.
//! The slowest one is never paused, and one that has ended or is idle is not waited for; so somebody can always go on.

use tokio::sync::watch;
use velo_core::Watermark;
use velo_eventtime::WatermarkProperties;

/// What the task of a source says of its slowest partition.
pub(super) struct Alignment {
    /// Microseconds.
    max_drift: i64,
    slowest: watch::Sender<Watermark>,
}

impl Alignment {
    /// None where partitions need not wait for each other.
    pub(super) fn new(watermark: Option<&WatermarkProperties>) -> Option<Self> {
        let max_drift = watermark?.max_drift.micros();
        // Until the task has opened all partitions, none is far ahead of any.
        (max_drift > 0).then(|| Self { max_drift, slowest: watch::Sender::new(Watermark::NONE) })
    }

    /// The least watermark of the partitions that are read now; none where there is none of these.
    pub(super) fn publish(&self, slowest: Option<Watermark>) {
        let slowest = slowest.unwrap_or(Watermark::END);
        self.slowest.send_if_modified(|known| std::mem::replace(known, slowest) != slowest);
    }

    /// For a partition that was read before to `reached`.
    pub(super) fn of_partition(&self, reached: Watermark) -> Aligned {
        Aligned { max_drift: self.max_drift, slowest: self.slowest.subscribe(), reached }
    }
}

/// One partition among those of its source.
pub(super) struct Aligned {
    max_drift: i64,
    slowest: watch::Receiver<Watermark>,
    /// Its watermark behind what it has given.
    reached: Watermark,
}

impl Aligned {
    /// Waits until the partition may give more; false where nobody takes it any more.
    pub(super) async fn may_give(&mut self) -> bool {
        let (reached, max_drift) = (self.reached, self.max_drift);
        self.slowest.wait_for(|slowest| reached.0 <= slowest.0.saturating_add(max_drift)).await.is_ok()
    }

    /// It has given what brings its watermark to `reached`.
    pub(super) fn gave(&mut self, reached: Watermark) {
        self.reached = self.reached.max(reached);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use velo_core::duration::Span;

    use super::*;

    #[tokio::test]
    async fn only_who_is_too_far_ahead_waits() {
        let properties = WatermarkProperties { max_drift: Span(10), ..WatermarkProperties::default() };
        let alignment = Alignment::new(Some(&properties)).unwrap();
        let (mut fast, mut slow) = (alignment.of_partition(Watermark::NONE), alignment.of_partition(Watermark(5)));
        assert_eq!(fast.may_give().now_or_never(), Some(true), "nothing is known of anybody");
        assert_eq!(
            slow.may_give().now_or_never(),
            None,
            "it was read before, and how far the others were is not known yet"
        );
        fast.gave(Watermark(16));
        alignment.publish(Some(Watermark(5)));
        assert_eq!(fast.may_give().now_or_never(), None, "one too many");
        assert_eq!(slow.may_give().now_or_never(), Some(true));
        alignment.publish(Some(Watermark(6)));
        assert_eq!(fast.may_give().now_or_never(), Some(true));
        fast.gave(Watermark::END);
        assert_eq!(fast.may_give().now_or_never(), None);
        alignment.publish(None);
        assert_eq!(fast.may_give().now_or_never(), Some(true), "there is nobody to wait for");
        drop(alignment);
        slow.gave(Watermark(1));
        fast.gave(Watermark(1));
        assert_eq!(fast.may_give().now_or_never(), Some(true), "what was said last still holds");
    }

    #[tokio::test]
    async fn whoever_waits_when_the_task_ends_is_told() {
        let properties = WatermarkProperties { max_drift: Span(1), ..WatermarkProperties::default() };
        let alignment = Alignment::new(Some(&properties)).unwrap();
        let mut fast = alignment.of_partition(Watermark(100));
        alignment.publish(Some(Watermark(5)));
        drop(alignment);
        assert!(!fast.may_give().await);
        assert!(Alignment::new(Some(&WatermarkProperties::default())).is_none(), "it is off");
    }
}
