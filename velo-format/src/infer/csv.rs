//! The columns of a CSV file.

use arrow_schema::SchemaRef;
use velo_core::error::ConnectorError;

use super::shape::{Classifier, Shape};
use super::{Sample, nothing_to_infer, schema};
use crate::csv::{Dialect, SampleReader};
use crate::value::ValueFormats;

/// The columns of a CSV file by the names of its header, or `column_1`, `column_2`, … without one. Records with another number
/// of fields than the header (without one: than the first record) are left out here; the decoder reports them.
pub fn infer_csv(sample: Sample<'_>, dialect: &Dialect, formats: &ValueFormats) -> Result<SchemaRef, ConnectorError> {
    let mut reader = SampleReader::new(sample.bytes, sample.complete, dialect)?;
    let names = match reader.names() {
        Some(names) => names,
        None => return Err(nothing_to_infer("the file is empty")),
    };
    let mut classifier = Classifier::new(formats)?;
    let mut shape = Shape::default();
    names.iter().for_each(|name| {
        shape.field(name);
    });
    let mut left = sample.records;
    while left > 0
        && reader.next_record(|field, text| {
            let text = text.trim_ascii();
            if !text.is_empty() {
                let kind = classifier.any(text);
                shape.field(&names[field]).see(kind);
            }
        })
    {
        left -= 1;
    }
    Ok(schema(shape))
}

#[cfg(test)]
mod tests {
    use super::super::shape::describe;
    use super::*;

    fn of(text: &str, complete: bool, dialect: &Dialect) -> String {
        let sample = Sample { bytes: text.as_bytes(), complete, records: 3 };
        match infer_csv(sample, dialect, &ValueFormats::default()) {
            Ok(schema) => describe(schema.fields()),
            Err(error) => error.message,
        }
    }

    #[test]
    fn names_types_and_the_cut_record() {
        let dialect = Dialect::default();
        let text = "id,px,\"s\",t\n1,1.50,, 2024-01-01 00:00:00\n\"2\",\"3\",\"\",\n,,x,\n4,5,6,seven\n";
        assert_eq!(of(text, true, &dialect), "id BIGINT, px DECIMAL(38,2), s STRING, t TIMESTAMP");
        assert_eq!(of("a,b\n1,2\n1.5,x", false, &dialect), "a BIGINT, b BIGINT");
        assert_eq!(of("a,b\n1,2\n3\nx,y,z\n1.5,", true, &dialect), "a DECIMAL(38,1), b BIGINT");
        assert_eq!(of("", true, &dialect), "the file is empty");
        assert_eq!(of("a,b\n", true, &dialect), "a STRING, b STRING");
    }
}
