//! Function calls, with the special argument forms of the standard.

use super::super::parser::{Parse, Parser};
use crate::ast::{Argument, ArgumentValue, Call, Expr, ExprKind, Ident, NullTreatment, ObjectName, OrderItem, Over, TableArgument};
use crate::span::Span;

impl Parser<'_> {
    /// A call with plain arguments, made from a form of the standard.
    pub(super) fn plain_call(&self, name: ObjectName, arguments: Vec<Expr>, start: Span) -> Expr {
        let arguments = arguments
            .into_iter()
            .map(|expr| Argument { name: None, span: expr.span, value: ArgumentValue::Expr(expr) })
            .collect();
        let call = Call {
            name,
            distinct: false,
            arguments,
            order_by: vec![],
            nulls: None,
            within_group: vec![],
            filter: None,
            over: None,
        };
        Expr { kind: ExprKind::Call(Box::new(call)), span: start.to(self.last_span()) }
    }

    /// The call of `name`; the `(` is the current token.
    pub(super) fn call(&mut self, name: ObjectName, start: Span) -> Parse<Expr> {
        let word = name.text().to_ascii_uppercase();
        match word.as_str() {
            "POSITION" => return self.position(name, start),
            "SUBSTRING" => return self.substring(name, start),
            "TRIM" => return self.trim(name, start),
            "FLOOR" | "CEIL" | "CEILING" => return self.floor(name, start),
            _ => {}
        }
        let open = self.advance().span;
        let distinct = self.eat("DISTINCT");
        if !distinct && self.is_word(0, "ALL") && !self.is_symbol(1, ",") && !self.is_symbol(1, ")") {
            self.advance();
        }
        let arguments = if self.is_symbol(0, ")") { vec![] } else { self.list(Self::argument)? };
        let order_by = self.order_by()?;
        let nulls = self.null_treatment();
        self.close(open)?;
        let mut call =
            Call { name, distinct, arguments, order_by, nulls, within_group: vec![], filter: None, over: None };
        self.call_clauses(&mut call)?;
        Ok(Expr { kind: ExprKind::Call(Box::new(call)), span: start.to(self.last_span()) })
    }

    /// What may stand behind the closing parenthesis of a call.
    fn call_clauses(&mut self, call: &mut Call) -> Parse<()> {
        if self.is_word(0, "WITHIN") && self.is_word(1, "GROUP") {
            self.advance();
            self.advance();
            let open = self.need_symbol("(")?;
            call.within_group = self.order_by()?;
            if call.within_group.is_empty() {
                return Err(self.unexpected("ORDER BY"));
            }
            self.close(open)?;
        }
        if self.is_word(0, "FILTER") && self.is_symbol(1, "(") {
            self.advance();
            let open = self.need_symbol("(")?;
            self.need("WHERE")?;
            call.filter = Some(self.expr()?);
            self.close(open)?;
        }
        if call.nulls.is_none() {
            call.nulls = self.null_treatment();
        }
        if self.is_word(0, "OVER") && (self.is_symbol(1, "(") || self.word_ahead(1).is_some_and(|_| !self.is_reserved(1))) {
            self.advance();
            call.over = Some(if self.is_symbol(0, "(") {
                Over::Window(Box::new(self.row_window()?))
            } else {
                Over::Named(self.ident("a window's name")?)
            });
        }
        Ok(())
    }

    fn null_treatment(&mut self) -> Option<NullTreatment> {
        if !self.is_word(1, "NULLS") {
            return None;
        }
        let treatment = if self.is_word(0, "IGNORE") {
            NullTreatment::Ignore
        } else if self.is_word(0, "RESPECT") {
            NullTreatment::Respect
        } else {
            return None;
        };
        self.advance();
        self.advance();
        Some(treatment)
    }

    pub(in crate::parse) fn argument(&mut self) -> Parse<Argument> {
        let start = self.span();
        let named = self.is_symbol(1, "=>");
        let name: Option<Ident> = if named { Some(self.label("an argument's name")?) } else { None };
        if named {
            self.advance();
        }
        let value = if self.is_symbol(0, "*") {
            self.advance();
            ArgumentValue::Star
        } else if self.is_word(0, "TABLE") && !self.is_symbol(1, ",") && !self.is_symbol(1, ")") {
            self.advance();
            ArgumentValue::Table(self.table_argument()?)
        } else if self.is_word(0, "DESCRIPTOR") && self.is_symbol(1, "(") {
            self.advance();
            ArgumentValue::Descriptor(self.ident_list("a column name")?)
        } else if let Some(interval) = self.bare_interval() {
            ArgumentValue::Expr(interval)
        } else if self.begins_query() {
            // A query as an argument stands without parentheses of its own: ARRAY(SELECT …).
            let query = self.query()?;
            let span = query.span;
            ArgumentValue::Expr(Expr { kind: ExprKind::Query(Box::new(query)), span })
        } else {
            ArgumentValue::Expr(self.expr()?)
        };
        Ok(Argument { name, value, span: start.to(self.last_span()) })
    }

    fn table_argument(&mut self) -> Parse<TableArgument> {
        let table = Box::new(self.table_primary()?);
        let partition_by = if self.eat_all(&["PARTITION", "BY"]) {
            // Without parentheses a comma ends the argument, so a list needs them.
            match self.expr()? {
                Expr { kind: ExprKind::Tuple(items), .. } => items,
                one => vec![one],
            }
        } else {
            vec![]
        };
        let order_by: Vec<OrderItem> = if self.is_word(0, "ORDER") {
            self.advance();
            self.need("BY")?;
            vec![self.order_item()?]
        } else {
            vec![]
        };
        Ok(TableArgument { table, partition_by, order_by })
    }

    fn position(&mut self, name: ObjectName, start: Span) -> Parse<Expr> {
        let open = self.advance().span;
        // The needle binds tighter than IN, which is no predicate here.
        let needle = self.nested(|p| p.operators(5))?;
        let arguments = if self.eat("IN") {
            let haystack = self.expr()?;
            vec![haystack, needle]
        } else if self.eat_symbol(",") {
            let haystack = self.expr()?;
            vec![haystack, needle]
        } else {
            return Err(self.unexpected("IN"));
        };
        self.close(open)?;
        let name = renamed(name, "strpos");
        Ok(self.plain_call(name, arguments, start))
    }

    fn substring(&mut self, name: ObjectName, start: Span) -> Parse<Expr> {
        let open = self.advance().span;
        let mut arguments = vec![self.expr()?];
        if self.eat("FROM") {
            arguments.push(self.expr()?);
            if self.eat("FOR") {
                arguments.push(self.expr()?);
            }
        } else if self.eat("FOR") {
            arguments.push(Expr { kind: ExprKind::Literal(crate::ast::Literal::Number("1".to_owned())), span: self.last_span() });
            arguments.push(self.expr()?);
        } else {
            while self.eat_symbol(",") {
                arguments.push(self.expr()?);
            }
        }
        self.close(open)?;
        Ok(self.plain_call(name, arguments, start))
    }

    fn trim(&mut self, name: ObjectName, start: Span) -> Parse<Expr> {
        let open = self.advance().span;
        let function = if self.eat("BOTH") {
            "btrim"
        } else if self.eat("LEADING") {
            "ltrim"
        } else if self.eat("TRAILING") {
            "rtrim"
        } else {
            "trim"
        };
        let mut arguments = Vec::new();
        if self.eat("FROM") {
            arguments.push(self.expr()?);
        } else {
            arguments.push(self.expr()?);
            if self.eat("FROM") {
                arguments.insert(0, self.expr()?);
            } else if self.eat_symbol(",") {
                arguments.push(self.expr()?);
            }
        }
        self.close(open)?;
        let function = if function == "trim" && arguments.len() == 2 { "btrim" } else { function };
        let name = renamed(name, function);
        Ok(self.plain_call(name, arguments, start))
    }

    fn floor(&mut self, name: ObjectName, start: Span) -> Parse<Expr> {
        let up = !name.text().eq_ignore_ascii_case("FLOOR");
        let open = self.advance().span;
        let operand = self.expr()?;
        if self.eat("TO") {
            let unit = self.label("a unit such as HOUR")?;
            let end = self.close(open)?;
            let kind = ExprKind::FloorTo { up, operand: Box::new(operand), unit };
            return Ok(Expr { kind, span: start.to(end) });
        }
        let mut arguments = vec![operand];
        while self.eat_symbol(",") {
            arguments.push(self.expr()?);
        }
        self.close(open)?;
        Ok(self.plain_call(name, arguments, start))
    }
}

fn renamed(name: ObjectName, function: &str) -> ObjectName {
    let span = name.span;
    ObjectName { parts: vec![Ident { value: function.to_owned(), quoted: false, span }], span }
}
