//! PostgreSQL's functions: those with an effect, and volatile ones that a standby runs without harm.

use super::Verdict;
use super::postgres_generated::READS;
use super::table::NameTable;
use crate::Effects;

static TABLE: NameTable = NameTable::new(EFFECTS, [READS, HARMLESS]);

/// What a call of a built-in does.
pub(super) fn verdict(name: &[u8]) -> Verdict {
    match TABLE.verdict(name) {
        Verdict::Reads if name.starts_with(b"pg_stat_get_") => LOCAL,
        known => known,
    }
}

/// Whether a view of the server's own shows what one server does at the moment: its statistics, locks, slots, files and
/// memory. A replica has others than the primary.
///
/// What only asks who answers, such as `pg_is_in_recovery()`, is no such thing: the answer is right wherever it comes from.
pub(crate) fn is_of_one_server(view: &[u8]) -> bool {
    const VIEWS: &[&str] = &[
        "pg_aios",
        "pg_backend_memory_contexts",
        "pg_file_settings",
        "pg_hba_file_rules",
        "pg_ident_file_mappings",
        "pg_locks",
        // A standby shows none.
        "pg_prepared_xacts",
        "pg_replication_origin_status",
        "pg_replication_slots",
        "pg_shmem_allocations",
        "pg_shmem_allocations_numa",
        // The schema of what tables keep apart, be they unlogged.
        "pg_toast",
    ];
    let starts =
        |prefix: &[u8]| view.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    starts(b"pg_stat_")
        || starts(b"pg_statio_")
        || VIEWS.iter().any(|name| view.eq_ignore_ascii_case(name.as_bytes()))
}

const WRITES: Verdict = Verdict::Writes(Effects::NONE);
const OUTSIDE: Verdict = Verdict::Writes(Effects::OUTSIDE);
/// It also leaves something in the server process of its connection.
const HELD: Verdict = Verdict::Writes(Effects::OUTSIDE.union(Effects::LOAD));
const ADVISORY: Verdict = Verdict::Session(Effects::ADVISORY_LOCK);
const OBJECT: Verdict = Verdict::Session(Effects::LARGE_OBJECT);
const VALUE: Verdict = Verdict::Session(Effects::SESSION_VALUE);
const SETTING: Verdict = Verdict::Session(Effects::SETTING);
/// It reads, and a standby refuses it or answers otherwise.
const PRIMARY: Verdict = Verdict::Primary;
const LOCAL: Verdict = Verdict::Local;

