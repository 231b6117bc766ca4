//! What becomes of rows on which an expression fails: `on.compute.error` of a query, and of a stream with computed columns.

use velo_eventtime::OnError;
use velo_sql::{Diagnostic, Span};

use super::expr::Typed;
use crate::catalog::{BoundSource, Pairs};
use crate::codes;
use crate::plan::{NodeKind, OnComputeError, SinkId};
use crate::planner::Planner;

const KEY: &str = "on.compute.error";

impl Planner<'_> {
    /// That of a node of the statement that is being planned.
    pub(crate) fn on_compute_error(&mut self, kind: &NodeKind) -> OnComputeError {
        let policy = self.query.properties.on_compute_error;
        if policy == OnError::Fail || !kind.computes() {
            return OnComputeError::default();
        }
        let known = self.query.compute_letters;
        let sink = match known {
            Some(sink) => sink,
            None => {
                let own = self.query.properties.dead_letter_sink.clone();
                let place = self.query.letters_place.or(self.query.compute_place);
                let place = place.unwrap_or_else(|| self.setting_of(KEY));
                self.sink_of_computed(policy, place, own.as_deref())
            }
        };
        self.query.compute_letters = Some(sink);
        // Where there is no sink, that has been told.
        OnComputeError { policy, sink }
    }

    fn sink_of_computed(&mut self, policy: OnError, place: Span, own: Option<&str>) -> Option<SinkId> {
        if policy != OnError::DeadLetter {
            return None;
        }
        self.query.letters_used = true;
        self.dead_letters(place, own)
    }

    /// That of the computed columns of a stream.
    pub(super) fn of_computed(
        &mut self,
        source: &BoundSource,
        computed: &[(String, Typed)],
        pairs: &Pairs,
    ) -> Option<OnComputeError> {
        let policy = source.common.on_compute_error;
        if policy == OnError::Fail {
            return Some(OnComputeError::default());
        }
        if computed.is_empty() {
            let Some(place) = pairs.place(KEY) else { return Some(OnComputeError::default()) };
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "this stream computes no column, so that nothing can fail")
                    .help("'on.error' is for records that cannot be decoded; of what a query computes its own WITH says it"),
            );
            return None;
        }
        let sink = match policy {
            OnError::DeadLetter => {
                let place = pairs.place("dead.letter.sink").or_else(|| pairs.place(KEY)).unwrap_or(pairs.owner);
                Some(self.dead_letters(place, source.common.dead_letter_sink.as_deref())?)
            }
            _ => None,
        };
        Some(OnComputeError { policy, sink })
    }

    /// Where a SET stands; where there is none, the statement.
    fn setting_of(&self, key: &str) -> Span {
        let set = self.settings.iter().find(|(known, ..)| known.eq_ignore_ascii_case(key));
        set.map_or(self.place, |(_, _, key, value)| key.to(*value))
    }
}
