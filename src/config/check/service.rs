//! `[service]` and `[metrics]`: how the service can be reached, and where a run by itself leaves its numbers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::directory::{TOKEN, secret};
use crate::config::raw::{Reader, Section, shown};
use crate::config::settings::ServiceSettings;
use crate::config::values::{MINUTE, SECOND};

const DEFAULT_PORT: u16 = 8080;
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

pub(super) fn read<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<ServiceSettings> {
    let listen = listen(r, section);
    let token = secret(r, section, &TOKEN);
    let grace = section.duration(r, "grace", SECOND..=10 * MINUTE).unwrap_or(DEFAULT_GRACE);
    Some(ServiceSettings { listen: listen?, token, grace })
}

fn listen<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<SocketAddr> {
    if !section.has("listen") {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
    }
    let text = section.string(r, "listen", "an address and a port")?;
    match text.value.parse::<SocketAddr>() {
        Ok(address) => {
            if address.port() == 0 {
                r.warn(text.span, "with port 0 the system chooses one, which `idcsync health` cannot know")
                    .label("port 0");
            }
            Some(address)
        }
        Err(_) => {
            r.error(text.span, format!("`listen` is no address with a port: \"{}\"", shown(text.value)))
                .label("no address with a port")
                .help(
                    "such as \"127.0.0.1:8080\" or \"[::1]:8080\"; \"0.0.0.0:8080\" for all; no host names",
                );
            None
        }
    }
}

/// Of a node exporter's textfile collector, which takes up no other names.
pub(super) fn textfile<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<PathBuf> {
    let path = section.path(r, "textfile")?;
    if path.extension().is_none_or(|extension| extension != "prom") {
        let span = section.value("textfile").map_or(section.at.clone(), |value| value.span);
        r.warn(span, "a node exporter reads only files whose names end in .prom").label("not .prom");
    }
    Some(path)
}
