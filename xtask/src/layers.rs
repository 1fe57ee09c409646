//! `check-layers`: every crate uses only what the table allows, and the table in the documents is the same.

mod page;
mod source;
mod table;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Result, bail};

use crate::{
    metadata::{Dependency, Metadata, Package},
    workspace::Workspace,
};
use table::{LAYERS, Layer, OUTSIDE, Uses};

/// What the table is kept in, for messages.
const HERE: &str = "xtask/src/layers/table.rs";

/// Check every crate's dependencies against the layer table, and the copy of it in docs/architecture.md.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Write the table into docs/architecture.md, between its markers
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let metadata = Metadata::read(workspace)?;
    let mut wrong = violations(&metadata);
    wrong.extend(source::violations(workspace, &metadata)?);
    wrong.extend(page::check(workspace, options.fix)?);
    if wrong.is_empty() {
        println!("{} crates keep to the layers.", LAYERS.len());
        return Ok(());
    }
    for line in &wrong {
        println!("- {line}");
    }
    bail!("{} against the layers of {HERE}", wrong.len());
}

fn violations(metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    for layer in
        LAYERS.iter().filter(|layer| !metadata.members.iter().any(|member| member.name == layer.name))
    {
        wrong.push(format!(
            "{} is in the layer table and not in the workspace: take it out of {HERE}",
            layer.name
        ));
    }
    for package in metadata.members.iter().filter(|package| package.published) {
        match LAYERS.iter().find(|layer| layer.name == package.name) {
            Some(layer) => {
                wrong.extend(direct(package, layer));
                wrong.extend(reached(layer, &metadata.graph));
            }
            None => wrong.push(format!(
                "{} is published and not in the layer table: add it to {HERE}, or say `publish = false`",
                package.name
            )),
        }
    }
    wrong
}

/// What the crate names in its own Cargo.toml.
fn direct(package: &Package, layer: &Layer) -> Vec<String> {
    let needed = package.dependencies.iter().filter(|dependency| !dependency.dev);
    needed.filter_map(|dependency| refused(dependency, layer)).collect()
}

fn refused(dependency: &Dependency, layer: &Layer) -> Option<String> {
    let (name, krate, why) = (&dependency.name, layer.name, layer.why);
    if OUTSIDE.contains(&name.as_str()) {
        return Some(format!(
            "{krate} depends on {name}. Rule: {name} is for tests and is no dependency of a published crate"
        ));
    }
    if let Some(ban) = layer.never.iter().find(|ban| ban.crates.contains(&name.as_str())) {
        return Some(format!("{krate} depends on {name}. Rule: {krate} never uses {}. {why}", ban.what));
    }
    let Uses::Only(uses) = layer.uses else { return None };
    let Some(allowed) = uses.iter().find(|used| used.name == name) else {
        let names: Vec<_> = uses.iter().map(|used| used.name).collect();
        return Some(format!(
            "{krate} depends on {name}. Rule: {krate} uses only {}. {why}",
            names.join(", ")
        ));
    };
    let features = allowed.features?;
    let feature = dependency.features.iter().find(|feature| !features.contains(&feature.as_str()))?;
    Some(format!(
        "{krate} asks for the feature `{feature}` of {name}. Rule: {krate} uses only {} of it. {why}",
        features.join(", ")
    ))
}

/// What the crate gets through others.
fn reached(layer: &Layer, graph: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for ban in layer.never {
        for banned in ban.crates {
            // A direct dependency has its own message.
            if let Some(way) = way(graph, layer.name, banned).filter(|way| way.len() > 2) {
                let (name, what, why) = (layer.name, ban.what, layer.why);
                wrong.push(format!(
                    "{name} reaches {banned} ({}). Rule: {name} never uses {what}. {why}",
                    way.join(" → ")
                ));
            }
        }
    }
    wrong
}

/// The shortest way from one crate to another.
fn way<'a>(graph: &'a BTreeMap<String, Vec<String>>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = VecDeque::from([vec![from]]);
    while let Some(way) = ways.pop_front() {
        let last = way.last()?;
        if *last == to {
            return Some(way);
        }
        for next in graph.get(*last).into_iter().flatten() {
            if seen.insert(next) {
                ways.push_back([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(name: &str, features: &[&str]) -> Dependency {
        let features = features.iter().map(|feature| (*feature).to_owned()).collect();
        Dependency { name: name.to_owned(), features, dev: false }
    }

    fn layer(name: &str) -> &'static Layer {
        LAYERS.iter().find(|layer| layer.name == name).unwrap()
    }

    #[test]
    fn a_forbidden_dependency_is_named_with_its_crate_and_the_rule() {
        let said = refused(&dependency("tokio", &[]), layer("millpond-core")).unwrap();
        assert!(
            said.starts_with("millpond-core depends on tokio. Rule: millpond-core never uses tokio"),
            "{said}"
        );
        let said = refused(&dependency("bytes", &[]), layer("millpond-core")).unwrap();
        assert!(said.contains("uses only serde, thiserror"), "{said}");
        let said = refused(&dependency("millpond-lab", &[]), layer("millpond")).unwrap();
        assert!(said.contains("no dependency of a published crate"), "{said}");
    }

    #[test]
    fn the_pool_has_no_network() {
        let pool = layer("millpond-pool");
        assert_eq!(refused(&dependency("tokio", &["sync", "time", "rt"]), pool), None);
        let said = refused(&dependency("tokio", &["sync", "net"]), pool).unwrap();
        assert!(said.contains("the feature `net` of tokio"), "{said}");
    }

    #[test]
    fn a_driver_behind_another_crate_is_found_with_the_way_to_it() {
        let edge = |from: &str, to: &str| (from.to_owned(), vec![to.to_owned()]);
        let graph = BTreeMap::from([edge("millpond-cluster", "helper"), edge("helper", "tokio-postgres")]);
        let said = reached(layer("millpond-cluster"), &graph);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("millpond-cluster → helper → tokio-postgres"), "{}", said[0]);
    }

    #[test]
    fn the_table_does_not_allow_what_it_forbids() {
        for layer in LAYERS {
            let Uses::Only(uses) = layer.uses else { continue };
            for used in uses {
                let banned = layer.never.iter().any(|ban| ban.crates.contains(&used.name));
                assert!(!banned, "{} may and may not use {}", layer.name, used.name);
            }
        }
    }
}
