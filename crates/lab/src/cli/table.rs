//! The status of a lab as a table.

use millpond_lab::{NodeStatus, Replay};

const HEAD: [&str; 11] = [
    "NODE", "ROLE", "STATE", "PORT", "DIRECT", "TIMELINE", "RECEIVED", "REPLAYED", "BEHIND", "REPLAY",
    "FAULTS",
];

pub(crate) fn of(nodes: &[NodeStatus]) -> String {
    let head = HEAD.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(nodes.iter().map(row)).collect();
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let line = |row: &[String; HEAD.len()]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What is not known is a dash and never a zero.
fn row(node: &NodeStatus) -> [String; HEAD.len()] {
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let replay = node.replay.map(|replay| match replay {
        Replay::Paused => "paused".to_owned(),
        _ => "active".to_owned(),
    });
    let mut faults = Vec::new();
    for (way, condition) in [("clients", node.network), ("replication", node.replication)] {
        if condition != millpond_lab::Condition::Clear {
            faults.push(format!("{way} {condition}"));
        }
    }
    let faults = (!faults.is_empty()).then(|| faults.join(", "));
    [
        node.name.clone(),
        known(node.role.map(|role| role.to_string())),
        node.running.to_string(),
        node.port.to_string(),
        node.direct_port.to_string(),
        known(node.timeline.map(|timeline| timeline.to_string())),
        known(node.received.map(|lsn| lsn.to_string())),
        known(node.replayed.map(|lsn| lsn.to_string())),
        known(node.behind.map(|bytes| format!("{bytes} B"))),
        known(replay),
        known(faults),
    ]
}
