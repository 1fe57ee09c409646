//! What `cargo metadata` says, as far as the checks need it.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace::Workspace;

/// The packages of the workspace, and who depends on whom in the whole tree.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// The workspace's own packages, in the order of `Cargo.toml`.
    pub(crate) members: Vec<Package>,
    /// By package name: the names of what it needs when it is built or run, not of what its tests need.
    pub(crate) graph: BTreeMap<String, Vec<String>>,
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) edition: String,
    pub(crate) rust_version: Option<String>,
    pub(crate) folder: PathBuf,
    pub(crate) published: bool,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) examples: Vec<String>,
}

/// One line of a package's dependencies.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
    /// Needed by tests, examples and benches only.
    pub(crate) dev: bool,
}

impl Metadata {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let text = workspace.cargo().words("metadata --format-version 1 --all-features").output()?;
        Self::parse(&text).context("cannot understand what `cargo metadata` says")
    }

    fn parse(text: &str) -> Result<Self> {
        let whole: Value = serde_json::from_str(text)?;
        let ours: Vec<&str> = list(&whole["workspace_members"]).filter_map(Value::as_str).collect();
        let mut names = BTreeMap::new();
        let mut members = Vec::new();
        for package in list(&whole["packages"]) {
            let id = text_of(package, "id")?;
            names.insert(id.clone(), text_of(package, "name")?);
            if let Some(place) = ours.iter().position(|ours| *ours == id) {
                members.push((place, Package::parse(package)?));
            }
        }
        members.sort_by_key(|(place, _)| *place);
        let mut graph: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in list(&whole["resolve"]["nodes"]) {
            let name = names.get(&text_of(node, "id")?).context("a node that is no package")?;
            let needs = list(&node["deps"])
                .filter(|dependency| list(&dependency["dep_kinds"]).any(|kind| !is_for_tests(kind)))
                .filter_map(|dependency| names.get(dependency["pkg"].as_str()?).cloned());
            // Two versions of a package are one here.
            graph.entry(name.clone()).or_default().extend(needs);
        }
        Ok(Self { members: members.into_iter().map(|(_, package)| package).collect(), graph })
    }

    pub(crate) fn member(&self, name: &str) -> Result<&Package> {
        let found = self.members.iter().find(|package| package.name == name);
        found.with_context(|| format!("the workspace has no package `{name}`"))
    }
}

impl Package {
    fn parse(package: &Value) -> Result<Self> {
        let manifest = PathBuf::from(text_of(package, "manifest_path")?);
        let examples = list(&package["targets"])
            .filter(|target| list(&target["kind"]).any(|kind| kind == "example"))
            .map(|target| text_of(target, "name"));
        Ok(Self {
            name: text_of(package, "name")?,
            version: text_of(package, "version")?,
            edition: text_of(package, "edition")?,
            rust_version: package["rust_version"].as_str().map(str::to_owned),
            folder: manifest.parent().context("a manifest without a folder")?.to_owned(),
            // No list of registries means all of them.
            published: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
            dependencies: list(&package["dependencies"]).map(Dependency::parse).collect::<Result<_>>()?,
            examples: examples.collect::<Result<_>>()?,
        })
    }
}

impl Dependency {
    fn parse(dependency: &Value) -> Result<Self> {
        Ok(Self {
            name: text_of(dependency, "name")?,
            features: list(&dependency["features"]).filter_map(Value::as_str).map(str::to_owned).collect(),
            dev: is_for_tests(dependency),
        })
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text_of(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("`{field}` is missing"))
}

/// Whether only tests have a dependency: those of the package, or the model checker's.
fn is_for_tests(dependency: &Value) -> bool {
    dependency["kind"] == "dev" || dependency["target"] == "cfg(shuttle)"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "workspace_members": ["b", "a"],
        "packages": [
            { "id": "a", "name": "lab", "version": "0.0.0", "edition": "2024", "publish": [],
              "manifest_path": "/r/lab/Cargo.toml", "dependencies": [],
              "targets": [{ "name": "first", "kind": ["example"] }, { "name": "lab", "kind": ["lib"] }] },
            { "id": "b", "name": "core", "version": "0.1.0", "edition": "2024", "rust_version": "1.85",
              "publish": null, "manifest_path": "/r/core/Cargo.toml", "targets": [],
              "dependencies": [{ "name": "tokio", "kind": null, "features": ["sync"] },
                               { "name": "lab", "kind": "dev", "features": [] }] },
            { "id": "c", "name": "tokio", "version": "1.0.0", "edition": "2021" }
        ],
        "resolve": { "nodes": [
            { "id": "b", "deps": [{ "pkg": "c", "dep_kinds": [{ "kind": null }, { "kind": "dev" }] },
                                  { "pkg": "a", "dep_kinds": [{ "kind": "dev" }] }] },
            { "id": "a", "deps": [] }, { "id": "c", "deps": [] }
        ] }
    }"#;

    #[test]
    fn members_are_read_in_order_with_what_the_checks_need() {
        let metadata = Metadata::parse(TEXT).unwrap();
        let names: Vec<_> = metadata.members.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["core", "lab"]);
        let (core, lab) = (metadata.member("core").unwrap(), metadata.member("lab").unwrap());
        assert!(core.published && !lab.published);
        assert_eq!(core.rust_version.as_deref(), Some("1.85"));
        assert_eq!(core.folder, PathBuf::from("/r/core"));
        assert_eq!(core.dependencies[0].features, ["sync"]);
        assert!(!core.dependencies[0].dev && core.dependencies[1].dev);
        assert_eq!(lab.examples, ["first"]);
    }

    #[test]
    fn the_graph_leaves_out_what_only_tests_need() {
        let metadata = Metadata::parse(TEXT).unwrap();
        assert_eq!(metadata.graph["core"], ["tokio"]);
    }
}
