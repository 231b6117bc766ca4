//! The join of inputs that may change: pairs that come and go with their rows, and rows that are padded with NULLs, or whose
//! truth changes, as the first partner comes and the last one goes.
//!
//! All rows of both sides are held, or as long as `state.ttl` says. What becomes of a row is known from the partners that it
//! has when it comes; what becomes of its partners from how many they had. A row that is forgotten is not there any more for
//! those that come, and what was shown of it stays.

mod state;

use std::sync::Arc;

use arrow_array::{BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};
use velo_plan::plan::{ChangelogJoin as Plan, JoinKind};

use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::join::{
    HeldSide, JoinColumns, JoinKeys, JoinSpec, KeptRows, LEFT, NO_KEY, Numbers, Pairs, RIGHT, RowRef, check_kinds,
    is_true,
};
use crate::state::{Ttl, is_sparse};

/// Joins two changing inputs.
pub struct ChangelogJoin {
    kind: Kind,
    keys: JoinKeys,
    /// The keys but for that of a membership, which has this place among them.
    groups: Option<JoinKeys>,
    member: Option<usize>,
    inputs: [SchemaRef; 2],
    columns: JoinColumns,
    sides: [HeldSide; 2],
    /// Whether rows of each side can be taken back.
    retracts: [bool; 2],
    /// Whether a left row goes when it has a partner: it can have none again.
    drops_matched: bool,
    /// Whether one partner of a left row is enough to know.
    first_only: bool,
    statement: String,
    work: Option<Work>,
    candidates: Candidates,
    told: Vec<Told>,
    /// How many of them, and how often the next, have come out.
    given: (usize, u64),
    /// Left rows that are dropped when the batch is through, and those that may have too many partners.
    matched: Vec<u32>,
    doubtful: Vec<u32>,
    forwarded: Watermark,
    forward: Option<Watermark>,
    pairs: Pairs,
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Pairs, and rows of these sides without a partner.
    Pairs([bool; 2]),
    /// The same for left rows, of which none may have two partners.
    Single,
    Semi,
    Anti,
    Mark,
}

impl Kind {
    fn of(kind: &JoinKind) -> Self {
        match kind {
            JoinKind::Inner => Self::Pairs([false, false]),
            JoinKind::Left => Self::Pairs([true, false]),
            JoinKind::Right => Self::Pairs([false, true]),
            JoinKind::Full => Self::Pairs([true, true]),
            JoinKind::Semi => Self::Semi,
            JoinKind::Anti => Self::Anti,
            JoinKind::Mark(_) => Self::Mark,
            JoinKind::Single => Self::Single,
        }
    }

    /// Whether rows of a side come out padded where they have no partner; none: no pairs come out.
    fn padded(self) -> Option<[bool; 2]> {
        match self {
            Self::Pairs(padded) => Some(padded),
            Self::Single => Some([true, false]),
            Self::Semi | Self::Anti | Self::Mark => None,
        }
    }

    /// What a left row with so many partners gives where no pairs come out: nothing, or itself with a truth.
    fn truth(self, matches: i64, unknown: i64) -> Option<Option<bool>> {
        match self {
            Self::Semi => (matches > 0).then_some(None),
            Self::Anti => (matches == 0).then_some(None),
            Self::Mark if matches > 0 => Some(Some(true)),
            Self::Mark if unknown > 0 => Some(None),
            Self::Mark => Some(Some(false)),
            Self::Pairs(_) | Self::Single => None,
        }
    }
}

/// A batch on its way.
struct Work {
    side: usize,
    rows: usize,
    kinds: Option<RowKinds>,
    chunk: u32,
    keys: Vec<u32>,
    groups: Vec<u32>,
    identities: Vec<u32>,
    /// When each row touches what it belongs to.
    touches: Vec<i64>,
    /// The next row whose candidates are looked for, and how many of each list were found.
    row: usize,
    seen: [usize; 2],
    /// The next row that takes effect, and whether it has begun to.
    next: usize,
    begun: Option<Begun>,
}

