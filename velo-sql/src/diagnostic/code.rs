//! Stable codes of diagnostics, with the text of the error reference.

use std::fmt;

/// What kind of mistake a diagnostic is about: a stable word in kebab-case that scripts and the error reference can go by.
///
/// Other crates define their own: `const UNKNOWN_COLUMN: Code = Code::new("unknown-column");`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// A code of this text.
    pub const fn new(text: &'static str) -> Code {
        Code(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The text is none of the grammar's.
    pub const SYNTAX: Code = Code("syntax");
    /// Something opened is never closed: a parenthesis, a quote, a comment.
    pub const UNCLOSED: Code = Code("unclosed");
    /// A character that no token begins with.
    pub const UNKNOWN_CHARACTER: Code = Code("unknown-character");
    /// A number, duration or other constant that is malformed.
    pub const INVALID_LITERAL: Code = Code("invalid-literal");
    /// A statement that begins with no known word.
    pub const UNKNOWN_STATEMENT: Code = Code("unknown-statement");
    /// A type name that does not exist.
    pub const UNKNOWN_TYPE: Code = Code("unknown-type");
    /// A clause or a property list that is given twice.
    pub const DUPLICATE_CLAUSE: Code = Code("duplicate-clause");
    /// A word or sign of another SQL dialect or language.
    pub const OTHER_DIALECT: Code = Code("other-dialect");
    /// A keyword where a name is needed.
    pub const RESERVED_WORD: Code = Code("reserved-word");
    /// Something is left over after a statement.
    pub const LEFT_OVER: Code = Code("left-over");
    /// Parentheses, sub-queries or operator chains nested deeper than Velo follows.
    pub const NESTING_TOO_DEEP: Code = Code("nesting-too-deep");
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// A page of the error reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePage {
    /// The code.
    pub code: Code,
    /// What it says about the script, in one sentence.
    pub meaning: &'static str,
    /// What to do, in one sentence.
    pub remedy: &'static str,
    /// A piece of SQL that gets it.
    pub example: &'static str,
}

/// The codes of this crate, in the order of the reference.
pub const CODES: &[CodePage] = &[
    CodePage {
        code: Code::SYNTAX,
        meaning: "A word or sign stands where the grammar expects another.",
        remedy: "Put what the message expects in the place under the caret.",
        example: "SELECT symbol, FROM trades",
    },
    CodePage {
        code: Code::UNCLOSED,
        meaning: "A parenthesis, bracket, quote or comment is opened and never closed.",
        remedy: "Close it; the message points to where it was opened.",
        example: "SELECT 'abc FROM trades",
    },
    CodePage {
        code: Code::UNKNOWN_CHARACTER,
        meaning: "A character that SQL does not use outside quotes.",
        remedy: "Remove it, or use the plain character that the help names.",
        example: "SELECT “a” FROM trades",
    },
    CodePage {
        code: Code::INVALID_LITERAL,
        meaning: "A number, duration or interval is not well formed.",
        remedy: "Write it in one of the forms that the message shows.",
        example: "SELECT 12abc",
    },
    CodePage {
        code: Code::UNKNOWN_STATEMENT,
        meaning: "No statement begins with this word.",
        remedy: "Begin with one of the statements of the reference; mind the spelling.",
        example: "SELCT 1",
    },
    CodePage {
        code: Code::UNKNOWN_TYPE,
        meaning: "There is no type of this name.",
        remedy: "Use one of Velo's types; the help names the nearest.",
        example: "CREATE STREAM s (price DECIML(18, 4)) WITH (connector = 'kafka')",
    },
    CodePage {
        code: Code::DUPLICATE_CLAUSE,
        meaning: "A clause that a statement can have once is there twice.",
        remedy: "Join the two into one.",
        example: "SELECT * FROM t WHERE a = 1 WHERE b = 2",
    },
    CodePage {
        code: Code::OTHER_DIALECT,
        meaning: "A spelling of another database or language that Velo does not have.",
        remedy: "Use the spelling that the help names.",
        example: "SELECT * FROM t WHERE a == 1",
    },
    CodePage {
        code: Code::RESERVED_WORD,
        meaning: "A keyword stands where a name is needed.",
        remedy: "Put it in double quotes, or choose another name.",
        example: "SELECT 1 AS select",
    },
    CodePage {
        code: Code::LEFT_OVER,
        meaning: "The statement is complete before the text is; what follows belongs to nothing.",
        remedy: "Remove it, or put a semicolon before it if it is the next statement.",
        example: "DROP STREAM trades now",
    },
    CodePage {
        code: Code::NESTING_TOO_DEEP,
        meaning: "Parentheses, sub-queries or chains of operators go deeper than Velo follows.",
        remedy: "Split the expression, for example into a view or a WITH query; use IN for a long list of alternatives.",
        example: "more than 64 parentheses inside each other",
    },
];
