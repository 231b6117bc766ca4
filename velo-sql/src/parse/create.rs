//! CREATE, and the property lists of WITH.

use super::parser::{Parse, Parser};
use crate::ast::{ColumnDef, Create, CreateFunction, ObjectKind, Property, Query, StatementKind, TableElement};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::TokenKind;
use crate::span::Span;

impl Parser<'_> {
    /// CREATE is the current token.
    pub(super) fn create(&mut self) -> Parse<StatementKind> {
        self.advance();
        let or_replace = self.eat_all(&["OR", "REPLACE"]);
        let object = self.object_kind()?;
        let if_not_exists = self.eat_all(&["IF", "NOT", "EXISTS"]);
        if object == ObjectKind::Function {
            return self.create_function(or_replace, if_not_exists);
        }
        let name = self.object_name("a name")?;
        let elements = if self.is_symbol(0, "(") && object != ObjectKind::View { self.table_elements()? } else { vec![] };
        let mut properties = self.with_here()?;
        let mut query = None;
        if self.eat("AS") {
            let mut parsed = self.query()?;
            properties = self.join_properties(properties, &mut parsed)?;
            query = Some(parsed);
        } else if object == ObjectKind::View {
            return Err(self.unexpected("AS"));
        } else if properties.is_empty() {
            self.note("WITH");
            self.note("AS");
            let what = if object == ObjectKind::Sink { "WITH" } else { "WITH or AS" };
            return Err(self.unexpected(what));
        }
        let create = Create { object, or_replace, if_not_exists, name, elements, query, properties };
        Ok(StatementKind::Create(Box::new(create)))
    }

    /// The properties belong to the statement, wherever in it they stand.
    fn join_properties(&mut self, mut before: Vec<Property>, query: &mut Query) -> Parse<Vec<Property>> {
        before.append(&mut query.properties);
        Ok(before)
    }

    pub(super) fn object_kind(&mut self) -> Parse<ObjectKind> {
        const KINDS: [ObjectKind; 6] = [
            ObjectKind::Stream,
            ObjectKind::Table,
            ObjectKind::Sink,
            ObjectKind::View,
            ObjectKind::Function,
            ObjectKind::Job,
        ];
        for kind in KINDS {
            if self.eat(kind.keyword()) {
                return Ok(kind);
            }
        }
        Err(self.unexpected("STREAM, TABLE, SINK, VIEW or FUNCTION"))
    }

    fn create_function(&mut self, or_replace: bool, if_not_exists: bool) -> Parse<StatementKind> {
        let name = self.object_name("a name")?;
        let open = self.need_symbol("(")?;
        let arguments = if self.is_symbol(0, ")") {
            vec![]
        } else {
            self.list(|p| {
                let name = p.ident("an argument's name")?;
                Ok((name, p.sql_type()?))
            })?
        };
        self.close(open)?;
        self.need("RETURNS")?;
        let returns = self.sql_type()?;
        self.need("AS")?;
        let body = self.expr()?;
        let function = CreateFunction { or_replace, if_not_exists, name, arguments, returns, body };
        Ok(StatementKind::CreateFunction(Box::new(function)))
    }

    fn table_elements(&mut self) -> Parse<Vec<TableElement>> {
        let open = self.need_symbol("(")?;
        let elements = self.list(Self::table_element)?;
        self.close(open)?;
        Ok(elements)
    }

    fn table_element(&mut self) -> Parse<TableElement> {
        let start = self.span();
        if self.is_word(0, "WATERMARK") && self.is_word(1, "FOR") {
            self.advance();
            self.advance();
            let column = self.ident("a column name")?;
            self.need("AS")?;
            let expr = self.expr()?;
            let span = start.to(expr.span);
            return Ok(TableElement::Watermark { column, expr, span });
        }
        if self.is_word(0, "PRIMARY") && self.is_word(1, "KEY") && self.is_symbol(2, "(") {
            self.advance();
            self.advance();
            let columns = self.ident_list("a column name")?;
            self.eat_all(&["NOT", "ENFORCED"]);
            return Ok(TableElement::PrimaryKey { columns, span: start.to(self.last_span()) });
        }
        let name = self.label("a column name")?;
        let computed_only = self.is_word(0, "AS");
        let data_type = if computed_only { None } else { Some(self.sql_type()?) };
        let mut column =
            ColumnDef { name, data_type, not_null: false, primary_key: false, computed: None, span: start };
        loop {
            if self.eat_all(&["NOT", "NULL"]) {
                column.not_null = true;
            } else if self.is_word(0, "NULL") {
                self.advance();
            } else if self.eat_all(&["PRIMARY", "KEY"]) {
                column.primary_key = true;
            } else if column.computed.is_none() && self.eat("AS") {
                column.computed = Some(self.expr()?);
            } else {
                break;
            }
        }
        column.span = start.to(self.last_span());
        Ok(TableElement::Column(column))
    }

    fn with_here(&mut self) -> Parse<Vec<Property>> {
        if self.is_word(0, "WITH") && self.is_symbol(1, "(") {
            return self.properties();
        }
        self.note("WITH");
        Ok(vec![])
    }

    /// `WITH ( key = value, … )`; WITH is the current token.
    pub(super) fn properties(&mut self) -> Parse<Vec<Property>> {
        self.advance();
        let open = self.need_symbol("(")?;
        if self.is_symbol(0, ")") {
            self.advance();
            return Ok(vec![]);
        }
        let properties = self.list(Self::property)?;
        self.close(open)?;
        Ok(properties)
    }

    fn property(&mut self) -> Parse<Property> {
        let (key, key_span) = self.property_key()?;
        if !self.eat_symbol("=") {
            return Err(self.unexpected("="));
        }
        let (value, value_span) = self.property_value()?;
        Ok(Property { key, key_span, value, value_span })
    }

    /// A key: quoted, or words joined by dots and dashes.
    pub(super) fn property_key(&mut self) -> Parse<(String, Span)> {
        let start = self.span();
        match &self.token().kind {
            TokenKind::String(key) | TokenKind::Quoted(key) => {
                let key = key.clone();
                self.advance();
                Ok((key, start))
            }
            TokenKind::Word => {
                let mut key = self.advance().span.text(self.text).to_owned();
                while self.is_symbol(0, ".") || self.is_symbol(0, "-") {
                    let mark = self.advance().span;
                    key.push_str(mark.text(self.text));
                    let part = self.label("the rest of the key")?;
                    key.push_str(&part.value);
                }
                Ok((key, start.to(self.last_span())))
            }
            _ => Err(self.unexpected("a property such as 'connector'")),
        }
    }

    /// A value: quoted, a number, a duration, a word.
    pub(super) fn property_value(&mut self) -> Parse<(String, Span)> {
        let start = self.span();
        match &self.token().kind {
            TokenKind::String(value) | TokenKind::Quoted(value) => {
                let value = value.clone();
                self.advance();
                Ok((value, start))
            }
            TokenKind::Symbol("-") | TokenKind::Symbol("+") if self.ahead(1).kind == TokenKind::Number => {
                self.advance();
                self.advance();
                let span = start.to(self.last_span());
                Ok((span.text(self.text).to_owned(), span))
            }
            TokenKind::Number | TokenKind::Duration => {
                self.advance();
                Ok((start.text(self.text).to_owned(), start))
            }
            TokenKind::Word => {
                self.advance();
                while self.is_symbol(0, ".") && self.word_ahead(1).is_some() {
                    self.advance();
                    self.advance();
                }
                let span = start.to(self.last_span());
                Ok((span.text(self.text).to_owned(), span))
            }
            _ => {
                let found = self.found();
                let diagnostic = Diagnostic::error(Code::SYNTAX, start, format!("expected a value, found {found}"))
                    .help("values are strings in quotes, numbers, durations, or true and false");
                Err(self.report(diagnostic))
            }
        }
    }
}