/// A row that takes effect.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// None where the row makes no difference.
    held: Option<u32>,
    retracts: bool,
    /// Whether it was there before.
    known: bool,
    /// Partners that were found, and rows of which that is not known.
    found: i64,
    unknown: i64,
}

/// Rows that may be partners.
#[derive(Debug, Default)]
struct Candidates {
    /// The row of the batch, the row that is held, and whether they are equal or that is not known.
    all: Vec<(u32, u32, bool)>,
}

/// Rows that come out, so many times.
#[derive(Debug, Clone, Copy)]
struct Told {
    kind: RowKind,
    left: RowRef,
    right: RowRef,
    truth: Option<bool>,
    time: i64,
    times: u64,
}

impl ChangelogJoin {
    /// The operator of a node.
    pub fn new(spec: &JoinSpec<Plan>) -> Result<Self> {
        let join = &spec.join.join;
        let columns = JoinColumns::new(join, &spec.left, &spec.right, spec.output.clone(), &spec.statement)?;
        let keys = join.keys.iter().map(|key| (&key.left, &key.right));
        let membership = match &join.kind {
            JoinKind::Mark(mark) => mark.membership,
            _ => None,
        };
        let groups = membership.map(|member| {
            let others = keys.clone().enumerate().filter(|(at, _)| *at != member).map(|(_, key)| key);
            JoinKeys::new(others, &spec.left, &spec.right, &spec.statement)
        });
        let side = |side: usize, input: &SchemaRef| {
            let types = columns.types(side).to_vec();
            let time = schema::event_time_index(input).map(|_| types.len() - 1);
            let rows = KeptRows::new(types, time);
            HeldSide::new(rows, input, spec.retracts[side], membership.is_some(), spec.ttl.map(Ttl::new))
        };
        let kind = Kind::of(&join.kind);
        Ok(Self {
            kind,
            keys: JoinKeys::new(keys, &spec.left, &spec.right, &spec.statement)?,
            groups: groups.transpose()?,
            member: membership,
            inputs: [spec.left.clone(), spec.right.clone()],
            sides: [side(LEFT, &spec.left)?, side(RIGHT, &spec.right)?],
            drops_matched: kind == Kind::Semi && spec.retracts == [false; 2],
            first_only: kind.padded().is_none()
                && !spec.retracts[RIGHT]
                && !columns.has_condition()
                && spec.ttl.is_none(),
            columns,
            retracts: spec.retracts,
            statement: spec.statement.clone(),
            work: None,
            candidates: Candidates::default(),
            told: Vec::new(),
            given: (0, 0),
            matched: Vec::new(),
            doubtful: Vec::new(),
            forwarded: Watermark::NONE,
            forward: None,
            pairs: Pairs::default(),
        })
    }

    /// How many rows are held of both sides, equal ones once.
    pub fn rows(&self) -> usize {
        self.sides.iter().map(HeldSide::len).sum()
    }

    /// Whether a row of this side that matches nothing makes a difference.
    fn needs_unmatched(&self, side: usize) -> bool {
        match self.kind {
            Kind::Pairs(padded) => padded[side],
            Kind::Single | Kind::Anti => side == LEFT,
            Kind::Mark => side == LEFT || self.groups.is_some(),
            Kind::Semi => false,
        }
    }

