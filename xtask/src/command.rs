//! Programs: how they are started, shown and judged.

use std::{
    collections::VecDeque,
    env,
    ffi::{OsStr, OsString},
    io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, bail};

/// How many of the last lines of a program's output are kept.
const KEPT: usize = 60;

/// One program with its arguments.
#[derive(Debug)]
pub(crate) struct Cmd {
    command: Command,
    shown: String,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        // What cargo told this program about its own package would make build scripts run again.
        for (variable, _) in env::vars_os().filter(|(variable, _)| is_of_this_package(variable)) {
            command.env_remove(variable);
        }
        Self { command, shown: name }
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&quoted(&arg.as_ref().to_string_lossy()));
            self.command.arg(arg);
        }
        self
    }

    /// The arguments as one text without quoting.
    pub(crate) fn words(self, words: &str) -> Self {
        self.args(words.split_whitespace())
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{name}={} {}", quoted(&value.as_ref().to_string_lossy()), self.shown);
        self.command.env(name, value);
        self
    }

    /// Runs it on our own terminal.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.shown);
        let status = self.command.status().with_context(|| format!("cannot start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.shown);
        }
        Ok(())
    }

    /// Runs it, shows what it says while it says it, and keeps the last lines of that.
    pub(crate) fn run_kept(mut self, kept: &Kept) -> Result<()> {
        println!("$ {}", self.shown);
        if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
            self.command.env("CARGO_TERM_COLOR", "always");
        }
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("cannot start `{}`", self.shown))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| stdout.map(|pipe| kept.copy(pipe, io::stdout())));
            scope.spawn(|| stderr.map(|pipe| kept.copy(pipe, io::stderr())));
        });
        let status = child.wait().with_context(|| format!("cannot wait for `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.shown);
        }
        Ok(())
    }

    /// Runs it silently and returns what it printed.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` ended with {}:\n{}", self.shown, output.status, said.trim_end());
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{}` did not print text", self.shown))
    }

    /// Whether it can be started and ends well; nothing is shown.
    pub(crate) fn works(mut self) -> bool {
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    /// The bare command, for what is not covered here.
    pub(crate) fn into_command(self) -> Command {
        println!("$ {}", self.shown);
        self.command
    }
}

/// The last lines that a program said, both streams together.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<VecDeque<String>>);

impl Kept {
    fn copy(&self, from: impl Read, mut to: impl Write) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            // That nobody reads what we print is no reason to stop.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            self.add(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }

    pub(crate) fn add(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into()
    }
}

fn is_of_this_package(variable: &OsString) -> bool {
    let name = variable.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Quoted as for a shell, where that is needed.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(quoted("--profile=ci"), "--profile=ci");
        assert_eq!(quoted("-D warnings"), "'-D warnings'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let kept = Kept::default();
        let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let mut copied = Vec::new();
        kept.copy(text.as_bytes(), &mut copied);
        assert_eq!(copied, text.as_bytes());
        let lines = kept.into_lines();
        assert_eq!(lines.len(), KEPT);
        assert_eq!(lines.last().map(String::as_str), Some("line 99"));
    }
}
