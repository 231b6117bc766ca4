//! Queries.

use super::parser::{Parse, Parser};
use crate::ast::{
    Cte, Distinct, Emit, Expr, GroupItem, Property, Query, Select, SelectInto, SelectItem, SelectItemKind, SetExpr,
    SetOp, SetOperation,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;

/// Clauses that belong to the whole query but may stand among a select's.
#[derive(Default)]
struct Tail {
    order_by: Vec<crate::ast::OrderItem>,
    limit: Option<Expr>,
    offset: Option<Expr>,
    emit: Option<(Emit, Span)>,
    properties: Vec<Property>,
    /// Clauses met so far, each with its place: none may come twice.
    seen: Vec<(&'static str, Span)>,
}

impl Parser<'_> {
    /// Whether a query begins here.
    pub(super) fn begins_query(&self) -> bool {
        self.is_word(0, "SELECT")
            || (self.is_word(0, "WITH") && self.word_ahead(1).is_some())
            || (self.is_word(0, "VALUES") && self.is_symbol(1, "("))
            || (self.is_symbol(0, "(") && (self.is_word(1, "SELECT") || (self.is_symbol(1, "(") && self.is_word(2, "SELECT"))))
    }

    pub(super) fn query(&mut self) -> Parse<Query> {
        self.nested(Self::query_here)
    }

    fn query_here(&mut self) -> Parse<Query> {
        let start = self.span();
        let ctes = if self.is_word(0, "WITH") && !self.is_symbol(1, "(") { self.ctes()? } else { vec![] };
        let mut tail = Tail::default();
        let body = self.set_expr(0, &mut tail)?;
        while self.tail_clause(&mut tail)? {}
        Ok(Query {
            ctes,
            body,
            order_by: tail.order_by,
            limit: tail.limit,
            offset: tail.offset,
            emit: tail.emit,
            properties: tail.properties,
            span: start.to(self.last_span()),
        })
    }

    fn ctes(&mut self) -> Parse<Vec<Cte>> {
        self.advance();
        self.eat("RECURSIVE");
        self.list(|p| {
            let name = p.ident("a name")?;
            let columns = if p.is_symbol(0, "(") { p.ident_list("a column name")? } else { vec![] };
            p.need("AS")?;
            let open = p.need_symbol("(")?;
            let query = p.query()?;
            p.close(open)?;
            Ok(Cte { name, columns, query })
        })
    }

    /// Operands of set operations; INTERSECT binds tighter than UNION and EXCEPT.
    fn set_expr(&mut self, floor: u8, tail: &mut Tail) -> Parse<SetExpr> {
        let first = self.set_operand(tail)?;
        let mut rest = Vec::new();
        loop {
            let span = self.span();
            let (op, precedence) = if self.is_word(0, "UNION") {
                (SetOp::Union, 1)
            } else if self.is_word(0, "EXCEPT") && !self.is_symbol(1, "(") || self.is_word(0, "EXCEPT") && self.is_word(2, "SELECT") {
                (SetOp::Except, 1)
            } else if self.is_word(0, "INTERSECT") {
                (SetOp::Intersect, 2)
            } else {
                break;
            };
            if precedence <= floor {
                break;
            }
            self.advance();
            let all = self.eat("ALL");
            if !all {
                self.eat("DISTINCT");
            }
            let operand = self.nested(|p| p.set_expr(precedence, tail))?;
            rest.push(SetOperation { op, all, operand, span });
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(SetExpr::Combined { first: Box::new(first), rest })
    }

    fn set_operand(&mut self, tail: &mut Tail) -> Parse<SetExpr> {
        if self.is_symbol(0, "(") {
            let open = self.advance().span;
            let query = self.query()?;
            self.close(open)?;
            return Ok(SetExpr::Nested(Box::new(query)));
        }
        if self.is_word(0, "VALUES") {
            self.advance();
            let rows = self.list(|p| {
                let open = p.need_symbol("(")?;
                let row = p.list(Self::expr)?;
                p.close(open)?;
                Ok(row)
            })?;
            return Ok(SetExpr::Values(rows));
        }
        if !self.is_word(0, "SELECT") {
            return Err(self.unexpected("SELECT"));
        }
        Ok(SetExpr::Select(Box::new(self.select(tail)?)))
    }

    fn select(&mut self, tail: &mut Tail) -> Parse<Select> {
        let start = self.advance().span;
        let distinct = self.distinct()?;
        let items = self.list(Self::select_item)?;
        let mut select = Select {
            distinct,
            items,
            into: None,
            from: vec![],
            filter: None,
            group_by: vec![],
            time_window: None,
            row_windows: vec![],
            having: None,
            qualify: None,
            span: start,
        };
        if self.eat("INTO") {
            select.into = Some(SelectInto { name: self.object_name("a sink or stream")? });
        }
        if self.eat("FROM") {
            select.from = self.list(Self::table_ref)?;
        }
        if select.into.is_none() && self.eat("INTO") {
            select.into = Some(SelectInto { name: self.object_name("a sink or stream")? });
        }
        let mut seen = Vec::new();
        while self.select_clause(&mut select, &mut seen)? || self.tail_clause(tail)? {}
        select.span = start.to(self.last_span());
        Ok(select)
    }

    fn distinct(&mut self) -> Parse<Option<Distinct>> {
        let span = self.span();
        if self.is_word(0, "DISTINCT") {
            self.advance();
            if self.is_word(0, "ON") && self.is_symbol(1, "(") {
                self.advance();
                let open = self.need_symbol("(")?;
                let keys = self.list(Self::expr)?;
                let end = self.close(open)?;
                return Ok(Some(Distinct::On(keys, span.to(end))));
            }
            return Ok(Some(Distinct::Rows(span)));
        }
        if self.is_word(0, "ALL") && !self.is_symbol(1, ",") && !self.is_word(1, "FROM") {
            self.advance();
        }
        Ok(None)
    }

    fn once(&mut self, clause: &'static str, seen: &mut Vec<(&'static str, Span)>) -> Parse<()> {
        let span = self.span();
        if let Some((_, first)) = seen.iter().find(|(name, _)| *name == clause) {
            return Err(self.report(
                Diagnostic::error(Code::DUPLICATE_CLAUSE, span, format!("a second {clause}"))
                    .also(*first, "the first one")
                    .help(format!("each clause stands once; join the two, or nest the query to have {clause} again")),
            ));
        }
        seen.push((clause, span));
        Ok(())
    }

    /// One clause of a select, in any order; false where none begins here.
    fn select_clause(&mut self, select: &mut Select, seen: &mut Vec<(&'static str, Span)>) -> Parse<bool> {
        if self.is_word(0, "WHERE") {
            self.once("WHERE", seen)?;
            self.advance();
            select.filter = Some(self.expr()?);
        } else if self.is_word(0, "GROUP") {
            self.once("GROUP BY", seen)?;
            self.advance();
            self.need("BY")?;
            select.group_by = self.list(Self::group_item)?;
        } else if self.is_word(0, "HAVING") {
            self.once("HAVING", seen)?;
            self.advance();
            select.having = Some(self.expr()?);
        } else if self.is_word(0, "QUALIFY") {
            self.once("QUALIFY", seen)?;
            self.advance();
            select.qualify = Some(self.expr()?);
        } else if self.is_word(0, "WINDOW") && self.is_word(2, "AS") {
            self.advance();
            select.row_windows = self.list(|p| {
                let name = p.ident("a window's name")?;
                p.need("AS")?;
                Ok((name, p.row_window()?))
            })?;
        } else if self.begins_time_window() {
            self.once("WINDOW", seen)?;
            select.time_window = Some(self.time_window()?);
        } else {
            for word in ["WHERE", "GROUP", "HAVING", "WINDOW"] {
                self.note(word);
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// One clause of the whole query; false where none begins here.
    fn tail_clause(&mut self, tail: &mut Tail) -> Parse<bool> {
        let mut seen = std::mem::take(&mut tail.seen);
        let result = self.tail_clause_once(tail, &mut seen);
        tail.seen = seen;
        result
    }

    fn tail_clause_once(&mut self, tail: &mut Tail, seen: &mut Vec<(&'static str, Span)>) -> Parse<bool> {
        if self.is_word(0, "ORDER") && self.is_word(1, "BY") {
            self.once("ORDER BY", seen)?;
            tail.order_by = self.order_by()?;
        } else if self.is_word(0, "LIMIT") {
            self.once("LIMIT", seen)?;
            self.advance();
            if !self.eat("ALL") {
                tail.limit = Some(self.expr()?);
            }
        } else if self.is_word(0, "OFFSET") {
            self.once("OFFSET", seen)?;
            self.advance();
            tail.offset = Some(self.expr()?);
            if !self.eat("ROWS") {
                self.eat("ROW");
            }
        } else if self.is_word(0, "EMIT") {
            self.once("EMIT", seen)?;
            let start = self.advance().span;
            let emit = if self.eat("CHANGES") {
                Emit::Changes
            } else if self.eat("FINAL") {
                Emit::Final
            } else {
                return Err(self.unexpected("CHANGES or FINAL"));
            };
            tail.emit = Some((emit, start.to(self.last_span())));
        } else if self.is_word(0, "WITH") && self.is_symbol(1, "(") {
            self.once("WITH", seen)?;
            tail.properties = self.properties()?;
        } else {
            for word in ["ORDER", "LIMIT", "EMIT", "WITH"] {
                self.note(word);
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn group_item(&mut self) -> Parse<GroupItem> {
        let start = self.span();
        if self.is_any_word(0, &["ROLLUP", "CUBE"]) && self.is_symbol(1, "(") {
            let rollup = self.is_word(0, "ROLLUP");
            self.advance();
            let open = self.need_symbol("(")?;
            let keys = self.list(Self::expr)?;
            let span = start.to(self.close(open)?);
            return Ok(if rollup { GroupItem::Rollup(keys, span) } else { GroupItem::Cube(keys, span) });
        }
        if self.is_word(0, "GROUPING") && self.is_word(1, "SETS") {
            self.advance();
            self.advance();
            let open = self.need_symbol("(")?;
            let sets = self.list(|p| {
                if !p.is_symbol(0, "(") {
                    return Ok(vec![p.expr()?]);
                }
                let open = p.advance().span;
                let set = if p.is_symbol(0, ")") { vec![] } else { p.list(Self::expr)? };
                p.close(open)?;
                Ok(set)
            })?;
            return Ok(GroupItem::Sets(sets, start.to(self.close(open)?)));
        }
        Ok(GroupItem::Expr(self.expr()?))
    }

    fn select_item(&mut self) -> Parse<SelectItem> {
        let start = self.span();
        if self.is_symbol(0, "*") {
            self.advance();
            return self.wildcard(None, start);
        }
        if let Some(length) = self.qualified_star() {
            let name = self.object_name("a relation")?;
            debug_assert_eq!(name.parts.len(), length, "a qualified star has as many parts as were counted");
            self.advance();
            self.advance();
            return self.wildcard(Some(name), start);
        }
        let expr = self.expr()?;
        let mut primary_key = self.eat_all(&["PRIMARY", "KEY"]);
        let alias = if self.eat("AS") {
            Some(self.label("a name")?)
        } else if self.begins_alias() {
            Some(self.ident("a name")?)
        } else {
            None
        };
        primary_key |= self.eat_all(&["PRIMARY", "KEY"]);
        let span = start.to(self.last_span());
        Ok(SelectItem { kind: SelectItemKind::Expr { expr, alias, primary_key }, span })
    }

    /// The number of names before `.*`, if a qualified star begins here.
    fn qualified_star(&self) -> Option<usize> {
        let mut by = 0;
        let mut names = 0;
        loop {
            if !matches!(self.ahead(by).kind, crate::lex::TokenKind::Word | crate::lex::TokenKind::Quoted(_)) {
                return None;
            }
            names += 1;
            if !self.is_symbol(by + 1, ".") {
                return None;
            }
            if self.is_symbol(by + 2, "*") {
                return Some(names);
            }
            by += 2;
        }
    }

    fn wildcard(&mut self, qualifier: Option<crate::ast::ObjectName>, start: Span) -> Parse<SelectItem> {
        let except = if self.is_any_word(0, &["EXCEPT", "EXCLUDE"]) && self.is_symbol(1, "(") && !self.is_word(2, "SELECT") {
            self.advance();
            self.ident_list("a column name")?
        } else {
            vec![]
        };
        Ok(SelectItem { kind: SelectItemKind::Wildcard { qualifier, except }, span: start.to(self.last_span()) })
    }

    /// Whether a name without AS begins here: not where a clause does.
    pub(super) fn begins_alias(&self) -> bool {
        match self.token().kind {
            crate::lex::TokenKind::Quoted(_) => true,
            crate::lex::TokenKind::Word => !self.is_reserved(0) && !self.begins_clause(),
            _ => false,
        }
    }

    /// Whether an unreserved word here begins a clause.
    fn begins_clause(&self) -> bool {
        self.begins_time_window()
            || (self.is_word(0, "WINDOW") && self.is_word(2, "AS"))
            || (self.is_word(0, "EMIT") && self.word_ahead(1).is_some())
            || (self.is_word(0, "OFFSET") && !self.is_symbol(1, ",") && !self.is_word(1, "FROM"))
            || self.is_word(0, "QUALIFY")
            || (self.is_word(0, "PRIMARY") && self.is_word(1, "KEY"))
            || (self.is_any_word(0, &["ASOF", "SEMI", "ANTI"]) && self.word_ahead(1).is_some())
            || (self.is_word(0, "WITHIN") && !self.is_symbol(1, ",") && !self.is_symbol(1, "="))
            || (self.is_word(0, "FOR") && self.is_word(1, "SYSTEM_TIME"))
            || (self.is_word(0, "MATCH_RECOGNIZE") && self.is_symbol(1, "("))
            || (self.is_word(0, "PARTITION") && self.is_word(1, "BY"))
    }
}