    fn begin_batch(&mut self, side: usize, batch: &Batch, now: i64) -> Result<()> {
        let (mut keys, mut groups, mut identities) = (Vec::new(), Vec::new(), Vec::new());
        self.keys.number(side, batch, &mut keys)?;
        match &mut self.groups {
            Some(others) => others.number(side, batch, &mut groups)?,
            None => groups.resize(batch.rows(), NO_KEY),
        }
        let counts = (self.keys.len(), self.groups.as_ref().map_or(0, JoinKeys::len));
        self.sides.iter_mut().for_each(|side| side.resize(counts.0, counts.1));
        let own = &mut self.sides[side];
        own.identify(batch, &mut identities)?;
        let chunk = own.rows.push(self.columns.keep(side, batch), vec![NO_KEY; batch.rows()]);
        let touches = match &own.ttl {
            Some(ttl) => (0..batch.rows()).map(ttl.times(batch, now)).collect(),
            None => Vec::new(),
        };
        self.work = Some(Work {
            side,
            rows: batch.rows(),
            kinds: batch.kinds.clone(),
            chunk,
            keys,
            groups,
            identities,
            touches,
            row: 0,
            seen: [0; 2],
            next: 0,
            begun: None,
        });
        Ok(())
    }

    /// Takes some rows, or some of the partners of one.
    fn step(&mut self) -> Result<()> {
        let Some(mut work) = self.work.take() else { return Ok(()) };
        self.find(&mut work);
        let accepted = if self.columns.has_condition() && !self.candidates.all.is_empty() {
            let other = &self.sides[1 - work.side];
            self.pairs.clear();
            for (row, held, _) in &self.candidates.all {
                let own = RowRef { chunk: work.chunk, row: *row };
                self.pairs.push(work.side, own, other.get(*held).row);
            }
            self.columns.accepted([&self.sides[LEFT].rows, &self.sides[RIGHT].rows], &self.pairs)?
        } else {
            None
        };
        let all = std::mem::take(&mut self.candidates.all);
        let mut at = 0;
        while work.next < work.rows {
            let row = work.next;
            let is_whole = row < work.row;
            let there = |at: usize| all.get(at).is_some_and(|candidate| candidate.0 as usize == row);
            if !is_whole && !there(at) {
                break;
            }
            let mut begun = match work.begun.take() {
                Some(begun) => begun,
                None => self.begin(&work, row)?,
            };
            while there(at) {
                if begun.held.is_some() && is_true(accepted.as_ref(), at) {
                    self.meet(&work, row, &mut begun, all[at].1, all[at].2);
                }
                at += 1;
            }
            if !is_whole {
                work.begun = Some(begun);
                break;
            }
            self.finish(&work, row, begun);
            work.next += 1;
        }
        self.candidates.all = all;
        self.candidates.all.clear();
        if work.next < work.rows {
            self.work = Some(work);
            return Ok(());
        }
        self.end_batch()
    }

    /// Finds rows that may be partners, until there are enough of them.
    fn find(&mut self, work: &mut Work) {
        let other = &self.sides[1 - work.side];
        let candidates = &mut self.candidates.all;
        while work.row < work.rows && candidates.len() < OUTPUT_ROWS {
            let (row, key, group) = (work.row, work.keys[work.row], work.groups[work.row]);
            let equal = if key == NO_KEY { &[][..] } else { other.by_key[key as usize].as_slice() };
            let unknown = match group {
                NO_KEY => &[][..],
                group if key == NO_KEY => other.by_group[group as usize].as_slice(),
                group => other.nulls[group as usize].as_slice(),
            };
            let equal = if self.first_only && work.side == LEFT { &equal[..equal.len().min(1)] } else { equal };
            for (which, list) in [equal, unknown].into_iter().enumerate() {
                let room = OUTPUT_ROWS.saturating_sub(candidates.len());
                let rest = &list[work.seen[which].min(list.len())..];
                let count = rest.len().min(room);
                work.seen[which] += count;
                let is_over = |held: &u32| self.drops_matched && work.side == RIGHT && other.get(*held).matches > 0;
                let new = rest[..count].iter().filter(|held| !is_over(held));
                candidates.extend(new.map(|held| (row as u32, *held, which == 1)));
            }
            if work.seen[0] < equal.len() || work.seen[1] < unknown.len() {
                return;
            }
            work.row += 1;
            work.seen = [0; 2];
        }
    }

