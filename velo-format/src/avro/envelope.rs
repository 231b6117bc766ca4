//! Changes of rows as Debezium's envelopes in Avro.

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use velo_core::error::ConnectorError;
use velo_core::row_kind::RowKinds;

use super::encode::{RowWriter, does_not_fit};
use super::schema::{AvroSchema, Type};
use super::text::{default_bytes, push_long};
use crate::debezium::{Change, changes_of};
use crate::records::{EncodedRows, RecordEncoder, confluent};

/// Writes changes of rows as envelopes: `before`, `after` and `op`.
#[derive(Debug)]
pub struct DebeziumAvroEncoder {
    id: Option<u32>,
    row: RowWriter,
    parts: Vec<Part>,
    /// The rows of a batch.
    rows: EncodedRows,
}

/// What happens to a row, as changes name it.
const OPERATIONS: [&str; 3] = ["c", "u", "d"];

/// A field of the envelope.
#[derive(Debug)]
enum Part {
    /// The branch where there is no row, and that of a row.
    Before(i64, i64),
    After(i64, i64),
    /// The number of the symbol of each of [`OPERATIONS`], or `None` where it is a string.
    Op(Option<[i64; 3]>),
    Constant(Vec<u8>),
}

impl DebeziumAvroEncoder {
    /// An encoder of batches of `schema` as envelopes of `target`, with `id` before each where that is in a registry.
    ///
    /// # Errors
    ///
    /// Where `target` is no schema of envelopes, or the columns do not fit its rows.
    pub fn new(schema: &Schema, target: &AvroSchema, id: Option<u32>) -> Result<Self, ConnectorError> {
        Self::made(schema, target, id).map_err(does_not_fit)
    }

    fn made(schema: &Schema, target: &AvroSchema, id: Option<u32>) -> Result<Self, String> {
        let has = |name: &str| target.root_fields().iter().any(|field| field.name == name);
        if !(has("op") && (has("before") || has("after"))) {
            return Err(format!("{} is no envelope, with before, after and op", target.describe(target.root)));
        }
        let (mut parts, mut row_type) = (Vec::new(), None);
        for field in target.root_fields() {
            let image = || {
                let Type::Union(branches) = target.at(field.ty) else { return None };
                let find = |null: bool| {
                    let is = |branch: &usize| match target.at(*branch) {
                        Type::Null => null,
                        Type::Record { .. } => !null,
                        _ => false,
                    };
                    branches.iter().position(is)
                };
                let (null, row) = (find(true)?, find(false)?);
                Some((null as i64, row as i64, branches[row]))
            };
            parts.push(match field.name.as_str() {
                name @ ("before" | "after") => {
                    let Some((null, row, ty)) = image() else {
                        return Err(format!(
                            "'{name}' is {} and must be a union of null and a record",
                            target.describe(field.ty)
                        ));
                    };
                    row_type = Some(ty);
                    if name == "before" { Part::Before(null, row) } else { Part::After(null, row) }
                }
                "op" => match target.at(field.ty) {
                    Type::String(_) => Part::Op(None),
                    Type::Enum { symbols, .. } => {
                        let number = |op: &str| symbols.iter().position(|symbol| symbol == op);
                        let [Some(c), Some(u), Some(d)] = OPERATIONS.map(number) else {
                            return Err(format!(
                                "'op' has the symbols {}, and must have c, u and d",
                                symbols.join(", ")
                            ));
                        };
                        Part::Op(Some([c, u, d].map(|number| number as i64)))
                    }
                    _ => return Err(format!("'op' is {} and must be a string", target.describe(field.ty))),
                },
                name => {
                    let mut bytes = Vec::new();
                    let null = serde_json::Value::Null;
                    let default = field.default.as_ref().unwrap_or(&null);
                    default_bytes(target, field.ty, default, &mut bytes)
                        .map_err(|_| format!("'{name}' has no default, and nothing is known to write there"))?;
                    Part::Constant(bytes)
                }
            });
        }
        let row = RowWriter::new(schema.fields(), target, row_type.unwrap_or(target.root))?;
        Ok(Self { id, row, parts, rows: EncodedRows::default() })
    }

    fn push(&self, change: &Change, out: &mut Vec<u8>) {
        if let Some(id) = self.id {
            confluent::push_header(out, id);
        }
        let row = |row: Option<usize>, null: i64, some: i64, out: &mut Vec<u8>| match row {
            None => push_long(out, null),
            Some(row) => {
                push_long(out, some);
                out.extend_from_slice(self.rows.row(row));
            }
        };
        for part in &self.parts {
            match part {
                Part::Before(null, some) => row(change.before, *null, *some, out),
                Part::After(null, some) => row(change.after, *null, *some, out),
                Part::Op(None) => {
                    push_long(out, 1);
                    out.extend_from_slice(change.op.as_bytes());
                }
                Part::Op(Some(numbers)) => {
                    let number = OPERATIONS.iter().zip(numbers).find(|(op, _)| **op == change.op);
                    number.into_iter().for_each(|(_, number)| push_long(out, *number));
                }
                Part::Constant(bytes) => out.extend_from_slice(bytes),
            }
        }
    }
}

impl RecordEncoder for DebeziumAvroEncoder {
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        self.encode_changes(batch, None, out, ends)
    }

    fn encode_changes(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&RowKinds>,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        self.rows.clear();
        self.row.write(batch, &mut self.rows.bytes, &mut self.rows.ends, |_| ())?;
        for change in changes_of(kinds, batch.num_rows()) {
            if let Some(change) = change {
                self.push(&change, out);
            }
            ends.push(out.len());
        }
        Ok(())
    }
}
