//! Which system this is, and the one command there that installs PostgreSQL.

use std::{env, fs};

use crate::command::Cmd;

/// A system as far as installing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// Debian, Ubuntu or a relative, and we may install.
    DebianRoot,
    Debian,
    Fedora,
    Alpine,
    Arch,
    Suse,
    Mac,
    Unknown,
}

impl System {
    pub(super) fn find() -> Self {
        if env::consts::OS == "macos" {
            return Self::Mac;
        }
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        match Self::of(&release) {
            Self::Debian if is_root() => Self::DebianRoot,
            system => system,
        }
    }

    /// By the `ID` and `ID_LIKE` of `/etc/os-release`.
    fn of(release: &str) -> Self {
        let values = release.lines().filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            matches!(name, "ID" | "ID_LIKE").then(|| value.trim_matches('"'))
        });
        let mut systems = values.flat_map(str::split_whitespace).filter_map(|id| match id {
            "debian" | "ubuntu" => Some(Self::Debian),
            "fedora" | "rhel" | "centos" => Some(Self::Fedora),
            "alpine" => Some(Self::Alpine),
            "arch" => Some(Self::Arch),
            "suse" | "opensuse" => Some(Self::Suse),
            _ => None,
        });
        systems.next().unwrap_or(Self::Unknown)
    }

    pub(super) fn command(self) -> &'static str {
        match self {
            Self::DebianRoot => "apt-get install --yes --no-install-recommends postgresql",
            Self::Debian => "sudo apt-get install --no-install-recommends postgresql",
            Self::Fedora => "sudo dnf install postgresql-server",
            Self::Alpine => "sudo apk add postgresql17 postgresql17-client",
            Self::Arch => "sudo pacman -S postgresql",
            Self::Suse => "sudo zypper install postgresql-server",
            Self::Mac => "brew install postgresql@17",
            Self::Unknown => {
                "(the command of your system that installs the PostgreSQL 15 server or a later one)"
            }
        }
    }
}

fn is_root() -> bool {
    Cmd::new("id").args(["-u"]).output().is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_known_by_its_id_or_by_what_it_is_like() {
        assert_eq!(System::of("NAME=\"Debian\"\nID=debian\n"), System::Debian);
        assert_eq!(System::of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), System::Debian);
        assert_eq!(System::of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), System::Fedora);
        assert_eq!(System::of("ID=alpine\n"), System::Alpine);
        assert_eq!(System::of("VERSION_ID=debian\n"), System::Unknown);
    }

    #[test]
    fn every_system_has_one_command_and_only_root_goes_without_sudo() {
        assert!(System::Debian.command().starts_with("sudo apt-get install"));
        assert!(System::DebianRoot.command().starts_with("apt-get install"));
        assert_eq!(System::Mac.command(), "brew install postgresql@17");
    }
}
