//! Statements of `spec/classify`, changed token by token so that many still are what a server can read.

use super::grammar;
use super::standby::Function;
use super::tape::Tape;
use crate::seeds::WORDS;

/// A seed with a few tokens changed.
pub(super) fn statement(tape: &mut Tape<'_>, seeds: &[String], functions: &[Function]) -> String {
    let mut tokens = tokens(tape.pick::<String>(seeds));
    for _ in 0..=tape.below(3) {
        let at = tape.below(tokens.len() + 1).min(tokens.len());
        let end = (at + tape.below(4)).min(tokens.len());
        match tape.below(9) {
            0 => drop(tokens.drain(at..end)),
            1 => {
                let copy = tokens[at..end].to_vec();
                tokens.splice(at..at, copy);
            }
            2 => tokens.insert(at, (*tape.pick(WORDS)).to_owned()),
            3 => tokens.insert(at, grammar::call(tape, functions)),
            4 if at < end => tokens[at] = grammar::call(tape, functions),
            5 if at < end => tokens[at] = format!("\"{}\"", tokens[at]),
            6 if at < end => tokens[at] = tokens[at].to_uppercase(),
            7 => {
                tokens.insert(end, ")".to_owned());
                tokens.insert(at, "(".to_owned());
            }
            _ => {
                let other = self::tokens(tape.pick::<String>(seeds));
                let from = tape.below(other.len() + 1).min(other.len());
                tokens.splice(at..end, other[from..].iter().cloned());
            }
        }
    }
    let between = *tape.pick(&[" ", " ", " ", "\n", "/**/", " --\n"]);
    tokens.join(between)
}

/// Words, literals and single marks; good enough to cut at.
fn tokens(sql: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let end = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |n| n + 2),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        tokens.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_cut_into_words_literals_and_marks() {
        assert_eq!(
            tokens("select f('a b', $1)\n+\"é x\""),
            ["select", "f", "(", "'a b'", ",", "$1", ")", "+", "\"é x\""]
        );
        assert_eq!(tokens("'a"), ["'a"]);
    }
}
