//! Which call a planned one becomes.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_buffer::i256;
use arrow_schema::{DataType, Schema};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_plan::plan::{AggregateCall, AggregateKind, FrameUnits, OverCall, OverFunction, RowFrame, RowWindow};

use super::Call;
use super::extremes::Extreme;
use super::frame::{FrameCall, Function};
use super::library::Library;
use super::picks::{LagKnown, LeadKnown, Pick, Shift};
use super::ranks::{Counted, Distribution, Rank, Told};
use super::sums::{Answer, Argument, Count, Exact, Floats, Wide};
use super::value::{Kept, Value};
use crate::error::{ExecError, Result};

/// Where the values of a call are: columns of the chunks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) arguments: Vec<usize>,
    pub(crate) filter: Option<usize>,
}

/// The call; `input` is the schema of the chunks.
pub(crate) fn make(
    call: &OverCall,
    window: &RowWindow,
    places: &Places,
    input: &Schema,
    statement: &str,
) -> Result<Box<dyn Call>> {
    let maker = Maker { call, frame: in_buffer(window), places, input, statement };
    let most = window.buffer.map_or(i64::MAX, |buffer| i64::try_from(buffer.rows).unwrap_or(i64::MAX));
    Ok(match &call.function {
        OverFunction::RowNumber => Box::new(Rank::new(Counted::Rows, most)),
        OverFunction::Rank => Box::new(Rank::new(Counted::Rank, i64::MAX)),
        OverFunction::DenseRank => Box::new(Rank::new(Counted::DenseRank, i64::MAX)),
        OverFunction::PercentRank => Box::new(Distribution::new(Told::PercentRank)),
        OverFunction::CumeDist => Box::new(Distribution::new(Told::CumeDist)),
        OverFunction::Ntile(parts) => Box::new(Distribution::new(Told::Ntile(*parts))),
        OverFunction::Shift(_) | OverFunction::Nth(_) | OverFunction::Last => maker.by_type(Wanted::Value)?,
        OverFunction::Aggregate(aggregate) => maker.aggregate(aggregate)?,
    })
}

/// The frame within the buffer: the current row and those before it.
fn in_buffer(window: &RowWindow) -> RowFrame {
    let Some(buffer) = window.buffer else { return window.frame };
    let first = 1 - i128::from(buffer.rows);
    let RowFrame { units, start, end } = window.frame;
    RowFrame { units, start: Some(start.map_or(first, |start| start.max(first))), end: Some(end.map_or(0, |end| end)) }
}

struct Maker<'a> {
    call: &'a OverCall,
    frame: RowFrame,
    places: &'a Places,
    input: &'a Schema,
    statement: &'a str,
}

/// What is asked of the values of a column.
#[derive(Clone, Copy)]
enum Wanted {
    Extreme(Ordering),
    /// FIRST or LAST of the values that are not null.
    First,
    Last,
    /// What the call's function says.
    Value,
}

