//! What a query says that goes by a clock: `emit.interval`, `emit.idle_close`, `state.ttl`, `table.wait.timeout`; to what it applies, and where it has
//! no meaning.

use velo_core::duration::Span as Duration;
use velo_core::schema;
use velo_sql::{Diagnostic, Span};

use crate::catalog::{Pairs, Relation};
use crate::codes;
use crate::plan::{Changes, NodeId, NodeKind, StateTtl, TopN, WindowSpec};
use crate::planner::Planner;

/// Where a statement says these things itself (SET is a default, and no mistake where nothing takes it), and whether something
/// took them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timers {
    interval: Option<Span>,
    idle_close: Option<Span>,
    state_ttl: Option<Span>,
    interval_used: bool,
    idle_close_used: bool,
    state_ttl_used: bool,
    table_wait: Option<Span>,
    table_wait_used: bool,
    /// A window whose input ends.
    window_ends: bool,
}

impl Timers {
    pub(crate) fn read(own: &Pairs) -> Self {
        Self {
            interval: own.place("emit.interval"),
            idle_close: own.place("emit.idle_close"),
            state_ttl: own.place("state.ttl"),
            table_wait: own.place("table.wait.timeout"),
            ..Self::default()
        }
    }
}

/// A `state.ttl` of zero.
pub(crate) fn forgotten_at_once(place: Span) -> Diagnostic {
    Diagnostic::error(codes::PROPERTY, place, "state that is forgotten at once can hold nothing")
        .help("write how long it is to be kept, such as '1d'; or leave it out: it is kept then")
}

impl Planner<'_> {
    /// How long the changes of a GROUP BY are held together; `early`: it has some.
    pub(super) fn emit_interval(&mut self, early: bool, per_record: bool, span: Span) -> Option<Option<Duration>> {
        let interval = Some(self.query.properties.emit_interval).filter(|interval| early && interval.micros() > 0);
        if interval.is_some() && per_record {
            let place = self.query.timers.interval.unwrap_or(span);
            self.error(
                Diagnostic::error(
                    codes::CONFLICT,
                    place,
                    "'emit.interval' puts changes together, and 'emit.changes.per' = 'record' wants one for each record",
                )
                .help("leave one of the two out"),
            );
            return None;
        }
        Some(interval)
    }

    /// After how long of silence windows over `input` close.
    pub(super) fn idle_close(&mut self, input: &Relation, window: Option<&WindowSpec>) -> Option<Duration> {
        window?;
        if self.is_bounded(input.node) {
            self.query.timers.window_ends = true;
            return None;
        }
        self.query.timers.idle_close_used = true;
        self.query.properties.idle_close.filter(|after| after.micros() > 0)
    }

    /// What changes as rows come, and is not held together.
    pub(super) fn knows_no_interval(&mut self, span: Span, what: &str) -> Option<()> {
        if self.query.properties.emit_interval.micros() <= 0 {
            return Some(());
        }
        let place = self.query.timers.interval.unwrap_or(span);
        self.not_yet(
            place,
            &format!("'emit.interval' of {what}"),
            "leave it out; it is for GROUP BY, DISTINCT and the one first row of each key",
        );
        None
    }

    /// How long the changes of a Top-N are held together, which goes only where each partition has one row.
    pub(super) fn top_interval(&mut self, top: &TopN, span: Span, what: &str) -> Option<Option<Duration>> {
        if top.row_key().is_none() {
            self.knows_no_interval(span, what)?;
        }
        self.emit_interval(top.emission.early, top.emission.per_record, span)
    }

    /// A node whose results never come again has nothing to hold together.
    pub(crate) fn paced(&mut self, mut kind: NodeKind, changes: Changes) -> NodeKind {
        if let NodeKind::Aggregate { emission, .. } | NodeKind::TopN(TopN { emission, .. }) = &mut kind {
            if changes.is_append() {
                emission.interval = None;
            }
            self.query.timers.interval_used |= emission.interval.is_some();
        }
        kind
    }

    /// For how long a node keeps what nothing else bounds.
    pub(crate) fn state_ttl(&mut self, kind: &NodeKind, inputs: &[NodeId], bounded: bool) -> Option<StateTtl> {
        let keeps = match kind {
            NodeKind::Aggregate { window: None, .. }
            | NodeKind::LatestByKey(_)
            | NodeKind::SetOperation { .. }
            | NodeKind::ChangelogJoin(_) => true,
            NodeKind::TopN(top) => !top.per_window,
            _ => false,
        };
        let after = self.query.properties.state_ttl.filter(|after| keeps && !bounded && after.micros() > 0)?;
        self.query.timers.state_ttl_used = true;
        let has_time = |input: &NodeId| schema::event_time_index(&self.plan.nodes[input.0].schema).is_some();
        Some(StateTtl { after, by_clock: !inputs.iter().all(has_time) })
    }

    /// How long a node waits for the table that it reads.
    pub(crate) fn table_wait(&mut self, kind: &NodeKind) -> Option<Duration> {
        kind.reads()?;
        self.query.timers.table_wait_used = true;
        Some(self.query.properties.table_wait)
    }

    /// What a statement says and nothing took is a mistake.
    pub(crate) fn timers_taken(&mut self) {
        let timers = self.query.timers;
        if let Some(place) = timers.state_ttl.filter(|_| self.query.properties.state_ttl == Some(Duration(0))) {
            self.error(forgotten_at_once(place));
        } else if let Some(place) = timers.state_ttl.filter(|_| !timers.state_ttl_used)
            && self.query.properties.state_ttl.is_some()
        {
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "this query keeps nothing that 'state.ttl' could bound")
                    .help("it is for groups without a window, DISTINCT, Top-N, set operations and joins without a bound of time over input that does not end, and for rows under a key of a sink that is not the query's; leave it out"),
            );
        }
        if let Some(place) = timers.table_wait.filter(|_| !timers.table_wait_used) {
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "this query reads no table that it could wait for")
                    .help("leave it out; it is for queries with a table in FROM or JOIN"),
            );
        }
        let wants = self.query.properties.emit_interval.micros() > 0;
        if let Some(place) = timers.interval.filter(|_| wants && !timers.interval_used) {
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "the rows of this query do not change, so there is nothing to put together")
                    .help("'emit.interval' is for EMIT CHANGES, and for GROUP BY without a window over input that does not end; leave it out"),
            );
        }
        let wants = self.query.properties.idle_close.is_some_and(|after| after.micros() > 0);
        if let Some(place) = timers.idle_close.filter(|_| wants && !timers.idle_close_used) {
            let (message, help) = match timers.window_ends {
                true => (
                    "the input of this window ends, and the window closes then",
                    "leave it out: 'emit.idle_close' is for input that can be quiet and goes on",
                ),
                false => (
                    "'emit.idle_close' closes quiet windows, and this query has none",
                    "leave it out, or add GROUP BY … WINDOW TUMBLING(1m) or another window",
                ),
            };
            self.error(Diagnostic::error(codes::PROPERTY, place, message).help(help));
        }
    }
}
