//! What the administrator has written down: the config, as a file is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use idcsync::config::Config;
use idcsync::model::Capabilities;

use super::server::{BASE, FIRST, SECOND};
use super::store::STORE;

/// How the target is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Api,
    /// The API, and SCIM beside it to disable.
    Both,
    Scim,
}

impl Way {
    pub fn capabilities(self) -> Capabilities {
        let scim = self == Self::Scim;
        Capabilities {
            writes_external_id: scim,
            finds_external_id: scim,
            has_group_description: !scim,
            disables: self != Self::Api,
            membership_batch: if scim { 100 } else { 1 },
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub way: Way,
    pub groups: Vec<String>,
    /// Those of them that are read through, and not written.
    pub containers: BTreeSet<String>,
    pub users: Vec<String>,
    pub nested: bool,
    pub disable_days: u32,
    pub delete_days: u32,
    /// Where the target cannot disable.
    pub method: &'static str,
    /// The least that the guard lets through: so that approvals are part of most histories, and of some not.
    pub strict: bool,
    /// Most reads are of what has changed.
    pub incremental: bool,
}

impl Settings {
    pub fn text(&self) -> String {
        let list =
            |names: &[String]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let group = |name: &String| match self.containers.contains(name) {
            true => format!("{{ group = {name:?}, write = false }}"),
            false => format!("{name:?}"),
        };
        let groups: Vec<String> = self.groups.iter().map(group).collect();
        let mut text = format!(
            "profile = \"corp\"\n\
             [directory]\nkind = \"active-directory\"\nurls = [\"{FIRST}\", \"{SECOND}\"]\nbase-dn = \"{BASE}\"\n\
             bind = {{ dn = \"CN=svc,{BASE}\", password-file = \"password\" }}\n\
             allow-plaintext = true\npage-size = 6\n\
             [scope]\ngroups = [{}]\nusers = [{}]\nnested-groups = \"{}\"\n\
             [mapping.user]\n\"nickName\" = \"${{objectguid}}\"\n\"title\" = \"${{title}}\"\n",
            groups.join(", "),
            list(&self.users),
            if self.nested { "flatten" } else { "direct" },
        );
        if self.way != Way::Scim {
            text.push_str("[mapping.group]\n\"description\" = \"${objectguid}\"\n");
        }
        let scim = "scim = { url = \"https://scim.eu-west-1.amazonaws.com/T/scim/v2\", token-file = \"password\" }\n";
        let _ = match self.way {
            Way::Api => writeln!(
                text,
                "[target]\nkind = \"identity-store\"\nidentity-store-id = \"{STORE}\"\nregion = \"eu-west-1\""
            ),
            Way::Both => write!(
                text,
                "[target]\nkind = \"identity-store\"\nidentity-store-id = \"{STORE}\"\nregion = \"eu-west-1\"\n{scim}"
            ),
            Way::Scim => write!(text, "[target]\nkind = \"scim\"\nidentity-store-id = \"{STORE}\"\n{scim}"),
        };
        text.push_str("protect = [\"AWSControlTowerAdmins\", \"break-glass@corp.example\"]\n");
        let _ = writeln!(
            text,
            "[lifecycle]\ndisable-after = \"{}d\"\ndelete-after = \"{}d\"",
            self.disable_days, self.delete_days
        );
        if self.way == Way::Api {
            let _ = writeln!(text, "disable-method = {:?}", self.method);
        }
        if !self.strict {
            text.push_str(
                "[guard]\nmax-percent = 100\nmax-deletes = 1000\nmax-disables = 1000\nmax-removals = 1000\n\
                 max-renames = 1000\nmax-growth = 1000\n",
            );
        }
        if self.incremental {
            text.push_str("[schedule]\nfull-read-every = \"5d\"\n");
        } else {
            text.push_str("[schedule]\n");
        }
        text.push_str("drift-check = \"24h\"\n[state]\nurl = \"sqlite:state.db\"\n");
        text
    }

    pub fn config(&self, dir: &Path) -> Config {
        match Config::from_bytes(self.text().as_bytes(), &dir.join("config.toml")) {
            Ok(config) => config,
            Err(error) => panic!("{:?}\n{}", error.diagnostics(), self.text()),
        }
    }
}
