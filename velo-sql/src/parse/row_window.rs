//! Row windows, in the standard and the buffered spelling, and ORDER BY.

use super::parser::{Parse, Parser};
use crate::ast::{Frame, FrameBound, FrameUnits, OrderItem, RowBuffer, RowBufferEmit, RowBufferExpire, RowWindow};
use crate::lex::TokenKind;

impl Parser<'_> {
    /// `ORDER BY …`, if it is there.
    pub(super) fn order_by(&mut self) -> Parse<Vec<OrderItem>> {
        if !self.eat_all(&["ORDER", "BY"]) {
            return Ok(vec![]);
        }
        self.list(Self::order_item)
    }

    pub(super) fn order_item(&mut self) -> Parse<OrderItem> {
        let expr = self.expr()?;
        let descending = self.eat("DESC");
        if !descending {
            self.eat("ASC");
        }
        let nulls_first = if self.is_word(0, "NULLS") && self.is_any_word(1, &["FIRST", "LAST"]) {
            self.advance();
            let first = self.is_word(0, "FIRST");
            self.advance();
            Some(first)
        } else {
            None
        };
        Ok(OrderItem { expr, descending, nulls_first })
    }

    /// `( … )` behind OVER or a named window; the `(` is the current token.
    pub(super) fn row_window(&mut self) -> Parse<RowWindow> {
        let start = self.span();
        let open = self.need_symbol("(")?;
        let mut window = RowWindow::default();
        let names_base = matches!(self.token().kind, TokenKind::Quoted(_))
            || (self.token().kind == TokenKind::Word
                && !self.is_any_word(0, &["PARTITION", "ORDER", "ROWS", "RANGE", "GROUPS", "EMIT", "EXPIRE"]));
        if names_base {
            window.base = Some(self.ident("a window's name")?);
        }
        let mut buffer: Option<RowBuffer> = None;
        if self.is_word(0, "ROWS") && self.is_word(1, "WINDOW") {
            self.advance();
            self.advance();
            self.need("BUFFER")?;
            let rows = self.expr()?;
            self.need("ROWS")?;
            buffer = Some(RowBuffer { rows, emit: None, expire: None });
        }
        if self.eat_all(&["PARTITION", "BY"]) {
            window.partition_by = self.list(Self::expr)?;
        }
        window.order_by = self.order_by()?;
        if self.is_any_word(0, &["ROWS", "RANGE", "GROUPS"]) {
            window.frame = Some(self.frame()?);
        }
        if let Some(buffer) = &mut buffer {
            self.buffer_clauses(buffer)?;
        }
        window.buffer = buffer;
        let end = self.close(open)?;
        window.span = start.to(end);
        Ok(window)
    }

    fn buffer_clauses(&mut self, buffer: &mut RowBuffer) -> Parse<()> {
        loop {
            if buffer.emit.is_none() && self.eat("EMIT") {
                buffer.emit = Some(if self.eat_all(&["EVERY", "RECORD"]) {
                    RowBufferEmit::EveryRecord
                } else if self.eat_all(&["ON", "BUFFER", "FULL"]) {
                    RowBufferEmit::BufferFull
                } else {
                    return Err(self.unexpected("EVERY RECORD or ON BUFFER FULL"));
                });
            } else if buffer.expire.is_none() && self.eat("EXPIRE") {
                self.need("AFTER")?;
                buffer.expire = Some(if self.eat("NEVER") {
                    RowBufferExpire::Never
                } else {
                    let after = self.expr()?;
                    self.need("INACTIVITY")?;
                    RowBufferExpire::After(after)
                });
            } else {
                return Ok(());
            }
        }
    }

    fn frame(&mut self) -> Parse<Frame> {
        let units = if self.eat("ROWS") {
            FrameUnits::Rows
        } else if self.eat("RANGE") {
            FrameUnits::Range
        } else {
            self.advance();
            FrameUnits::Groups
        };
        if self.eat("BETWEEN") {
            let start = self.frame_bound()?;
            self.need("AND")?;
            let end = self.frame_bound()?;
            return Ok(Frame { units, start, end: Some(end) });
        }
        Ok(Frame { units, start: self.frame_bound()?, end: None })
    }

    fn frame_bound(&mut self) -> Parse<FrameBound> {
        if self.eat_all(&["CURRENT", "ROW"]) {
            return Ok(FrameBound::CurrentRow);
        }
        if self.eat("UNBOUNDED") {
            if self.eat("PRECEDING") {
                return Ok(FrameBound::UnboundedPreceding);
            }
            self.need("FOLLOWING")?;
            return Ok(FrameBound::UnboundedFollowing);
        }
        // BETWEEN 5 PRECEDING AND …: the AND belongs to the frame.
        let amount = Box::new(self.nested(|p| p.bound_amount())?);
        if self.eat("PRECEDING") {
            return Ok(FrameBound::Preceding(amount));
        }
        self.need("FOLLOWING")?;
        Ok(FrameBound::Following(amount))
    }
}
