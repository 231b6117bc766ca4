//! The words that the grammar knows: one table, with what each may still be used for.

/// What a keyword may be besides a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Any name.
    Name,
    /// Any name but an alias without AS, because a clause can begin with it there.
    NotBareAlias,
    /// No name at all, unless in quotes or after a dot.
    Reserved,
}

macro_rules! keywords {
    ($($variant:ident $text:literal $use:ident,)*) => {
        /// A word of the grammar.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Keyword { $($variant,)* }

        const TABLE: &[(&str, Keyword, Use)] = &[$(($text, Keyword::$variant, Use::$use),)*];
    };
}

// Sorted by text: the lexer looks words up by bisection.
keywords! {
    Action "ACTION" Name,
    After "AFTER" Name,
    All "ALL" Reserved,
    Analyze "ANALYZE" Name,
    And "AND" Reserved,
    Anti "ANTI" NotBareAlias,
    Any "ANY" Name,
    Array "ARRAY" Name,
    As "AS" Reserved,
    Asc "ASC" NotBareAlias,
    Asof "ASOF" NotBareAlias,
    At "AT" NotBareAlias,
    Between "BETWEEN" Reserved,
    Both "BOTH" Name,
    Buffer "BUFFER" Name,
    By "BY" Name,
    Case "CASE" Reserved,
    Cast "CAST" Name,
    Ceil "CEIL" Name,
    Ceiling "CEILING" Name,
    Changes "CHANGES" Name,
    Comment "COMMENT" Name,
    Create "CREATE" Reserved,
    Cross "CROSS" NotBareAlias,
    Cube "CUBE" Name,
    Cumulate "CUMULATE" Name,
    Cumulating "CUMULATING" Name,
    Current "CURRENT" Name,
    CurrentDate "CURRENT_DATE" Name,
    CurrentTime "CURRENT_TIME" Name,
    CurrentTimestamp "CURRENT_TIMESTAMP" Name,
    Data "DATA" Name,
    Date "DATE" Name,
    Default "DEFAULT" Name,
    Define "DEFINE" NotBareAlias,
    Desc "DESC" NotBareAlias,
    Describe "DESCRIBE" Name,
    Descriptor "DESCRIPTOR" Name,
    Distinct "DISTINCT" Reserved,
    Drop "DROP" Name,
    Else "ELSE" Reserved,
    Emit "EMIT" NotBareAlias,
    Empty "EMPTY" Name,
    End "END" Reserved,
    Enforced "ENFORCED" Name,
    Escape "ESCAPE" NotBareAlias,
    Every "EVERY" Name,
    Except "EXCEPT" Reserved,
    Exclude "EXCLUDE" NotBareAlias,
    Exists "EXISTS" Name,
    Expire "EXPIRE" Name,
    Explain "EXPLAIN" Name,
    Extract "EXTRACT" Name,
    False "FALSE" Reserved,
    Fetch "FETCH" NotBareAlias,
    Filter "FILTER" NotBareAlias,
    Final "FINAL" Name,
    First "FIRST" Name,
    Floor "FLOOR" Name,
    Following "FOLLOWING" Name,
    For "FOR" NotBareAlias,
    Force "FORCE" Name,
    Format "FORMAT" Name,
    From "FROM" Reserved,
    Full "FULL" NotBareAlias,
    Function "FUNCTION" Name,
    Grace "GRACE" NotBareAlias,
    Group "GROUP" Reserved,
    Grouping "GROUPING" Name,
    Groups "GROUPS" Name,
    Having "HAVING" Reserved,
    Hop "HOP" Name,
    Hopping "HOPPING" Name,
    If "IF" Name,
    Ignore "IGNORE" NotBareAlias,
    Ilike "ILIKE" NotBareAlias,
    In "IN" Reserved,
    Inactivity "INACTIVITY" Name,
    Inner "INNER" NotBareAlias,
    Insert "INSERT" Name,
    Intersect "INTERSECT" Reserved,
    Interval "INTERVAL" Name,
    Into "INTO" Reserved,
    Is "IS" Reserved,
    Job "JOB" Name,
    Join "JOIN" Reserved,
    Json "JSON" Name,
    Key "KEY" Name,
    Last "LAST" Name,
    Lateral "LATERAL" NotBareAlias,
    Leading "LEADING" Name,
    Left "LEFT" NotBareAlias,
    Like "LIKE" Reserved,
    Limit "LIMIT" Reserved,
    List "LIST" Name,
    Map "MAP" Name,
    Match "MATCH" Name,
    Matches "MATCHES" Name,
    MatchCondition "MATCH_CONDITION" NotBareAlias,
    MatchRecognize "MATCH_RECOGNIZE" NotBareAlias,
    Measures "MEASURES" NotBareAlias,
    Metadata "METADATA" Name,
    Metrics "METRICS" Name,
    Natural "NATURAL" NotBareAlias,
    Never "NEVER" Name,
    Next "NEXT" Name,
    Not "NOT" Reserved,
    Null "NULL" Reserved,
    Nulls "NULLS" NotBareAlias,
    Object "OBJECT" Name,
    Offset "OFFSET" NotBareAlias,
    Omit "OMIT" Name,
    On "ON" Reserved,
    One "ONE" Name,
    Only "ONLY" Name,
    Or "OR" Reserved,
    Order "ORDER" Reserved,
    Ordinality "ORDINALITY" Name,
    Outer "OUTER" NotBareAlias,
    Over "OVER" NotBareAlias,
    Partition "PARTITION" NotBareAlias,
    Past "PAST" Name,
    Pattern "PATTERN" NotBareAlias,
    Pause "PAUSE" Name,
    Per "PER" Name,
    Period "PERIOD" Name,
    Permute "PERMUTE" Name,
    Position "POSITION" Name,
    Preceding "PRECEDING" Name,
    Primary "PRIMARY" NotBareAlias,
    Properties "PROPERTIES" Name,
    Qualify "QUALIFY" NotBareAlias,
    Range "RANGE" NotBareAlias,
    Record "RECORD" Name,
    Recursive "RECURSIVE" Name,
    Regexp "REGEXP" NotBareAlias,
    Replace "REPLACE" Name,
    Respect "RESPECT" NotBareAlias,
    Resume "RESUME" Name,
    Returns "RETURNS" Name,
    Right "RIGHT" NotBareAlias,
    Rlike "RLIKE" NotBareAlias,
    Rollup "ROLLUP" Name,
    Row "ROW" Name,
    Rows "ROWS" Name,
    Running "RUNNING" Name,
    Scalar "SCALAR" Name,
    Select "SELECT" Reserved,
    Semi "SEMI" NotBareAlias,
    Session "SESSION" Name,
    Set "SET" Name,
    Sets "SETS" Name,
    Show "SHOW" Name,
    Similar "SIMILAR" NotBareAlias,
    Sink "SINK" Name,
    Skip "SKIP" Name,
    Sliding "SLIDING" Name,
    SomeOf "SOME" Name,
    Start "START" Name,
    Status "STATUS" Name,
    Stop "STOP" Name,
    Stream "STREAM" Name,
    Struct "STRUCT" Name,
    Subset "SUBSET" NotBareAlias,
    Substring "SUBSTRING" Name,
    Symmetric "SYMMETRIC" Name,
    SystemTime "SYSTEM_TIME" Name,
    Table "TABLE" Name,
    Then "THEN" Reserved,
    Time "TIME" Name,
    Timestamp "TIMESTAMP" Name,
    To "TO" Name,
    Trailing "TRAILING" Name,
    Trim "TRIM" Name,
    True "TRUE" Reserved,
    TryCast "TRY_CAST" Name,
    Tumble "TUMBLE" Name,
    Tumbling "TUMBLING" Name,
    Unbounded "UNBOUNDED" Name,
    Union "UNION" Reserved,
    Unknown "UNKNOWN" Name,
    Unnest "UNNEST" Name,
    Using "USING" Reserved,
    Value "VALUE" Name,
    Values "VALUES" Name,
    View "VIEW" Name,
    Virtual "VIRTUAL" Name,
    Watermark "WATERMARK" Name,
    When "WHEN" Reserved,
    Where "WHERE" Reserved,
    Window "WINDOW" NotBareAlias,
    With "WITH" Reserved,
    Within "WITHIN" NotBareAlias,
    Without "WITHOUT" Name,
    Zone "ZONE" Name,
}

impl Keyword {
    /// The keyword that a word is, in any letter case.
    pub(crate) fn find(word: &str) -> Option<Keyword> {
        if word.len() > 20 || !word.is_ascii() {
            return None;
        }
        let upper = word.to_ascii_uppercase();
        let index = TABLE.binary_search_by(|(text, _, _)| (*text).cmp(upper.as_str())).ok()?;
        Some(TABLE[index].1)
    }

    /// The word in capitals.
    pub(crate) fn text(self) -> &'static str {
        TABLE[self as usize].0
    }

    /// What it may be besides a keyword.
    pub(crate) fn usage(self) -> Use {
        TABLE[self as usize].2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (index, (text, keyword, _)) in TABLE.iter().enumerate() {
            assert_eq!(*keyword as usize, index);
            assert_eq!(Keyword::find(&text.to_lowercase()), Some(*keyword));
        }
    }
}