/// Functions with an effect, or with an answer that belongs to one session or one server.
///
/// Several are marked stable in the catalog and are no reads all the same: `txid_current()` assigns a transaction
/// number, `pg_backend_pid()` names a connection. The names of `dblink` are those of the extension; unknown ones
/// go to the primary anyway, but these reach another server, which is worth saying.
pub(crate) const EFFECTS: &[(&str, Verdict)] = &[
    ("binary_upgrade_add_sub_rel_state", WRITES),
    ("binary_upgrade_create_empty_extension", WRITES),
    ("binary_upgrade_logical_slot_has_caught_up", WRITES),
    ("binary_upgrade_replorigin_advance", WRITES),
    ("binary_upgrade_set_missing_value", WRITES),
    ("binary_upgrade_set_next_array_pg_type_oid", WRITES),
    ("binary_upgrade_set_next_heap_pg_class_oid", WRITES),
    ("binary_upgrade_set_next_heap_relfilenode", WRITES),
    ("binary_upgrade_set_next_index_pg_class_oid", WRITES),
    ("binary_upgrade_set_next_index_relfilenode", WRITES),
    ("binary_upgrade_set_next_multirange_array_pg_type_oid", WRITES),
    ("binary_upgrade_set_next_multirange_pg_type_oid", WRITES),
    ("binary_upgrade_set_next_pg_authid_oid", WRITES),
    ("binary_upgrade_set_next_pg_enum_oid", WRITES),
    ("binary_upgrade_set_next_pg_tablespace_oid", WRITES),
    ("binary_upgrade_set_next_pg_type_oid", WRITES),
    ("binary_upgrade_set_next_toast_pg_class_oid", WRITES),
    ("binary_upgrade_set_next_toast_relfilenode", WRITES),
    ("binary_upgrade_set_record_init_privs", WRITES),
    ("brin_desummarize_range", WRITES),
    ("brin_summarize_new_values", WRITES),
    ("brin_summarize_range", WRITES),
    ("currtid2", WRITES),
    ("currval", VALUE),
    ("cursor_to_xml", Verdict::Session(Effects::CURSOR)),
    ("cursor_to_xmlschema", Verdict::Session(Effects::CURSOR)),
    ("dblink", OUTSIDE),
    ("dblink_connect", HELD),
    ("dblink_connect_u", HELD),
    ("dblink_disconnect", OUTSIDE),
    ("dblink_exec", OUTSIDE),
    ("dblink_open", HELD),
    ("dblink_send_query", HELD),
    ("gin_clean_pending_list", WRITES),
    // Of the extension isn: declared immutable, and sets a mode of its session.
    ("isn_weak", SETTING),
    ("lastval", VALUE),
    ("lo_close", OBJECT),
    ("lo_creat", WRITES),
    ("lo_create", WRITES),
    ("lo_export", OUTSIDE),
    ("lo_from_bytea", WRITES),
    ("lo_import", OUTSIDE),
    ("lo_lseek", OBJECT),
    ("lo_lseek64", OBJECT),
    ("lo_open", OBJECT),
    ("lo_put", WRITES),
    ("lo_tell", OBJECT),
    ("lo_tell64", OBJECT),
    ("lo_truncate", Verdict::Writes(Effects::LARGE_OBJECT)),
    ("lo_truncate64", Verdict::Writes(Effects::LARGE_OBJECT)),
    ("lo_unlink", WRITES),
    ("loread", OBJECT),
    ("lowrite", Verdict::Writes(Effects::LARGE_OBJECT)),
    ("nextval", WRITES),
    ("pg_advisory_lock", ADVISORY),
    ("pg_advisory_lock_shared", ADVISORY),
    ("pg_advisory_unlock", ADVISORY),
    ("pg_advisory_unlock_all", ADVISORY),
    ("pg_advisory_unlock_shared", ADVISORY),
    ("pg_advisory_xact_lock", ADVISORY),
    ("pg_advisory_xact_lock_shared", ADVISORY),
    ("pg_available_wal_summaries", LOCAL),
    ("pg_backend_pid", VALUE),
    ("pg_backup_start", HELD),
    ("pg_backup_stop", HELD),
    ("pg_blocking_pids", LOCAL),
    ("pg_cancel_backend", OUTSIDE),
    ("pg_clear_attribute_stats", WRITES),
    ("pg_clear_relation_stats", WRITES),
    ("pg_conf_load_time", LOCAL),
    ("pg_control_checkpoint", LOCAL),
    ("pg_control_init", LOCAL),
    ("pg_control_recovery", LOCAL),
    ("pg_control_system", LOCAL),
    ("pg_copy_logical_replication_slot", HELD),
    ("pg_copy_physical_replication_slot", HELD),
    ("pg_create_logical_replication_slot", HELD),
    ("pg_create_physical_replication_slot", HELD),
    ("pg_create_restore_point", WRITES),
    ("pg_current_logfile", LOCAL),
    ("pg_current_wal_flush_lsn", PRIMARY),
    ("pg_current_wal_insert_lsn", PRIMARY),
    ("pg_current_wal_lsn", PRIMARY),
    ("pg_current_xact_id", WRITES),
    ("pg_current_xact_id_if_assigned", VALUE),
    ("pg_cursor", Verdict::Session(Effects::CURSOR)),
    // Of an unlogged relation a standby has nothing.
    ("pg_database_size", LOCAL),
    ("pg_drop_replication_slot", WRITES),
    ("pg_export_snapshot", Verdict::Session(Effects::TRANSACTION)),
    ("pg_extension_config_dump", WRITES),
    ("pg_get_aios", LOCAL),
    ("pg_get_backend_memory_contexts", LOCAL),
    ("pg_get_loaded_modules", LOCAL),
    ("pg_get_replication_slots", LOCAL),
    // A sequence on a standby runs ahead of the primary's.
    ("pg_get_sequence_data", PRIMARY),
    ("pg_get_shmem_allocations", LOCAL),
    ("pg_get_shmem_allocations_numa", LOCAL),
    ("pg_get_wal_summarizer_state", LOCAL),
    ("pg_hba_file_rules", LOCAL),
    ("pg_ident_file_mappings", LOCAL),
    ("pg_import_system_collations", WRITES),
    ("pg_indexes_size", LOCAL),
    ("pg_is_in_backup", LOCAL),
    ("pg_is_other_temp_schema", Verdict::Session(Effects::TEMPORARY)),
    ("pg_isolation_test_session_is_blocked", LOCAL),
    ("pg_listening_channels", Verdict::Session(Effects::LISTEN)),
    ("pg_lock_status", LOCAL),
    ("pg_log_backend_memory_contexts", OUTSIDE),
    ("pg_log_standby_snapshot", WRITES),
    ("pg_logical_emit_message", WRITES),
    ("pg_logical_slot_get_binary_changes", WRITES),
    ("pg_logical_slot_get_changes", WRITES),
    ("pg_logical_slot_peek_binary_changes", PRIMARY),
    ("pg_logical_slot_peek_changes", PRIMARY),
    ("pg_ls_archive_statusdir", LOCAL),
    ("pg_ls_dir", LOCAL),
    ("pg_ls_logdir", LOCAL),
    ("pg_ls_logicalmapdir", LOCAL),
    ("pg_ls_logicalsnapdir", LOCAL),
    ("pg_ls_replslotdir", LOCAL),
    ("pg_ls_summariesdir", LOCAL),
    ("pg_ls_tmpdir", LOCAL),
    ("pg_ls_waldir", LOCAL),
    ("pg_my_temp_schema", Verdict::Session(Effects::TEMPORARY)),
    ("pg_nextoid", WRITES),
    ("pg_notification_queue_usage", LOCAL),
    ("pg_notify", OUTSIDE),
    ("pg_postmaster_start_time", LOCAL),
    ("pg_prepared_statement", Verdict::Session(Effects::PREPARED)),
    ("pg_prepared_xact", PRIMARY),
    ("pg_promote", OUTSIDE),
    ("pg_read_binary_file", LOCAL),
    ("pg_read_file", LOCAL),
    ("pg_read_file_old", LOCAL),
    ("pg_relation_size", LOCAL),
    ("pg_reload_conf", OUTSIDE),
    ("pg_replication_origin_advance", WRITES),
    ("pg_replication_origin_create", WRITES),
    ("pg_replication_origin_drop", WRITES),
    ("pg_replication_origin_oid", PRIMARY),
    ("pg_replication_origin_progress", PRIMARY),
    ("pg_replication_origin_session_is_setup", VALUE),
    ("pg_replication_origin_session_progress", VALUE),
    ("pg_replication_origin_session_reset", Verdict::Writes(Effects::SETTING)),
    ("pg_replication_origin_session_setup", Verdict::Writes(Effects::LOAD)),
    ("pg_replication_origin_xact_reset", Verdict::Writes(Effects::SETTING)),
    ("pg_replication_origin_xact_setup", Verdict::Writes(Effects::SETTING)),
    ("pg_replication_slot_advance", WRITES),
    ("pg_restore_attribute_stats", WRITES),
    ("pg_restore_relation_stats", WRITES),
    ("pg_rotate_logfile", OUTSIDE),
    ("pg_rotate_logfile_old", OUTSIDE),
    ("pg_safe_snapshot_blocking_pids", LOCAL),
    ("pg_sequence_last_value", PRIMARY),
    ("pg_show_all_file_settings", LOCAL),
    ("pg_show_replication_origin_status", LOCAL),
    ("pg_start_backup", OUTSIDE),
    ("pg_stat_clear_snapshot", VALUE),
    ("pg_stat_file", LOCAL),
    ("pg_stat_force_next_flush", OUTSIDE),
    ("pg_stat_get_backend_io", LOCAL),
    ("pg_stat_get_backend_wal", LOCAL),
    ("pg_stat_get_io", LOCAL),
    ("pg_stat_get_recovery_prefetch", LOCAL),
    ("pg_stat_get_snapshot_timestamp", VALUE),
    ("pg_stat_get_xact_blocks_fetched", VALUE),
    ("pg_stat_get_xact_blocks_hit", VALUE),
    ("pg_stat_get_xact_function_calls", VALUE),
    ("pg_stat_get_xact_function_self_time", VALUE),
    ("pg_stat_get_xact_function_total_time", VALUE),
    ("pg_stat_get_xact_numscans", VALUE),
    ("pg_stat_get_xact_tuples_deleted", VALUE),
    ("pg_stat_get_xact_tuples_fetched", VALUE),
    ("pg_stat_get_xact_tuples_hot_updated", VALUE),
    ("pg_stat_get_xact_tuples_inserted", VALUE),
    ("pg_stat_get_xact_tuples_newpage_updated", VALUE),
    ("pg_stat_get_xact_tuples_returned", VALUE),
    ("pg_stat_get_xact_tuples_updated", VALUE),
    ("pg_stat_have_stats", LOCAL),
    ("pg_stat_reset", OUTSIDE),
    ("pg_stat_reset_backend_stats", OUTSIDE),
    ("pg_stat_reset_replication_slot", OUTSIDE),
    ("pg_stat_reset_shared", OUTSIDE),
    ("pg_stat_reset_single_function_counters", OUTSIDE),
    ("pg_stat_reset_single_table_counters", OUTSIDE),
    ("pg_stat_reset_slru", OUTSIDE),
    ("pg_stat_reset_subscription_stats", OUTSIDE),
    ("pg_stop_backup", OUTSIDE),
    ("pg_stop_making_pinned_objects", WRITES),
    ("pg_switch_wal", WRITES),
    ("pg_sync_replication_slots", WRITES),
    ("pg_table_size", LOCAL),
    ("pg_tablespace_size", LOCAL),
    ("pg_terminate_backend", OUTSIDE),
    ("pg_total_relation_size", LOCAL),
    ("pg_try_advisory_lock", ADVISORY),
    ("pg_try_advisory_lock_shared", ADVISORY),
    ("pg_try_advisory_xact_lock", ADVISORY),
    ("pg_try_advisory_xact_lock_shared", ADVISORY),
    ("pg_wal_replay_pause", OUTSIDE),
    ("pg_wal_replay_resume", OUTSIDE),
    ("pg_wal_summary_contents", LOCAL),
    ("pg_walfile_name", PRIMARY),
    ("pg_walfile_name_offset", PRIMARY),
    // A part of CREATE FUNCTION.
    ("plpgsql_validator", WRITES),
    // These run the text they are given.
    ("query_to_xml", WRITES),
    ("query_to_xml_and_xmlschema", WRITES),
    ("query_to_xmlschema", WRITES),
    ("set_config", SETTING),
    ("setseed", SETTING),
    ("setval", WRITES),
    ("ts_rewrite", WRITES),
    ("ts_stat", WRITES),
    ("txid_current", WRITES),
    ("txid_current_if_assigned", VALUE),
];

