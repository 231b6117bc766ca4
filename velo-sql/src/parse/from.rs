//! FROM: relations and joins.

use super::parser::{Parse, Parser};
use crate::ast::{
    Argument, Expr, Join, JoinConstraint, JoinKind, TableAlias, TableRef, TableRefKind,
};
use crate::span::Span;

impl Parser<'_> {
    /// A relation with everything joined to it.
    pub(super) fn table_ref(&mut self) -> Parse<TableRef> {
        self.nested(|p| {
            let mut left = p.table_primary()?;
            let mut joined = 0;
            while let Some((kind, asof, natural, span)) = p.join_words()? {
                joined += 1;
                if joined > 64 {
                    return Err(p.unexpected("at most 64 joins"));
                }
                left = p.join(left, kind, asof, natural, span)?;
            }
            Ok(left)
        })
    }

    fn join_words(&mut self) -> Parse<Option<(JoinKind, bool, bool, Span)>> {
        let start = self.span();
        let natural = self.eat("NATURAL");
        let mut asof = self.is_word(0, "ASOF") && self.word_ahead(1).is_some() && self.eat("ASOF");
        let kind = if self.eat("INNER") {
            Some(JoinKind::Inner)
        } else if self.is_any_word(0, &["LEFT", "RIGHT", "FULL"]) {
            let kind = if self.eat("LEFT") {
                JoinKind::Left
            } else if self.eat("RIGHT") {
                JoinKind::Right
            } else {
                self.advance();
                JoinKind::Full
            };
            if self.eat("SEMI") {
                Some(JoinKind::LeftSemi)
            } else if self.eat("ANTI") {
                Some(JoinKind::LeftAnti)
            } else {
                self.eat("OUTER");
                Some(kind)
            }
        } else if self.eat("CROSS") {
            Some(JoinKind::Cross)
        } else if self.is_word(0, "SEMI") && self.is_word(1, "JOIN") {
            self.advance();
            Some(JoinKind::LeftSemi)
        } else if self.is_word(0, "ANTI") && self.is_word(1, "JOIN") {
            self.advance();
            Some(JoinKind::LeftAnti)
        } else {
            None
        };
        asof |= self.is_word(0, "ASOF") && self.is_word(1, "JOIN") && self.eat("ASOF");
        if kind.is_none() && !natural && !asof && !self.is_word(0, "JOIN") {
            self.note("JOIN");
            return Ok(None);
        }
        self.need("JOIN")?;
        Ok(Some((kind.unwrap_or(JoinKind::Inner), asof, natural, start.to(self.last_span()))))
    }

    fn join(&mut self, left: TableRef, kind: JoinKind, asof: bool, natural: bool, span: Span) -> Parse<TableRef> {
        let right = self.table_primary()?;
        let mut within = self.within()?;
        let constraint = if self.eat("ON") {
            JoinConstraint::On(self.expr()?)
        } else if self.is_word(0, "USING") && self.is_symbol(1, "(") {
            self.advance();
            JoinConstraint::Using(self.ident_list("a column name")?)
        } else if kind == JoinKind::Cross || natural || self.lateral(&right) {
            JoinConstraint::None
        } else {
            self.note("USING");
            return Err(self.unexpected("ON"));
        };
        if within.is_none() {
            within = self.within()?;
        }
        let whole = left.span.to(self.last_span());
        let join = Join { left, right, kind, asof, natural, within, constraint, span };
        Ok(TableRef { kind: TableRefKind::Join(Box::new(join)), alias: None, span: whole })
    }

    fn lateral(&self, table: &TableRef) -> bool {
        matches!(table.kind, TableRefKind::Query { lateral: true, .. } | TableRefKind::Function { .. })
    }

    fn within(&mut self) -> Parse<Option<Expr>> {
        if !self.eat("WITHIN") {
            return Ok(None);
        }
        match self.bare_interval() {
            Some(interval) => Ok(Some(interval)),
            None => Ok(Some(self.expr()?)),
        }
    }

    /// A relation without joins.
    pub(super) fn table_primary(&mut self) -> Parse<TableRef> {
        let start = self.span();
        let lateral = self.eat("LATERAL");
        let kind = if self.is_symbol(0, "(") {
            self.table_parenthesis(lateral)?
        } else if self.is_word(0, "TABLE") && self.is_symbol(1, "(") {
            // TABLE(TUMBLE(…)): the older spelling of the same.
            self.advance();
            let open = self.need_symbol("(")?;
            let function = self.table_function(lateral)?;
            self.close(open)?;
            function
        } else if self.is_symbol(1, "(") && !self.is_reserved(0) {
            self.table_function(lateral)?
        } else {
            let name = self.object_name("a stream, table or view")?;
            let properties = if self.is_word(0, "WITH") && self.is_symbol(1, "(") && self.property_list_binds() {
                self.properties()?
            } else {
                vec![]
            };
            let as_of = if self.eat_all(&["FOR", "SYSTEM_TIME", "AS", "OF"]) { Some(self.expr()?) } else { None };
            TableRefKind::Named { name, properties, as_of }
        };
        let mut table = TableRef { kind, alias: None, span: start.to(self.last_span()) };
        self.alias(&mut table)?;
        if let TableRefKind::Named { as_of, .. } = &mut table.kind
            && as_of.is_none()
            && self.eat_all(&["FOR", "SYSTEM_TIME", "AS", "OF"])
        {
            *as_of = Some(self.expr()?);
            self.alias(&mut table)?;
        }
        if self.is_word(0, "MATCH_RECOGNIZE") && self.is_symbol(1, "(") {
            table = self.match_recognize(table)?;
            self.alias(&mut table)?;
        }
        table.span = start.to(self.last_span());
        Ok(table)
    }

    /// Whether `WITH (` behind a relation binds it: its keys are a connector's; the query's own WITH stands at its end. Both
    /// have the same form, so the words decide: a relation is bound in place if one of the keys says by what.
    fn property_list_binds(&self) -> bool {
        let mut by = 2;
        while !self.is_symbol(by, ")") && self.ahead(by).kind != crate::lex::TokenKind::End {
            let span = self.ahead(by).span;
            let text = span.text(self.text).trim_matches(['\'', '"', '`']);
            if text.eq_ignore_ascii_case("connector") || text.eq_ignore_ascii_case("type") {
                return true;
            }
            by += 1;
        }
        false
    }

    fn table_parenthesis(&mut self, lateral: bool) -> Parse<TableRefKind> {
        if self.begins_query_in_parentheses() {
            let open = self.advance().span;
            let query = self.query()?;
            self.close(open)?;
            return Ok(TableRefKind::Query { lateral, query: Box::new(query) });
        }
        let open = self.advance().span;
        let inner = self.table_ref()?;
        self.close(open)?;
        Ok(inner.kind)
    }

    fn begins_query_in_parentheses(&self) -> bool {
        let mut by = 0;
        while self.is_symbol(by, "(") {
            by += 1;
        }
        self.is_any_word(by, &["SELECT", "WITH", "VALUES"])
    }

    fn table_function(&mut self, lateral: bool) -> Parse<TableRefKind> {
        let name = self.object_name("a table function")?;
        let open = self.need_symbol("(")?;
        let arguments: Vec<Argument> = if self.is_symbol(0, ")") { vec![] } else { self.list(Self::argument)? };
        self.close(open)?;
        let ordinality = self.is_word(0, "WITH") && self.is_word(1, "ORDINALITY");
        if ordinality {
            self.advance();
            self.advance();
        }
        Ok(TableRefKind::Function { lateral, name, arguments, ordinality })
    }

    fn alias(&mut self, table: &mut TableRef) -> Parse<()> {
        if table.alias.is_some() {
            return Ok(());
        }
        let name = if self.eat("AS") {
            self.label("a name")?
        } else if self.begins_alias() {
            self.ident("a name")?
        } else {
            return Ok(());
        };
        let columns = if self.is_symbol(0, "(") { self.ident_list("a column name")? } else { vec![] };
        table.alias = Some(TableAlias { name, columns });
        Ok(())
    }
}