    /// A row begins to take effect.
    fn begin(&mut self, work: &Work, row: usize) -> Result<Begun> {
        let side = work.side;
        let retracts = work.kinds.as_ref().is_some_and(|kinds| kinds.as_slice()[row].retracts());
        let at = RowRef { chunk: work.chunk, row: row as u32 };
        let numbers = Numbers { key: work.keys[row], group: work.groups[row], identity: work.identities[row] };
        let nothing = Begun { held: None, retracts, known: false, found: 0, unknown: 0 };
        if numbers.key == NO_KEY && !self.needs_unmatched(side) {
            self.sides[side].rows.release(at);
            return Ok(nothing);
        }
        let own = &mut self.sides[side];
        let mut held = own.of_identity(numbers.identity);
        if let (Some(number), Some(ttl)) = (held, &own.ttl)
            && ttl.is_over(number, work.touches[row])
        {
            own.remove(number);
            held = None;
        }
        let by = if retracts { -1 } else { 1 };
        let Some(number) = held else {
            if retracts && own.ttl.is_some() {
                // It was forgotten, and what was shown of it stays.
                own.rows.release(at);
                return Ok(nothing);
            }
            let number = own.insert(at, numbers, by)?;
            self.touch(work, row, number);
            return Ok(Begun { held: (!retracts).then_some(number), ..nothing });
        };
        own.rows.release(at);
        let before = own.get(number).count;
        own.get_mut(number).count += by;
        self.touch(work, row, number);
        // A row that was taken before it came is not there yet.
        let counts = if retracts { before > 0 } else { before >= 0 };
        let begun = Begun { held: counts.then_some(number), known: before > 0, ..nothing };
        if !counts && before + by == 0 {
            self.sides[side].remove(number);
        }
        Ok(begun)
    }

    fn touch(&mut self, work: &Work, row: usize, held: u32) {
        if let Some(ttl) = &mut self.sides[work.side].ttl {
            ttl.touch(held, work.touches[row]);
        }
    }

    /// A row meets one that pairs with it, or of which nobody knows whether it does.
    fn meet(&mut self, work: &Work, row: usize, begun: &mut Begun, other: u32, unknown: bool) {
        let Some(held) = begun.held else { return };
        let (own, others) = (work.side, 1 - work.side);
        if self.sides[others].ttl.as_ref().is_some_and(|ttl| ttl.is_over(other, work.touches[row])) {
            return;
        }
        let own_row = self.sides[own].get(held).row;
        let time = self.time_of(work, row);
        let partner = self.sides[others].get_mut(other);
        if partner.count <= 0 {
            return;
        }
        let before = (partner.matches, partner.unknown);
        let by = if begun.retracts { -1 } else { 1 };
        if unknown {
            begun.unknown += partner.count;
            partner.unknown = (partner.unknown + by).max(0);
        } else {
            begun.found += partner.count;
            partner.matches = (partner.matches + by).max(0);
        }
        let partner = *partner;
        let time = time.max(self.sides[others].rows.time(partner.row));
        let mut tell = |kind: RowKind, own_row: RowRef, truth: Option<bool>| {
            let (left, right) = if own == LEFT { (own_row, partner.row) } else { (partner.row, own_row) };
            self.told.push(Told { kind, left, right, truth, time, times: partner.count.unsigned_abs() });
        };
        match self.kind.padded() {
            Some(padded) if begun.retracts => {
                tell(RowKind::Delete, own_row, None);
                if padded[others] && partner.matches == 0 && before.0 > 0 {
                    tell(RowKind::Insert, RowRef::NONE, None);
                }
            }
            Some(padded) => {
                if padded[others] && before.0 == 0 {
                    tell(RowKind::Delete, RowRef::NONE, None);
                }
                tell(RowKind::Insert, own_row, None);
            }
            None if own == RIGHT => {
                let (was, is) =
                    (self.kind.truth(before.0, before.1), self.kind.truth(partner.matches, partner.unknown));
                if was != is {
                    if let Some(truth) = was {
                        tell(RowKind::Delete, RowRef::NONE, truth);
                    }
                    if let Some(truth) = is {
                        tell(RowKind::Insert, RowRef::NONE, truth);
                        if self.drops_matched {
                            self.matched.push(other);
                        }
                    }
                }
            }
            None => {}
        }
        if self.kind == Kind::Single && own == RIGHT && partner.matches > 1 {
            self.doubtful.push(other);
        }
    }

