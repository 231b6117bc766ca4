//! The codes of the mistakes that planning finds.

use velo_sql::Code;

/// The statement or clause is understood and cannot run yet.
pub const NOT_SUPPORTED: Code = Code::new("not-supported");
/// No stream, table, sink or view has this name.
pub const UNKNOWN_RELATION: Code = Code::new("unknown-relation");
/// No column has this name.
pub const UNKNOWN_COLUMN: Code = Code::new("unknown-column");
/// Several columns could be meant.
pub const AMBIGUOUS_COLUMN: Code = Code::new("ambiguous-column");
/// No function has this name.
pub const UNKNOWN_FUNCTION: Code = Code::new("unknown-function");
/// A name is taken already.
pub const DUPLICATE_NAME: Code = Code::new("duplicate-name");
/// Operands or arguments have types that do not fit.
pub const TYPE_MISMATCH: Code = Code::new("type-mismatch");
/// A function has other arguments.
pub const ARGUMENTS: Code = Code::new("bad-arguments");
/// A column is neither grouped by nor aggregated.
pub const NOT_GROUPED: Code = Code::new("not-grouped");
/// An aggregate stands where none can.
pub const MISPLACED_AGGREGATE: Code = Code::new("misplaced-aggregate");
/// A property is unknown, missing, or has a value that does not fit.
pub const PROPERTY: Code = Code::new("bad-property");
/// No connector has this name.
pub const UNKNOWN_CONNECTOR: Code = Code::new("unknown-connector");
/// The connector answered with an error while planning.
pub const CONNECTOR: Code = Code::new("connector-error");
/// A time window or another clause needs an event time that is not there.
pub const EVENT_TIME_MISSING: Code = Code::new("event-time-missing");
/// Another column than the event time stands where the event time must.
pub const NOT_EVENT_TIME: Code = Code::new("not-event-time");
/// A window's length or alignment is impossible.
pub const WINDOW: Code = Code::new("bad-window");
/// The clause needs an input that ends.
pub const UNBOUNDED: Code = Code::new("unbounded-input");
/// The sink cannot take what the query gives.
pub const SINK: Code = Code::new("impossible-sink");
/// Two settings contradict each other.
pub const CONFLICT: Code = Code::new("conflicting-settings");
/// A literal is no value of its type.
pub const LITERAL: Code = Code::new("bad-literal");
/// State is kept that nothing in the script bounds.
pub const KEPT_STATE: Code = Code::new("kept-state");
/// Every row of one side meets every row of the other.
pub const EVERY_PAIR: Code = Code::new("every-pair");
/// integer / integer truncates.
pub const INTEGER_DIVISION: Code = Code::new("integer-division");