/// Volatile functions that read: a standby runs them, and leaves nothing behind. Reviewed one by one.
const HARMLESS: &[&str] = &[
    "amvalidate",
    "array_sample",
    "array_shuffle",
    "bernoulli",
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "lo_get",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_get_multixact_members",
    "pg_get_wait_events",
    "pg_get_wal_replay_pause_state",
    "pg_get_wal_resource_managers",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "random",
    "random_normal",
    "system",
    "timeofday",
    "timezone",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

#[cfg(test)]
mod tests {
    use super::super::postgres_generated::VOLATILE;
    use super::*;

    #[test]
    fn the_lists_are_sorted_so_that_people_find_names() {
        assert!(EFFECTS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(HARMLESS.is_sorted_by(|a, b| a < b));
        assert!(READS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn every_volatile_function_was_reviewed() {
        for name in VOLATILE {
            let is_reviewed = HARMLESS.contains(name) || EFFECTS.iter().any(|(known, _)| known == name);
            assert!(is_reviewed, "{name} is volatile, and in neither table");
        }
    }

    #[test]
    fn a_stable_function_with_an_effect_is_no_read() {
        for name in ["txid_current", "pg_current_xact_id", "pg_backend_pid", "pg_my_temp_schema"] {
            assert_ne!(verdict(name.as_bytes()), Verdict::Reads, "{name}");
            assert!(READS.contains(&name), "{name} is marked stable: the case is real");
        }
    }

    #[test]
    fn every_name_is_found_and_an_effect_goes_first() {
        for (name, effect) in EFFECTS {
            assert_eq!(verdict(name.as_bytes()), *effect, "{name}");
        }
        for name in READS.iter().chain(HARMLESS) {
            let has_effect =
                EFFECTS.iter().any(|(known, _)| known == name) || name.starts_with("pg_stat_get_");
            assert_eq!(verdict(name.as_bytes()) == Verdict::Reads, !has_effect, "{name}");
        }
    }

    #[test]
    fn a_name_on_no_list_is_unknown() {
        assert_eq!(verdict(b"no_such_function"), Verdict::Unknown);
        assert_eq!(verdict(b""), Verdict::Unknown);
    }
}