    /// All partners of a row have been found.
    fn finish(&mut self, work: &Work, row: usize, begun: Begun) {
        let Some(number) = begun.held else { return };
        let time = self.time_of(work, row);
        let side = work.side;
        let held = self.sides[side].get_mut(number);
        if !begun.known {
            (held.matches, held.unknown) = (begun.found, begun.unknown);
        }
        let held = *held;
        let kind = if begun.retracts { RowKind::Delete } else { RowKind::Insert };
        let shown = match self.kind.padded() {
            Some(padded) => (padded[side] && held.matches == 0).then_some(None),
            None if side == LEFT => self.kind.truth(held.matches, held.unknown),
            None => None,
        };
        if let Some(truth) = shown {
            let rows = if side == LEFT { (held.row, RowRef::NONE) } else { (RowRef::NONE, held.row) };
            self.told.push(Told { kind, left: rows.0, right: rows.1, truth, time, times: 1 });
        }
        if held.count == 0 || (self.drops_matched && side == LEFT && held.matches > 0) {
            self.sides[side].remove(number);
        } else if self.kind == Kind::Single && side == LEFT && held.matches > 1 {
            self.doubtful.push(number);
        }
    }

    fn time_of(&self, work: &Work, row: usize) -> i64 {
        self.sides[work.side].rows.times(work.chunk).map_or(i64::MIN, |times| times[row])
    }

    /// All rows of a batch have taken effect.
    fn end_batch(&mut self) -> Result<()> {
        for held in self.matched.drain(..) {
            self.sides[LEFT].remove(held);
        }
        let several = |held: u32| self.sides[LEFT].get(held).count > 0 && self.sides[LEFT].get(held).matches > 1;
        if self.doubtful.drain(..).any(several) {
            return Err(ExecError::Compute {
                statement: self.statement.clone(),
                message: "the sub-query gives more than one row; make it one by a further condition, or by an \
                          aggregate such as MAX(…)"
                    .to_owned(),
                place: None,
            });
        }
        Ok(())
    }

    /// Gives some of the rows that come out.
    fn flush(&mut self, out: &mut Outbox) -> Result<()> {
        self.pairs.clear();
        let (mut kinds, mut truths, mut times) = (Vec::new(), Vec::new(), Vec::new());
        while self.given.0 < self.told.len() && kinds.len() < OUTPUT_ROWS {
            let told = self.told[self.given.0];
            let left = told.times - self.given.1;
            let count = left.min((OUTPUT_ROWS - kinds.len()) as u64);
            for _ in 0..count {
                self.pairs.push(LEFT, told.left, told.right);
                kinds.push(told.kind);
                truths.push(told.truth);
                times.push(told.time);
            }
            self.given = if count == left { (self.given.0 + 1, 0) } else { (self.given.0, self.given.1 + count) };
        }
        if self.given.0 == self.told.len() {
            self.told.clear();
            self.given = (0, 0);
        }
        let mut columns = self.columns.columns([&self.sides[LEFT].rows, &self.sides[RIGHT].rows], &self.pairs)?;
        if self.kind == Kind::Mark {
            columns.push(Arc::new(BooleanArray::from(truths)));
        }
        let mut late_by = None;
        if schema::event_time_index(&self.columns.schema).is_some() {
            // What comes of late source rows stays late.
            let behind = |time: &i64| self.forwarded.0.saturating_sub(*time).max(0);
            if times.iter().any(|time| behind(time) > 0) {
                late_by = Some(Int64Array::from_iter_values(times.iter().map(behind)));
            }
            columns.push(Arc::new(TimestampMicrosecondArray::from(times)));
        }
        let columns = columns_of(&self.columns.schema, columns, kinds.len())?;
        out.batch(Batch { late_by, ..Batch::changes(columns, kinds) });
        Ok(())
    }

