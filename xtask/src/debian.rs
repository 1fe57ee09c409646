//! Programs of Debian's packages, unpacked beside the system's: their files go into a folder of their own and touch nothing else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::command::Cmd;

/// What is unpacked together.
#[derive(Debug)]
pub(crate) struct Packages {
    /// Debian's suites that have them.
    pub(crate) suites: &'static [&'static str],
    /// The programs and the libraries that they load, those of the C library included.
    pub(crate) names: &'static str,
    /// Those of which the newest version counts, also from a suite that apt would not take by itself.
    pub(crate) newest: &'static str,
}

/// A folder with what was unpacked.
#[derive(Debug)]
pub(crate) struct Unpacked {
    root: PathBuf,
    loader: PathBuf,
}

impl Packages {
    /// Fetches them with the mirror and keys that this machine has.
    pub(crate) fn unpack(&self, folder: &Path) -> Result<Unpacked> {
        let root = folder.join("root");
        let archives = folder.join("packages");
        // What a try before left half done would stay among them.
        for leftover in [&root, &archives].into_iter().filter(|leftover| leftover.exists()) {
            fs::remove_dir_all(leftover).with_context(|| format!("cannot remove {}", leftover.display()))?;
        }
        for part in ["lists/partial", "cache/archives/partial", "etc", "packages", "root"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        let settings = self.write_settings(folder)?;
        let apt = || Cmd::new("apt-get").folder(&archives).env("APT_CONFIG", &settings);
        apt().words("update --quiet").run()?;
        apt().words("download --quiet").words(self.names).run()?;
        for package in fs::read_dir(&archives)? {
            let package = package?.path();
            Cmd::new("dpkg-deb").args(["-x".as_ref(), package.as_os_str(), root.as_os_str()]).run()?;
        }
        let loader = find_loader(&root)?;
        Ok(Unpacked { root, loader })
    }

    /// Settings of apt by which it reads and writes nothing of the system's.
    fn write_settings(&self, folder: &Path) -> Result<PathBuf> {
        let shown = folder.display();
        let mirror = mirror();
        let source = |suite| {
            format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n")
        };
        let sources: String = self.suites.iter().map(source).collect();
        fs::write(folder.join("etc/sources.list"), sources)?;
        let pin = |name| format!("Package: {name}\nPin: release o=Debian\nPin-Priority: 990\n\n");
        let pins: String = self.newest.split_whitespace().map(pin).collect();
        fs::write(folder.join("etc/preferences"), pins)?;
        let settings = format!(
            "Dir::Etc::sourcelist \"{shown}/etc/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"{shown}/etc/preferences\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::State::lists \"{shown}/lists\";\nDir::Cache \"{shown}/cache\";\n\
             Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nAcquire::Languages \"none\";\n\
             APT::Sandbox::User \"root\";\n"
        );
        let file = folder.join("etc/apt.conf");
        fs::write(&file, settings)?;
        Ok(file)
    }
}

impl Unpacked {
    /// Where something unpacked is, by its path in the package.
    pub(crate) fn path(&self, within: &str) -> PathBuf {
        self.root.join(within)
    }

    /// Writes a script that runs a program with the loader and the libraries that came with it. A program that is told its own name by
    /// the system finds the script's there, and what it looks for beside that.
    pub(crate) fn write_script(&self, script: &Path, program: &Path) -> Result<()> {
        let libraries = self.loader.parent().context("a file without a folder")?.display();
        let (loader, name, program) = (self.loader.display(), script.display(), program.display());
        let text = format!(
            "#!/bin/sh\nexec '{loader}' --argv0 '{name}' --library-path '{libraries}' '{program}' \"$@\"\n"
        );
        fs::write(script, text).with_context(|| format!("cannot write {name}"))?;
        fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Puts such a script in the place of a program, which is called `NAME.real` from then on.
    pub(crate) fn wrap(&self, program: &Path) -> Result<()> {
        let real = program.with_extension("real");
        fs::rename(program, &real).with_context(|| format!("cannot rename {}", program.display()))?;
        self.write_script(program, &real)
    }
}

/// The loader of the unpacked libraries, beside them.
fn find_loader(root: &Path) -> Result<PathBuf> {
    let libraries = root.join("usr/lib");
    for folder in fs::read_dir(&libraries)? {
        let folder = folder?.path();
        for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with("ld-linux") {
                return Ok(file.path());
            }
        }
    }
    bail!("{} has no loader", libraries.display())
}

/// Where this machine gets its packages from.
fn mirror() -> String {
    let files = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let mirrors: Vec<_> = texts.filter_map(|text| mirror_in(&text).map(str::to_owned)).collect();
    mirrors.into_iter().next().unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

/// The first one in a list of sources, of either form.
fn mirror_in(text: &str) -> Option<&str> {
    let sources = text.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    let mut words = sources.flat_map(str::split_whitespace);
    words.find(|word| word.starts_with("http") && word.contains("debian") && !word.contains("security"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_found_in_either_form() {
        let new = "Types: deb\n# http://snapshot.debian.org/x\nURIs: http://deb.debian.org/debian\nSuites: bookworm\n";
        assert_eq!(mirror_in(new), Some("http://deb.debian.org/debian"));
        let old =
            "# deb http://old.debian.org/debian\ndeb [arch=amd64] https://my.mirror/debian bookworm main\n";
        assert_eq!(mirror_in(old), Some("https://my.mirror/debian"));
        assert_eq!(mirror_in("deb http://deb.debian.org/debian-security bookworm-security main"), None);
    }
}
