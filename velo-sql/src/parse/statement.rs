//! Statements: which one begins here, recovery, annotations.

use super::parser::{Parse, Parser};
use crate::ast::{
    Annotation, Explain, ExplainFormat, Insert, JobAction, ObjectKind, SetValue, Show, ShowKind, Statement, StatementKind,
};
use crate::lex::{Comment, TokenKind};
use crate::span::Span;

/// Words that begin statements, for recovery and "did you mean".
const STARTERS: &[&str] = &[
    "CREATE", "INSERT", "SELECT", "WITH", "VALUES", "EXPLAIN", "DESCRIBE", "DESC", "SHOW", "LIST", "DROP", "START", "STOP",
    "PAUSE", "RESUME", "SET",
];

impl Parser<'_> {
    /// All statements up to the end of the text.
    pub(super) fn script(&mut self) -> Vec<Statement> {
        let mut statements = Vec::new();
        let mut comment = 0;
        loop {
            while self.is_symbol(0, ";") {
                self.advance();
            }
            let first_token = self.at;
            let annotations = self.annotations(&mut comment, first_token);
            if self.at_end() {
                return statements;
            }
            match self.statement(annotations) {
                Ok(statement) => statements.push(statement),
                Err(_) => self.recover(first_token),
            }
        }
    }

    /// Skips to the `;` that ends the statement which began at token `first`: one outside parentheses, or one that is followed
    /// by the beginning of a statement (a parenthesis may be the very mistake).
    fn recover(&mut self, first: usize) {
        let mut depth: i64 = 0;
        let mut at = first;
        let here = self.at;
        loop {
            match self.tokens.get(at).map(|token| &token.kind) {
                None | Some(TokenKind::End) => break,
                Some(TokenKind::Symbol("(")) => depth += 1,
                Some(TokenKind::Symbol(")")) => depth -= 1,
                Some(TokenKind::Symbol(";")) if at >= here => {
                    let next = self.tokens.get(at + 1);
                    let begins = next.is_none_or(|token| {
                        token.kind == TokenKind::End
                            || STARTERS.iter().any(|word| token.span.text(self.text).eq_ignore_ascii_case(word))
                    });
                    if depth <= 0 || begins {
                        break;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.at = at.min(self.tokens.len() - 1);
    }

    fn statement(&mut self, annotations: Vec<Annotation>) -> Parse<Statement> {
        let start = self.span();
        let kind = self.nested(Self::statement_kind)?;
        if !self.at_end() && !self.is_symbol(0, ";") {
            return Err(self.unexpected(";"));
        }
        Ok(Statement { kind, annotations, span: start.to(self.last_span()) })
    }

    fn statement_kind(&mut self) -> Parse<StatementKind> {
        if self.begins_query() {
            return Ok(StatementKind::Query(Box::new(self.query()?)));
        }
        match self.word_ahead(0).unwrap_or_default().to_ascii_uppercase().as_str() {
            "CREATE" => self.create(),
            "INSERT" => self.insert(),
            "EXPLAIN" => self.explain(),
            "DESCRIBE" | "DESC" => {
                self.advance();
                Ok(StatementKind::Describe(self.object_name("a name")?))
            }
            "SHOW" | "LIST" => self.show(),
            "DROP" => self.drop_object(),
            "START" | "STOP" | "PAUSE" | "RESUME" => self.job(),
            "SET" => self.set(),
            _ => {
                for word in STARTERS {
                    self.note(word);
                }
                Err(self.unexpected("a statement"))
            }
        }
    }

    fn insert(&mut self) -> Parse<StatementKind> {
        self.advance();
        self.need("INTO")?;
        let name = self.object_name("a stream or sink")?;
        let columns = if self.is_symbol(0, "(") && !self.begins_query() { self.ident_list("a column name")? } else { vec![] };
        if !self.begins_query() {
            return Err(self.unexpected("SELECT"));
        }
        let query = self.query()?;
        Ok(StatementKind::Insert(Box::new(Insert { name, columns, query })))
    }

    fn explain(&mut self) -> Parse<StatementKind> {
        self.advance();
        let analyze = self.eat("ANALYZE");
        let mut format = ExplainFormat::Text;
        if self.is_symbol(0, "(") && self.is_word(1, "FORMAT") {
            let open = self.advance().span;
            self.advance();
            format = if self.eat("TEXT") {
                ExplainFormat::Text
            } else if self.eat("DOT") {
                ExplainFormat::Dot
            } else if self.eat("JSON") {
                ExplainFormat::Json
            } else {
                return Err(self.unexpected("TEXT, DOT or JSON"));
            };
            self.close(open)?;
        }
        let start = self.span();
        let kind = self.nested(Self::statement_kind)?;
        let statement = Statement { kind, annotations: vec![], span: start.to(self.last_span()) };
        Ok(StatementKind::Explain(Box::new(Explain { analyze, format, statement })))
    }

    fn show(&mut self) -> Parse<StatementKind> {
        self.advance();
        let kind = if self.eat("STREAMS") {
            ShowKind::Streams
        } else if self.eat("TABLES") {
            ShowKind::Tables
        } else if self.eat("SINKS") {
            ShowKind::Sinks
        } else if self.eat("VIEWS") {
            ShowKind::Views
        } else if self.eat("JOBS") || self.eat("QUERIES") {
            ShowKind::Jobs
        } else if self.eat("FUNCTIONS") {
            ShowKind::Functions
        } else if self.eat("TOPICS") {
            ShowKind::Topics
        } else if self.eat("PROPERTIES") {
            ShowKind::Properties
        } else if self.eat("CREATE") {
            for kind in ["STREAM", "TABLE", "SINK", "VIEW"] {
                if self.is_word(0, kind) && self.word_ahead(1).is_some() {
                    self.advance();
                    break;
                }
            }
            ShowKind::Create(self.object_name("a name")?)
        } else if self.eat("STATUS") {
            ShowKind::Status(self.optional_name()?)
        } else if self.eat("METRICS") {
            ShowKind::Metrics(self.optional_name()?)
        } else {
            return Err(self.unexpected("what to show: STREAMS, TABLES, SINKS, VIEWS, JOBS, FUNCTIONS, …"));
        };
        let like = if self.eat("LIKE") { Some(self.string("a pattern in quotes")?) } else { None };
        Ok(StatementKind::Show(Show { kind, like }))
    }

    fn optional_name(&mut self) -> Parse<Option<crate::ast::Ident>> {
        if self.at_end() || self.is_symbol(0, ";") || self.is_word(0, "LIKE") {
            return Ok(None);
        }
        Ok(Some(self.ident("a job's name")?))
    }

    fn drop_object(&mut self) -> Parse<StatementKind> {
        self.advance();
        let object: ObjectKind = self.object_kind()?;
        let if_exists = self.eat_all(&["IF", "EXISTS"]);
        let name = self.object_name("a name")?;
        Ok(StatementKind::Drop { object, if_exists, name })
    }

    fn job(&mut self) -> Parse<StatementKind> {
        let word = self.advance().span.text(self.text).to_ascii_uppercase();
        self.need("JOB")?;
        let name = self.ident("a job's name")?;
        let action = match word.as_str() {
            "START" => {
                self.need("AS")?;
                let start = self.span();
                let kind = self.nested(Self::statement_kind)?;
                let statement = Statement { kind, annotations: vec![], span: start.to(self.last_span()) };
                JobAction::Start(Box::new(statement))
            }
            "STOP" => JobAction::Stop { force: self.eat("FORCE") },
            "PAUSE" => JobAction::Pause,
            _ => JobAction::Resume,
        };
        Ok(StatementKind::Job { action, name })
    }

    fn set(&mut self) -> Parse<StatementKind> {
        self.advance();
        let (key, key_span) = self.property_key()?;
        if !self.eat_symbol("=") && !self.eat("TO") {
            return Err(self.unexpected("="));
        }
        let (text, span) = self.property_value()?;
        Ok(StatementKind::Set { key, key_span, value: SetValue { text, span } })
    }

    /// The annotations in the comments that stand before token `first` and were not given to a statement yet.
    fn annotations(&mut self, comment: &mut usize, first: usize) -> Vec<Annotation> {
        let mut annotations = Vec::new();
        while let Some(next) = self.comments.get(*comment).cloned() {
            if next.before > first {
                break;
            }
            *comment += 1;
            if next.before == first {
                self.annotations_of(&next, &mut annotations);
            }
        }
        annotations
    }

    /// `-- @key: value`, several in a line, and `-- SQL Application: name`.
    fn annotations_of(&self, comment: &Comment, out: &mut Vec<Annotation>) {
        let text = comment.span.text(self.text);
        let Some(body) = text.strip_prefix("--") else { return };
        let base = comment.span.start as usize + 2;
        if let Some(at) = body.find("SQL Application:") {
            let value = body[at + "SQL Application:".len()..].trim();
            out.push(Annotation { key: "application".to_owned(), value: value.to_owned(), span: comment.span });
            return;
        }
        let mut at = 0;
        while let Some(found) = body[at..].find('@') {
            let start = at + found;
            let rest = &body[start + 1..];
            let key_length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let marks = body[..start].trim().is_empty() || body[..start].ends_with([' ', '\t']);
            if key_length == 0 || !marks || !(rest[key_length..].starts_with(':') || rest[key_length..].trim().is_empty()) {
                at = start + 1;
                continue;
            }
            let value_start = (start + 1 + key_length + 1).min(body.len());
            // A value goes on to the next annotation of the line.
            let value_end = body[value_start..].find(" @").map_or(body.len(), |next| value_start + next);
            let value = body[value_start..value_end].trim();
            let span = Span::new(base + start, base + value_end);
            out.push(Annotation { key: rest[..key_length].to_owned(), value: value.to_owned(), span });
            at = value_end;
        }
    }
}
