//! Where lines break: groups that fit stay on a line, the others break at all their own places.

/// The widest line that is aimed at.
const WIDTH: usize = 100;
const INDENT: usize = 2;

enum Piece {
    Text(String),
    /// A blank, or a line break where its group is broken.
    Line,
    /// Nothing, or a line break where its group is broken.
    Soft,
    Open,
    Close,
    Indent,
    Dedent,
}

/// A text in the making.
#[derive(Default)]
pub(super) struct Layout {
    pieces: Vec<Piece>,
}

impl Layout {
    pub(super) fn text(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Text(text.into()));
    }

    pub(super) fn line(&mut self) {
        self.pieces.push(Piece::Line);
    }

    pub(super) fn soft(&mut self) {
        self.pieces.push(Piece::Soft);
    }

    /// What stays on one line if it fits.
    pub(super) fn group(&mut self, inner: impl FnOnce(&mut Layout)) {
        self.pieces.push(Piece::Open);
        inner(self);
        self.pieces.push(Piece::Close);
    }

    /// What stands further right when it begins on a line of its own.
    pub(super) fn indent(&mut self, inner: impl FnOnce(&mut Layout)) {
        self.pieces.push(Piece::Indent);
        inner(self);
        self.pieces.push(Piece::Dedent);
    }

    /// `open`, something, `close`: on one line, or the inner part on lines of its own.
    pub(super) fn enclosed(&mut self, open: &str, close: &str, inner: impl FnOnce(&mut Layout)) {
        self.text(open);
        self.group(|out| {
            out.indent(|out| {
                out.soft();
                inner(out);
            });
            out.soft();
        });
        self.text(close);
    }

    /// Items with commas and possible line breaks in between.
    pub(super) fn items<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Layout, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text(",");
                self.line();
            }
            one(self, item);
        }
    }

    /// The finished text, without a line break at its end. The outer `broken_levels` levels of groups are broken even where they fit.
    pub(super) fn finish(self, broken_levels: usize) -> String {
        let widths = self.widths();
        let mut out = String::new();
        let mut column = 0;
        let mut indent = 0;
        // Whether each open group is broken; outside all groups nothing is.
        let mut broken: Vec<bool> = Vec::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            let breaks = broken.last().copied().unwrap_or(false);
            match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    column = match text.rfind('\n') {
                        Some(at) => text[at + 1..].chars().count(),
                        None => column + text.chars().count(),
                    };
                }
                Piece::Line | Piece::Soft if breaks => {
                    out.push('\n');
                    out.extend(std::iter::repeat_n(' ', indent * INDENT));
                    column = indent * INDENT;
                }
                Piece::Line => {
                    out.push(' ');
                    column += 1;
                }
                Piece::Soft => {}
                Piece::Open => broken.push(broken.len() < broken_levels || column + widths[index] > WIDTH),
                Piece::Close => drop(broken.pop()),
                Piece::Indent => indent += 1,
                Piece::Dedent => indent -= 1,
            }
        }
        out
    }

    /// For each opening piece the width of its group on one line, with what follows it up to the next place to break.
    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.pieces.len()];
        let mut total = vec![0; self.pieces.len() + 1];
        for (index, piece) in self.pieces.iter().enumerate() {
            let width = match piece {
                Piece::Text(text) => text.chars().count(),
                Piece::Line => 1,
                _ => 0,
            };
            total[index + 1] = total[index] + width;
        }
        let mut after = vec![0; self.pieces.len() + 1];
        for (index, piece) in self.pieces.iter().enumerate().rev() {
            after[index] = match piece {
                Piece::Line | Piece::Soft => 0,
                Piece::Text(text) => after[index + 1] + text.chars().count(),
                _ => after[index + 1],
            };
        }
        let mut open = Vec::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Open => open.push(index),
                Piece::Close => {
                    if let Some(start) = open.pop() {
                        widths[start] = total[index] - total[start] + after[index];
                    }
                }
                _ => {}
            }
        }
        widths
    }
}