impl Maker<'_> {
    fn argument(&self) -> Argument {
        Argument { column: self.places.arguments.first().copied(), filter: self.places.filter }
    }

    fn type_of(&self, argument: usize) -> DataType {
        self.places.arguments.get(argument).map_or(DataType::Null, |at| self.input.field(*at).data_type().clone())
    }

    fn framed<F: Function + 'static>(&self, function: F) -> Result<Box<dyn Call>> {
        self.over(function, self.frame)
    }

    fn over<F: Function + 'static>(&self, function: F, frame: RowFrame) -> Result<Box<dyn Call>> {
        let codec = <F::Out as Value>::codec(self.call.output.data_type())?;
        Ok(Box::new(FrameCall::new(function, frame, codec)))
    }

    fn moves(&self) -> bool {
        self.frame.start.is_some()
    }

    fn aggregate(&self, aggregate: &AggregateCall) -> Result<Box<dyn Call>> {
        let plain = !aggregate.distinct && aggregate.order_by.is_empty();
        match &aggregate.kind {
            AggregateKind::Count if plain => self.framed(Count(self.argument())),
            AggregateKind::Sum if plain => self.sum(false),
            AggregateKind::Avg if plain => self.sum(true),
            AggregateKind::Min | AggregateKind::BoolAnd => self.by_type(Wanted::Extreme(Ordering::Less)),
            AggregateKind::Max | AggregateKind::BoolOr => self.by_type(Wanted::Extreme(Ordering::Greater)),
            AggregateKind::First if plain => self.by_type(Wanted::First),
            AggregateKind::Last if plain => self.by_type(Wanted::Last),
            _ => {
                let column = |at: usize| Expr::Column(Column::new_unqualified(self.input.field(at).name()));
                let call = AggregateCall {
                    // Some aggregates take a constant as such only.
                    arguments: aggregate
                        .arguments
                        .iter()
                        .zip(&self.places.arguments)
                        .map(|(argument, at)| match argument {
                            Expr::Literal(..) => argument.clone(),
                            _ => column(*at),
                        })
                        .collect(),
                    filter: self.places.filter.map(column),
                    ..aggregate.clone()
                };
                self.framed(Library::new(&call, self.input, self.moves(), self.statement)?)
            }
        }
    }

    fn sum(&self, average: bool) -> Result<Box<dyn Call>> {
        let (argument, output) = (self.argument(), self.call.output.data_type().clone());
        let data_type = self.type_of(0);
        let scale = |data_type: &DataType| match data_type {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => i16::from(*scale),
            _ => 0,
        };
        let digits = u8::try_from(scale(&output) - scale(&data_type))
            .map_err(|_| ExecError::Internal(format!("{} has fewer digits than its argument", self.call.text)))?;
        let (text, statement) = (self.call.text.clone(), self.statement.to_owned());
        let narrow = matches!(output, DataType::Int64 | DataType::Decimal128(..));
        let answer = Answer { average, output, digits, text, statement };
        match &data_type {
            DataType::Float32 | DataType::Float64 => self.framed(Floats { argument, average }),
            // 19 digits times as many rows as a counter holds stay below 2^127.
            DataType::Decimal128(..=19, _) if narrow => self.framed(Exact { argument, answer }),
            integer if integer.is_integer() && narrow => self.framed(Exact { argument, answer }),
            DataType::Decimal128(..) | DataType::Decimal256(..) => self.framed(Wide { argument, answer }),
            other => Err(ExecError::Internal(format!(
                "{} over {} was planned",
                self.call.text,
                velo_core::types::sql_name(other)
            ))),
        }
    }

    fn by_type(&self, wanted: Wanted) -> Result<Box<dyn Call>> {
        match Kept::of(&self.type_of(0)) {
            Kept::Small => self.of::<i64>(wanted),
            Kept::Wide => self.of::<i128>(wanted),
            Kept::Wider => self.of::<i256>(wanted),
            Kept::Float => self.of::<f64>(wanted),
            Kept::Bytes => self.of::<Arc<[u8]>>(wanted),
        }
    }

    fn of<V: Value>(&self, wanted: Wanted) -> Result<Box<dyn Call>> {
        let (argument, codec, moves) = (self.argument(), V::codec(&self.type_of(0))?, self.moves());
        let pick = |nth, known| -> Result<Pick<V>> {
            Ok(Pick { argument: self.argument(), codec: V::codec(&self.type_of(0))?, nth, moves, known })
        };
        let rows = |start, end| RowFrame { units: FrameUnits::Rows, start, end };
        match (wanted, &self.call.function) {
            (Wanted::Extreme(wanted), _) => self.framed(Extreme::<V> { argument, codec, wanted, moves }),
            (Wanted::First, _) => self.framed(pick(Some(1), true)?),
            (Wanted::Last, _) => self.framed(pick(None, true)?),
            (Wanted::Value, OverFunction::Nth(nth)) => self.framed(pick(Some(*nth), self.call.ignore_nulls)?),
            (Wanted::Value, OverFunction::Last) => self.framed(pick(None, self.call.ignore_nulls)?),
            (Wanted::Value, OverFunction::Shift(by)) => {
                let default = self.places.arguments.get(1).copied();
                let count = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
                if !self.call.ignore_nulls || *by == 0 {
                    let at = Some(i128::from(*by));
                    self.over(Shift::<V> { argument, default, codec }, rows(at, at))
                } else if *by < 0 {
                    self.over(LagKnown::<V> { argument, default, codec, back: count }, rows(None, Some(-1)))
                } else {
                    let output = V::codec(self.call.output.data_type())?;
                    Ok(Box::new(LeadKnown::<V>::new(argument, default, (codec, output), count)))
                }
            }
            (Wanted::Value, other) => Err(ExecError::Internal(format!("{other:?} takes no value of a row"))),
        }
    }
}
