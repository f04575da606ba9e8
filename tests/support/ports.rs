//! Loopback addresses and ports that no other test, process or checkout on this machine uses.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// The port whose listener marks an address as taken.
const CLAIM_PORT: u16 = 47_389;

/// A port on 127.0.0.1 that was free a moment ago. For servers of the rig, [`Loopback`] is better: nobody can
/// take the port in between.
pub fn free() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a port of the kernel's choice");
    listener.local_addr().expect("the address just bound").port()
}

/// Whether something accepts connections there.
pub fn answers(address: impl Into<SocketAddr>) -> bool {
    TcpStream::connect_timeout(&address.into(), Duration::from_millis(500)).is_ok()
}

/// An address 127.x.y.z that is ours for as long as this value lives, machine-wide: all its ports are free.
///
/// A listener on one odd port of the address is the claim, so it ends with the process, whatever ends that.
/// (Samba's ports cannot be chosen; the address can.)
#[derive(Debug)]
pub struct Loopback {
    ip: Ipv4Addr,
    _claim: TcpListener,
}

impl Loopback {
    pub fn claim() -> Self {
        let mut seed = u64::from(std::process::id());
        for _ in 0..2_000 {
            let [.., x, y, z] = splitmix(&mut seed).to_be_bytes();
            // 127.0.x.x stays for the machine's own use, and .0 and .255 look like networks to some.
            let ip = Ipv4Addr::new(127, x.max(1), y, z.clamp(1, 254));
            if let Ok(claim) = TcpListener::bind((ip, CLAIM_PORT)) {
                return Self { ip, _claim: claim };
            }
        }
        panic!("no loopback address could be claimed");
    }

    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.ip, port))
    }
}

impl fmt::Display for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
