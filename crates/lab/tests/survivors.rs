//! Nothing that a lab started survives it.
#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on ends the test")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use millpond_lab::{Folder, Lab};

const ROLE: &str = "MILLPOND_LAB_TEST_CHILD";

/// Looks until `seen`, for at most 20 s.
fn eventually(what: &str, seen: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !seen() {
        assert!(Instant::now() < end, "{what} was not seen within 20 s");
        std::thread::yield_now();
    }
}

/// The processes that work somewhere in `folder`.
fn workers(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let cwd = |process: &PathBuf| fs::read_link(process.join("cwd")).ok();
    all.filter(|process| cwd(process).is_some_and(|cwd| cwd.starts_with(folder))).collect()
}

/// This test program again, as a process that brings a lab up, does something, and never ends by itself.
fn child(test: &str) -> (Child, PathBuf) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, test)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("folder=").map(|(_, folder)| PathBuf::from(folder.trim())));
    (child, folder.expect("the child says where its lab is"))
}

/// In the child: brings a lab up, says where, and then does `last`.
fn as_child(test: &str, last: impl AsyncFnOnce(&Lab)) {
    if env::var(ROLE).is_ok_and(|role| role == test) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::builder().replicas(1).up().await.unwrap();
            last(&lab).await;
            println!("\nfolder={}", lab.folder().display());
            std::future::pending::<()>().await;
        });
    }
}

fn nothing_survives(mut child: Child, folder: &Path) {
    assert!(!workers(folder).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the end of all servers", || workers(folder).is_empty());
    eventually("the end of the folder", || !folder.exists());
}

#[test]
fn a_test_that_is_killed_leaves_nothing_behind() {
    let test = "a_test_that_is_killed_leaves_nothing_behind";
    as_child(test, async |_| ());
    let (child, folder) = child(test);
    nothing_survives(child, &folder);
}

#[test]
fn a_killed_test_leaves_no_frozen_server_behind() {
    let test = "a_killed_test_leaves_no_frozen_server_behind";
    as_child(test, async |lab| {
        for node in lab.nodes() {
            node.freeze().await.unwrap();
        }
    });
    let (child, folder) = child(test);
    nothing_survives(child, &folder);
}

#[test]
fn a_killed_test_leaves_no_shared_memory_of_a_killed_server_behind() {
    let test = "a_killed_test_leaves_no_shared_memory_of_a_killed_server_behind";
    as_child(test, async |lab| {
        lab.primary().kill().await.unwrap();
    });
    let (child, folder) = child(test);
    let file = fs::read_to_string(folder.join("db-0/data/postmaster.pid")).unwrap();
    let segment = file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let listed = || {
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        table.lines().any(|line| line.split_whitespace().nth(1) == Some(segment.as_str()))
    };
    assert!(listed(), "the killed server had no segment {segment}");
    nothing_survives(child, &folder);
    assert!(!listed(), "segment {segment} is left");
}

#[tokio::test]
async fn a_lab_that_is_dropped_is_gone_when_the_drop_returns() {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    let (folder, node) = (lab.folder().to_owned(), lab.primary().clone());
    drop(lab);
    assert_eq!(workers(&folder), Vec::<PathBuf>::new());
    assert!(!folder.exists());
    let error = node.ask("postgres", "select 1").await.unwrap_err().to_string();
    assert!(error.starts_with("the lab is down"), "{error}");
}

#[tokio::test]
async fn a_lab_that_is_given_up_while_it_comes_up_leaves_nothing_behind() {
    let parent = tempfile::Builder::new().permissions(open_to_all()).tempdir().unwrap();
    let coming = Lab::builder().parent_folder(parent.path()).up();
    let started = async {
        let data = || {
            let labs = fs::read_dir(parent.path()).unwrap().flatten();
            labs.map(|lab| lab.path().join("db-1/data/global")).any(|folder| folder.exists())
        };
        while !data() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = coming => panic!("it was up before the copy was seen"),
        () = started => (),
    }
    assert_eq!(workers(parent.path()), Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_is_kept_has_the_logs_and_no_server() {
    let parent = tempfile::Builder::new().permissions(open_to_all()).tempdir().unwrap();
    let lab =
        Lab::builder().replicas(0).parent_folder(parent.path()).folder(Folder::Keep).up().await.unwrap();
    let log = lab.primary().log_file();
    lab.down().await.unwrap();
    assert!(log.exists());
    assert_eq!(workers(parent.path()), Vec::<PathBuf>::new());
}

/// The user of the servers must be able to enter.
fn open_to_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}