    fn drive(&mut self, out: &mut Outbox) -> Result<Flow> {
        while self.work.is_some() || !self.told.is_empty() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            // Some more rows in one batch, where there are few pairs.
            if self.work.is_some() && self.told.len() < OUTPUT_ROWS {
                self.step()?;
            } else {
                self.flush(out)?;
            }
        }
        if let Some(now) = self.sides[LEFT].ttl.as_ref().and_then(|ttl| ttl.clock(out.now())) {
            self.expire(now, out);
        }
        self.compact()?;
        if let Some(watermark) = self.forward.take() {
            self.forwarded = self.forwarded.max(watermark);
            out.watermark(self.forwarded);
        }
        Ok(Flow::Done)
    }

    /// Forgets rows whose time is over.
    fn expire(&mut self, time: i64, out: &mut Outbox) {
        for side in &mut self.sides {
            for held in out.expired(&mut side.ttl, time) {
                side.remove(held);
            }
        }
    }

    /// Gives back the memory of rows and keys that are gone.
    fn compact(&mut self) -> Result<()> {
        for side in &mut self.sides {
            side.compact()?;
        }
        let [left, right] = &mut self.sides;
        // There are no more keys with rows than rows.
        let rows = left.len() + right.len();
        if is_sparse(rows, self.keys.len()) {
            let there =
                left.by_key.iter().zip(&right.by_key).map(|(left, right)| !left.is_empty() || !right.is_empty());
            let stays = there.collect::<Vec<_>>();
            let numbers = self.keys.retain(&stays);
            left.renumber_keys(&numbers, &stays);
            right.renumber_keys(&numbers, &stays);
        }
        if let Some(groups) = self.groups.as_mut().filter(|groups| is_sparse(rows, groups.len())) {
            let there = left.by_group.iter().zip(&right.by_group);
            let stays = there.map(|(left, right)| !left.is_empty() || !right.is_empty()).collect::<Vec<_>>();
            let numbers = groups.retain(&stays);
            left.renumber_groups(&numbers, &stays);
            right.renumber_groups(&numbers, &stays);
        }
        Ok(())
    }
}

impl Operator for ChangelogJoin {
    fn memory(&self) -> usize {
        let keys = self.keys.memory() + self.groups.as_ref().map_or(0, JoinKeys::memory);
        keys + self.sides.iter().map(HeldSide::memory).sum::<usize>()
    }

    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if !batch.is_empty() {
            check_kinds(&batch, self.retracts[input.0.min(RIGHT)])?;
            self.begin_batch(input.0.min(RIGHT), &batch, out.now())?;
        }
        self.drive(out)
    }

    fn check(&self, input: InputId, batch: &Batch) -> Result<()> {
        self.keys.evaluate(input.0.min(RIGHT), batch).map(drop)
    }

    fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.columns.give_up(errors);
    }

    /// Rows whose time is over by the clock go, also while none come.
    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.expire(now, out);
        self.drive(out)
    }

    /// A row comes out at the latest time that went in, so it is not behind the watermark of both.
    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        if let Some(time) = self.sides[LEFT].ttl.as_ref().and_then(|ttl| ttl.watermark(watermark)) {
            self.expire(time, out);
        }
        self.forward = Some(watermark);
        self.drive(out)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_rows(state)
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.load_rows(state, out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.drive(out)
    }
}
