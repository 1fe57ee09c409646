//! What cannot be is said once, clearly, with the next step.

use std::net::TcpListener;

use millpond_lab::{Lab, LabBuilder};

async fn refused(builder: LabBuilder) -> String {
    builder.up().await.expect_err("this was to be refused").to_string()
}

#[tokio::test]
async fn a_folder_without_the_programs_is_an_error_that_says_how_to_install_them() {
    let error = refused(Lab::builder().binaries("/nowhere")).await;
    assert!(error.contains("/nowhere, lacks postgres, initdb, pg_basebackup"), "{error}");
    assert!(error.contains("apt-get install postgresql"), "{error}");
}

#[tokio::test]
async fn a_fixed_port_that_is_taken_is_named_with_its_node() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = refused(Lab::builder().replicas(0).port(port)).await;
    assert!(error.contains(&format!("port {port} for node db-0")), "{error}");
    assert!(error.contains("choose another port"), "{error}");
}

#[tokio::test]
async fn names_and_settings_that_cannot_be_are_refused_before_anything_starts() {
    let cases = [
        (Lab::builder().replicas(13), "12 are the most"),
        (Lab::builder().names(["one"]), "1 names for 3 nodes"),
        (Lab::builder().replicas(0).names(["a/b"]), "`a/b` cannot be a name"),
        (Lab::builder().replicas(1).names(["a", "a"]), "the same name"),
        (Lab::builder().setting("port", "1"), "leave it out"),
        (Lab::builder().node_setting("db-9", "work_mem", "1MB"), "no node `db-9`"),
        (Lab::builder().port(65_535), "not ports for all nodes"),
        (Lab::builder().password("postgres", "x"), "must stay trusted"),
    ];
    for (builder, part) in cases {
        let error = refused(builder).await;
        assert!(error.contains(part), "{error} does not say: {part}");
    }
}

#[tokio::test]
async fn a_setting_the_server_refuses_is_shown_from_its_log() {
    let error = refused(Lab::builder().replicas(0).setting("no_such_setting", "1")).await;
    assert!(error.contains("db-0") && error.contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn a_replica_that_does_not_start_is_named() {
    let error = refused(Lab::builder().replicas(1).node_setting("db-1", "no_such_setting", "1")).await;
    assert!(error.starts_with("db-1: the server ended during start"), "{error}");
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_named() {
    let error = refused(Lab::builder().parent_folder("/nowhere/at/all")).await;
    assert!(error.contains("/nowhere/at/all") && error.contains("MILLPOND_LAB_FOLDER"), "{error}");
}

#[tokio::test]
async fn a_node_that_does_not_exist_is_answered_with_those_that_do() {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    let error = lab.node("db-7").unwrap_err().to_string();
    assert_eq!(error, "there is no node `db-7`; the nodes are db-0, db-1");
}
