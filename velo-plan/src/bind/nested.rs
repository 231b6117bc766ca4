//! Values inside values: fields of structs, elements of arrays and maps, and what makes them.

use arrow_schema::DataType;
use velo_core::suggest::nearest;
use velo_sql::ast::{Ident, Literal, MapEntry, StructItem};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed, article};
use crate::codes;

impl ExprBinder<'_> {
    /// `struct.field`
    pub(super) fn field(&mut self, operand: Typed, field: &Ident) -> Option<Typed> {
        let span = operand.span.to(field.span);
        let DataType::Struct(fields) = &operand.data_type else {
            let message = format!("{} has no fields", article(&operand.data_type));
            return self.report(Diagnostic::error(codes::TYPE_MISMATCH, field.span, message));
        };
        let exact = fields.iter().find(|candidate| *candidate.name() == field.value);
        let Some(found) = exact.or_else(|| fields.iter().find(|candidate| field.matches(candidate.name()))) else {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            let message = format!("the struct has no field '{}'", field.value);
            let diagnostic = Diagnostic::error(codes::UNKNOWN_COLUMN, field.span, message);
            return self.report(match nearest(&field.value, names.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean {near}?")),
                None => diagnostic.help(format!("its fields are {}", names.join(", "))),
            });
        };
        let name = self.text(found.name(), field.span);
        self.scalar_call("get_field", vec![operand, name], span, span)
    }

    /// `array[i]`, `map[key]`
    pub(super) fn index(&mut self, operand: Typed, index: Typed, span: Span) -> Option<Typed> {
        match operand.data_type.clone() {
            DataType::List(_) | DataType::LargeList(_) => {
                let at = index.span;
                let index = self.cast(index, &DataType::Int64, false, at)?;
                let element = self.scalar_call("array_element", vec![operand, index], span, span)?;
                Some(Typed { nullable: true, ..element })
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else { return None };
                let at = index.span;
                let index = self.cast(index, fields.first()?.data_type(), false, at)?;
                let found = self.scalar_call("map_extract", vec![operand, index], span, span)?;
                let first = self.literal(&Literal::Number("1".to_owned()), span)?;
                let first = self.cast(first, &DataType::Int64, false, span)?;
                let element = self.scalar_call("array_element", vec![found, first], span, span)?;
                Some(Typed { nullable: true, ..element })
            }
            other => {
                let message = format!("{} has no elements", article(&other));
                self.report(Diagnostic::error(codes::TYPE_MISMATCH, operand.span, message))
            }
        }
    }

    /// `STRUCT(a := 1)`, `ROW(…)`
    pub(super) fn structure(&mut self, items: &[StructItem], span: Span) -> Option<Typed> {
        let mut arguments = Vec::with_capacity(items.len() * 2);
        for (at, item) in items.iter().enumerate() {
            let name = item.name.as_ref().map_or_else(|| format!("f{}", at + 1), |name| name.value.clone());
            arguments.push(self.text(&name, span));
            let value = self.bind(&item.value)?;
            let value_span = value.span;
            // An unknown literal in a struct is text.
            let value = if value.unknown { self.cast(value, &DataType::Utf8, false, value_span)? } else { value };
            arguments.push(value);
        }
        self.scalar_call("named_struct", arguments, span, span)
    }

    /// `MAP[k, v]`, `MAP(k := v)`
    pub(super) fn map(&mut self, entries: &[MapEntry], span: Span) -> Option<Typed> {
        let keys = entries.iter().map(|entry| self.bind(&entry.key)).collect::<Vec<_>>();
        let values = entries.iter().map(|entry| self.bind(&entry.value)).collect::<Vec<_>>();
        let (keys, values) =
            (keys.into_iter().collect::<Option<Vec<_>>>()?, values.into_iter().collect::<Option<Vec<_>>>()?);
        let (keys, _) = self.unify(keys, span, "the keys of a map,")?;
        let (values, _) = self.unify(values, span, "the values of a map,")?;
        let keys = self.scalar_call("make_array", keys, span, span)?;
        let values = self.scalar_call("make_array", values, span, span)?;
        self.scalar_call("map", vec![keys, values], span, span)
    }
}
