//! Fenced code in markdown and in doc comments.

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What stands behind the opening fence.
    pub(super) info: String,
    /// The line of the opening fence, from 1.
    pub(super) line: usize,
    /// The line of the closing fence.
    pub(super) end: usize,
    pub(super) text: String,
}

impl Block {
    /// Whether it says that it is Rust; for rustdoc a block is Rust unless it says otherwise.
    pub(super) fn says_rust(&self) -> bool {
        self.words().any(|word| word == "rust")
    }

    /// Whether rustdoc tests it.
    pub(super) fn is_doctest(&self) -> bool {
        const ATTRIBUTES: [&str; 4] = ["rust", "no_run", "should_panic", "compile_fail"];
        self.words().all(|word| ATTRIBUTES.contains(&word) || word.starts_with("edition"))
    }

    /// Whether rustdoc is told to pass it over.
    pub(super) fn is_ignored(&self) -> bool {
        self.words().any(|word| word.starts_with("ignore"))
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.info.split([',', ' ']).filter(|word| !word.is_empty())
    }
}

/// The blocks of a markdown text. Lines that rustdoc hides are left out of Rust ones.
pub(super) fn of_markdown(text: &str) -> Vec<Block> {
    let numbered = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    blocks(numbered)
}

/// The blocks in the doc comments of a source file.
pub(super) fn of_source(text: &str) -> Vec<Block> {
    let comments = text.lines().enumerate().filter_map(|(number, line)| {
        let line = line.trim_start();
        let comment = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))?;
        Some((number + 1, comment.strip_prefix(' ').unwrap_or(comment)))
    });
    blocks(comments)
}

fn blocks<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(Block, &str)> = None;
    for (number, line) in lines {
        let trimmed = line.trim();
        match &mut open {
            None => {
                let marks = trimmed.len() - trimmed.trim_start_matches('`').len();
                if marks >= 3 {
                    let (fence, info) = trimmed.split_at(marks);
                    let block = Block {
                        info: info.trim().to_owned(),
                        line: number,
                        end: number,
                        text: String::new(),
                    };
                    open = Some((block, fence));
                }
            }
            Some((_, fence)) if trimmed == *fence => {
                found.extend(open.take().map(|(block, _)| Block { end: number, ..block }));
            }
            Some((block, _)) if (trimmed == "#" || trimmed.starts_with("# ")) && block.is_doctest() => (),
            Some((block, _)) => {
                block.text.push_str(line.trim_end());
                block.text.push('\n');
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_page_are_read_with_what_their_fence_says() {
        let blocks = of_markdown("a\n```toml\nx = 1\n```\n\n```rust,no_run\nfn a() {}\n\nfn b() {}\n```\n");
        assert_eq!(blocks.len(), 2);
        assert_eq!((blocks[0].line, blocks[1].line), (2, 6));
        assert!(!blocks[0].is_doctest() && !blocks[0].says_rust());
        assert!(blocks[1].is_doctest() && blocks[1].says_rust());
        assert_eq!(blocks[1].text, "fn a() {}\n\nfn b() {}\n");
    }

    #[test]
    fn a_doc_comment_without_a_language_is_rust_and_its_hidden_lines_are_left_out() {
        let blocks =
            of_source("//! Text.\n//! ```\n//! # use a;\n//! #[test]\n//! fn a() {}\n//! ```\nfn b() {}\n");
        assert_eq!(blocks.len(), 1);
        assert!(blocks[0].is_doctest());
        assert_eq!(blocks[0].text, "#[test]\nfn a() {}\n");
    }

    #[test]
    fn an_ignored_block_is_known_by_its_fence_and_not_by_its_text() {
        let blocks = of_markdown("```rust,ignore\n```\n````text\n```ignore\n````\n");
        assert_eq!(blocks.iter().map(Block::is_ignored).collect::<Vec<_>>(), [true, false]);
    }
}
