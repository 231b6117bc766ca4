//! MATCH_RECOGNIZE.

use super::parser::{Parse, Parser};
use crate::ast::{AfterMatch, MatchRecognize, Pattern, TableRef, TableRefKind};

impl Parser<'_> {
    /// `MATCH_RECOGNIZE ( … )` over `input`; the word is the current token.
    pub(super) fn match_recognize(&mut self, input: TableRef) -> Parse<TableRef> {
        let start = self.advance().span;
        let whole = input.span;
        let open = self.need_symbol("(")?;
        let partition_by = if self.eat_all(&["PARTITION", "BY"]) { self.list(Self::expr)? } else { vec![] };
        let order_by = self.order_by()?;
        let measures = if self.eat("MEASURES") {
            self.list(|p| {
                let expr = p.expr()?;
                p.need("AS")?;
                Ok((expr, p.label("a name")?))
            })?
        } else {
            vec![]
        };
        let all_rows = self.is_word(0, "ALL");
        if all_rows || self.is_word(0, "ONE") {
            self.advance();
            if !self.eat("ROWS") {
                self.need("ROW")?;
            }
            self.need("PER")?;
            self.need("MATCH")?;
        }
        let after = if self.eat_all(&["AFTER", "MATCH"]) { self.after_match()? } else { AfterMatch::PastLastRow };
        self.need("PATTERN")?;
        let pattern_open = self.need_symbol("(")?;
        let pattern = self.alternatives()?;
        self.close(pattern_open)?;
        let within = if self.eat("WITHIN") {
            match self.bare_interval() {
                Some(interval) => Some(interval),
                None => Some(self.expr()?),
            }
        } else {
            None
        };
        let define = if self.eat("DEFINE") {
            self.list(|p| {
                let name = p.ident("a pattern variable")?;
                p.need("AS")?;
                Ok((name, p.expr()?))
            })?
        } else {
            vec![]
        };
        let end = self.close(open)?;
        let span = start.to(end);
        let recognize =
            MatchRecognize { input, partition_by, order_by, measures, all_rows, after, pattern, within, define, span };
        Ok(TableRef { kind: TableRefKind::Match(Box::new(recognize)), alias: None, span: whole.to(end) })
    }

    fn after_match(&mut self) -> Parse<AfterMatch> {
        self.need("SKIP")?;
        if self.eat("PAST") {
            self.need("LAST")?;
            self.need("ROW")?;
            return Ok(AfterMatch::PastLastRow);
        }
        self.need("TO")?;
        if self.eat("NEXT") {
            self.need("ROW")?;
            return Ok(AfterMatch::ToNextRow);
        }
        if self.eat("FIRST") {
            return Ok(AfterMatch::ToFirst(self.ident("a pattern variable")?));
        }
        self.eat("LAST");
        Ok(AfterMatch::ToLast(self.ident("a pattern variable")?))
    }

    fn alternatives(&mut self) -> Parse<Pattern> {
        self.nested(|p| {
            let mut branches = vec![p.sequence()?];
            while p.eat_symbol("|") {
                branches.push(p.sequence()?);
            }
            Ok(if branches.len() == 1 { branches.remove(0) } else { Pattern::Alternatives(branches) })
        })
    }

    fn sequence(&mut self) -> Parse<Pattern> {
        let mut parts = Vec::new();
        while !self.is_symbol(0, ")") && !self.is_symbol(0, "|") {
            let inner = if self.is_symbol(0, "(") {
                let open = self.advance().span;
                let inner = self.alternatives()?;
                self.close(open)?;
                inner
            } else {
                Pattern::Variable(self.ident("a pattern variable")?)
            };
            parts.push(self.quantifier(inner)?);
        }
        match parts.len() {
            0 => Err(self.unexpected("a pattern variable")),
            1 => Ok(parts.remove(0)),
            _ => Ok(Pattern::Sequence(parts)),
        }
    }

    fn quantifier(&mut self, inner: Pattern) -> Parse<Pattern> {
        let (min, max) = if self.eat_symbol("*") {
            (0, None)
        } else if self.eat_symbol("+") {
            (1, None)
        } else if self.eat_symbol("?") {
            (0, Some(1))
        } else if self.eat_symbol("{") {
            let min = if self.is_symbol(0, ",") { 0 } else { self.small_number("a number")?.0 };
            let max = if self.eat_symbol(",") {
                if self.is_symbol(0, "}") { None } else { Some(self.small_number("a number")?.0) }
            } else {
                Some(min)
            };
            self.need_symbol("}")?;
            (min, max)
        } else {
            return Ok(inner);
        };
        let reluctant = self.eat_symbol("?");
        Ok(Pattern::Repeat { inner: Box::new(inner), min, max, reluctant })
    }
}
