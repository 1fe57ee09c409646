//! The bodies of routines.

use std::borrow::Cow;

use crate::classifier::{Functions, Options};
use crate::functions::{self, Qualifier, Verdict};
use crate::grammar::names;
use crate::lexer::{Class, Keyword as K, Kind, Lexer, Token};

/// The statements of a function in SQL: its text, without the words that only a parsed body has around them.
pub(super) fn statements(body: &str) -> Cow<'_, str> {
    let body = body.trim();
    if let Some(expression) = after_word(body, "RETURN") {
        return format!("SELECT {expression}").into();
    }
    let inner = after_word(body, "BEGIN").and_then(|rest| after_word(rest, "ATOMIC"));
    match inner.and_then(|inner| inner.strip_suffix("END").or_else(|| inner.strip_suffix("end"))) {
        Some(inner) => inner.into(),
        None => body.into(),
    }
}

fn after_word<'b>(text: &'b str, word: &str) -> Option<&'b str> {
    let text = text.trim_start();
    let (head, rest) = text.split_at_checked(word.len())?;
    let ends = rest.starts_with(|c: char| c.is_whitespace() || c == '(');
    (head.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

/// Words of PL/pgSQL that a parenthesis can follow without being called.
const WORDS: &[&[u8]] = &[
    b"assert",
    b"constant",
    b"elseif",
    b"elsif",
    b"exit",
    b"foreach",
    b"if",
    b"loop",
    b"query",
    b"return",
    b"slice",
    b"when",
    b"while",
];

/// Why a PL/pgSQL body is not known to read; `None` when it is. There is no parse: every word that could be more than a read is
/// one.
pub(super) fn why_not(body: &str, options: Options, functions: &Functions) -> Option<Box<str>> {
    let mut lexer = Lexer::new(body, options);
    // The last tokens, the newest first.
    let mut before: [Option<Token>; 3] = [None; 3];
    loop {
        let token = lexer.next();
        let is_bad = match token.kind() {
            Kind::End => return None,
            Kind::Bad => true,
            Kind::Open => before[0].is_some_and(|name| !may_open(&lexer, functions, name, before)),
            Kind::Word => does_more(token) || is_hazard(&lexer, functions, token, before),
            Kind::Name | Kind::Quoted => is_hazard(&lexer, functions, token, before),
            Kind::Operator | Kind::Equals => names::operator(&lexer, functions, token).is_some(),
            _ => false,
        };
        if is_bad {
            let culprit = if token.kind() == Kind::Open { before[0].unwrap_or(token) } else { token };
            let word = String::from_utf8_lossy(lexer.text(culprit)).into_owned();
            return Some(format!("{word} in its body is not known to read").into());
        }
        before = [Some(token), before[0], before[1]];
    }
}

/// Whether a keyword starts or belongs to what is no read.
fn does_more(token: Token) -> bool {
    let Some(keyword) = token.keyword() else { return false };
    matches!(
        keyword,
        K::Insert
            | K::Update
            | K::Delete
            | K::Merge
            | K::Truncate
            | K::Create
            | K::Alter
            | K::Drop
            | K::Grant
            | K::Revoke
            | K::Comment
            | K::Execute
            | K::Call
            | K::Copy
            | K::Lock
            | K::Notify
            | K::Listen
            | K::Unlisten
            | K::Set
            | K::Reset
            | K::Do
            | K::Vacuum
            | K::Analyze
            | K::Analyse
            | K::Refresh
            | K::Reindex
            | K::Cluster
            | K::Commit
            | K::Rollback
            | K::Share
            | K::Security
            | K::Import
            | K::Load
            | K::Checkpoint
            | K::Discard
            | K::Prepare
            | K::Deallocate
            | K::Reassign
            | K::Treat
            | K::Fetch
            | K::Move
            | K::Close
            | K::Temp
            | K::Temporary
    )
}

/// Whether what stands in front of a parenthesis is harmless: a function that reads, or a part of the language.
fn may_open(lexer: &Lexer<'_>, functions: &Functions, name: Token, before: [Option<Token>; 3]) -> bool {
    let is_behind_dot = before[1].is_some_and(|token| token.kind() == Kind::Dot);
    let is_language = match name.kind() {
        Kind::Word if matches!(name.class(), Class::Reserved | Class::Construct) => true,
        Kind::Word | Kind::Name => WORDS.iter().any(|word| word.eq_ignore_ascii_case(lexer.text(name))),
        Kind::Quoted => false,
        // An operator, a comma, another parenthesis.
        _ => return true,
    };
    if is_language && !is_behind_dot && !is_users(lexer, functions, name) {
        return true;
    }
    let qualifier = match before[2] {
        _ if !is_behind_dot => Qualifier::None,
        Some(schema) if schema.is_word() => Qualifier::Schema(schema),
        _ => Qualifier::Other,
    };
    functions::verdict(lexer, Some(functions), qualifier, name) == Verdict::Reads
}

/// Whether the database has a function of that name, which a word of the language may call then.
fn is_users(lexer: &Lexer<'_>, functions: &Functions, name: Token) -> bool {
    let is_word = matches!(name.class(), Class::Reserved | Class::Construct);
    let catalog = functions.catalog.as_deref();
    !is_word
        && functions::Folded::new(lexer, name)
            .is_none_or(|name| catalog.is_some_and(|catalog| catalog.has_function(name.as_str())))
}

/// Whether a word names something that is not known to read.
fn is_hazard(lexer: &Lexer<'_>, functions: &Functions, token: Token, before: [Option<Token>; 3]) -> bool {
    let is_behind_dot = before[0].is_some_and(|token| token.kind() == Kind::Dot);
    let is_language = token.kind() == Kind::Word && token.class() == Class::Reserved;
    if is_language && !is_behind_dot {
        return false;
    }
    if is_elsewhere(lexer.text(token)) {
        return true;
    }
    if is_behind_dot {
        // `x.f` can call `f`.
        let verdict = functions::verdict(lexer, Some(functions), Qualifier::None, token);
        let has_effect = !matches!(verdict, Verdict::Reads | Verdict::Unknown | Verdict::Hidden(_));
        if has_effect || names::attribute(lexer, functions, token).is_some() {
            return true;
        }
    }
    let qualifier = match before[1] {
        _ if !is_behind_dot => Qualifier::None,
        Some(schema) if schema.is_word() => Qualifier::Schema(schema),
        _ => Qualifier::Other,
    };
    names::object(lexer, functions, qualifier, token, names::Place::Relation).is_some()
}

/// Whether a name belongs to one session or one server, or shows sequences.
fn is_elsewhere(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let text = text.strip_suffix(b"\"").unwrap_or(text);
    if functions::is_of_one_server(text) || text.eq_ignore_ascii_case(b"pg_sequences") {
        return true;
    }
    // A cursor that stays open when its function has ended.
    if text.eq_ignore_ascii_case(b"open") {
        return true;
    }
    let names: [&[u8]; 3] = [b"pg_temp", b"pg_cursors", b"pg_prepared_statements"];
    names.iter().any(|name| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
}
