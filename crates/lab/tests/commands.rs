//! The command line, as it is typed.
#![cfg_attr(
    feature = "cli",
    expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on ends the test")
)]
#![cfg(feature = "cli")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

/// A terminal of its own: no lab of anybody else is seen.
struct Terminal(TempDir);

impl Terminal {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Labs are in it too, and their servers must get there.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn run(&self, words: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_millpond-lab"))
            .args(words.split_whitespace())
            .env("XDG_RUNTIME_DIR", self.0.path())
            .env("MILLPOND_LAB_FOLDER", self.0.path())
            .output()
            .unwrap()
    }

    fn ok(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code and what was complained.
    fn fails(&self, words: &str) -> (Option<i32>, String) {
        let output = self.run(words);
        assert!(!output.status.success(), "{words}: {output:?}");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn labs(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.0.path()).unwrap().flatten().map(|entry| entry.path());
        all.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("millpond-lab-")).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for name in ["default", "other"] {
            self.run(&format!("down --name {name}"));
        }
    }
}

/// The cells of the row of `node`.
fn row(table: &str, node: &str) -> Vec<String> {
    let line = table.lines().find(|line| line.starts_with(node)).unwrap_or_else(|| panic!("{table}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_detached_lab_obeys_every_command_and_is_gone_after_down() {
    let terminal = Terminal::new();
    let welcome = terminal.ok("up --detach --replicas 1");
    assert!(welcome.contains("millpond-lab status"), "{welcome}");
    assert!(welcome.contains(terminal.ok("url").trim()), "{welcome}");
    assert!(terminal.ok("url shop").contains("/shop?"));
    let status = terminal.ok("status");
    assert_eq!(row(&status, "db-0")[1..3], ["primary", "running"]);
    assert_eq!(row(&status, "db-1")[1..3], ["replica", "running"]);
    for words in ["pause db-1", "resume db-1", "delay db-1 10", "delay db-1 0", "restart db-1 --immediate"] {
        assert_eq!(terminal.ok(words), "", "{words}");
    }
    terminal.ok("freeze db-1");
    assert_eq!(row(&terminal.ok("status"), "db-1")[1..3], ["-", "frozen"]);
    terminal.ok("thaw db-1");
    terminal.ok("net db-1 delay 5");
    terminal.ok("net db-1 --replication stall");
    let status = terminal.ok("status");
    assert!(status.contains("clients delayed 5 ms, replication stalled"), "{status}");
    terminal.ok("net db-1 restore");
    terminal.ok("net --replication db-1 restore");
    terminal.ok("stop db-0");
    terminal.ok("promote db-1");
    assert!(terminal.ok("follow db-0").starts_with("db-0 follows db-1 ("));
    terminal.ok("kill db-0");
    terminal.ok("start db-0");
    assert_eq!(row(&terminal.ok("status"), "db-0")[1..3], ["replica", "running"]);
    assert_eq!(terminal.labs().len(), 1);
    terminal.ok("down");
    assert_eq!(terminal.labs(), Vec::<PathBuf>::new());
    let (code, error) = terminal.fails("status");
    assert_eq!(code, Some(3));
    assert_eq!(
        error,
        "millpond-lab: no lab `default` is up; start it with `millpond-lab up --name default`\n"
    );
}

#[test]
fn two_names_are_two_labs_and_one_name_is_one() {
    let terminal = Terminal::new();
    terminal.ok("up --detach --replicas 0");
    terminal.ok("up --detach --replicas 0 --name other");
    assert_ne!(terminal.ok("url"), terminal.ok("url --name other"));
    let (code, error) = terminal.fails("up --replicas 0");
    assert_eq!(code, Some(1));
    assert!(error.contains("a lab `default` is up already; end it with"), "{error}");
    terminal.ok("down");
    terminal.ok("status --name other");
}

#[test]
fn what_cannot_be_done_is_one_line_and_a_code() {
    let terminal = Terminal::new();
    for (words, code, part) in [
        ("up --bin /nowhere", 1, "lacks postgres, initdb, pg_basebackup; install them with `apt-get"),
        (
            "up --detach --bin /nowhere",
            1,
            "lacks postgres, initdb, pg_basebackup; install them with `apt-get",
        ),
        ("up --set work_mem", 1, "say NAME=VALUE"),
        ("up --set port=1", 1, "leave it out"),
        ("up --name a/b", 1, "use 1 to 40 letters"),
        ("explode", 2, "unrecognized subcommand"),
    ] {
        let (got, error) = terminal.fails(words);
        assert_eq!(got, Some(code), "{words}: {error}");
        assert!(error.contains(part), "{words}: {error}");
        assert!(!error.contains("millpond-lab: millpond-lab"), "{words}: {error}");
    }
    terminal.ok("up --detach --replicas 1");
    for (words, part) in [
        ("pause db-9", "no node `db-9`; the nodes are db-0, db-1"),
        ("pause db-0", "db-0 is a primary"),
        ("thaw nobody", "no node `nobody`"),
        ("start db-0", "db-0 is running"),
        ("follow db-0", "choose another node"),
    ] {
        let (code, error) = terminal.fails(words);
        assert_eq!(code, Some(1), "{words}: {error}");
        assert!(error.contains(part), "{words}: {error}");
    }
}

#[test]
fn a_socket_left_by_a_lab_that_was_killed_is_in_nobodys_way() {
    let terminal = Terminal::new();
    let folder = terminal.0.path().join("millpond-lab");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.join("default.sock")).unwrap());
    assert_eq!(terminal.fails("status").0, Some(3));
    terminal.ok("up --detach --replicas 0");
    terminal.ok("status");
}

#[test]
fn a_run_folder_that_others_can_write_to_is_refused() {
    let terminal = Terminal::new();
    let folder = terminal.0.path().join("millpond-lab");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, error) = terminal.fails("status");
    assert_eq!(code, Some(1));
    assert!(error.contains("not a folder of this user alone"), "{error}");
}
