//! A relay before a server that breaks what passes through it: at a byte of what the server sends, or at a request of
//! the client. Every byte in between is the server's own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// How long a test waits for its fault. Generous: test machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// An orderly end (FIN), in the middle of whatever it is.
    End,
    /// RST.
    Reset,
    /// Silence, until [`Proxy::pass`].
    Stall,
    /// It goes on after this time.
    Delay(Duration),
    /// Nothing: the test is told, and that is all.
    Tell,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Pass,
    /// After so many bytes from the server, counted over all connections since the rule was made.
    Bytes {
        after: usize,
        how: How,
    },
    /// What the server answers to the nth request with these bytes in it. The server has done what was asked.
    Answer {
        needle: &'static [u8],
        nth: usize,
        how: How,
    },
    /// That request itself: the server does not see it.
    Request {
        needle: &'static [u8],
        nth: usize,
        how: How,
    },
}

/// A running relay; refuses new connections once dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: Mutex<SocketAddr>,
    /// The server's side takes in so few bytes ahead.
    narrow: Option<usize>,
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
}

#[derive(Debug)]
struct State {
    rule: Rule,
    /// Connections that are made after the fault pass.
    once: bool,
    /// From the server, since the rule was made.
    passed: usize,
    /// Requests with the needle.
    seen: usize,
    tripped: usize,
    generation: u64,
    recorded: Option<Vec<u8>>,
    connections: usize,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Has the answer to a marked request to come.
    doomed: Mutex<Option<How>>,
    closed: AtomicBool,
}

impl Proxy {
    pub fn start(to: SocketAddr) -> Self {
        Self::build(to, None)
    }

    /// That takes in few bytes ahead of its client, so that a server that has more to say waits.
    pub fn start_narrow(to: SocketAddr, bytes: usize) -> Self {
        Self::build(to, Some(bytes))
    }

    fn build(to: SocketAddr, narrow: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = State {
            rule: Rule::Pass,
            once: false,
            passed: 0,
            seen: 0,
            tripped: 0,
            generation: 0,
            recorded: None,
            connections: 0,
        };
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            narrow,
            state: Mutex::new(state),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || relay(client, &shared));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are made from now on go there.
    pub fn lead_to(&self, to: SocketAddr) {
        *self.shared.to.lock().expect("an address") = to;
    }

    /// Everything passes from now on; what was stalled goes on.
    pub fn pass(&self) {
        self.set(Rule::Pass, false);
    }

    /// The fault comes after so many bytes from the server. `once`: what is connected later passes.
    pub fn after_bytes(&self, after: usize, how: How, once: bool) {
        self.set(Rule::Bytes { after, how }, once);
    }

    /// The fault comes instead of the server's answer to the nth request with `needle` in it; other connections pass.
    pub fn at_answer(&self, needle: &'static [u8], nth: usize, how: How) {
        self.set(Rule::Answer { needle, nth, how }, true);
    }

    /// The fault comes instead of that request; other connections pass.
    pub fn at_request(&self, needle: &'static [u8], nth: usize, how: How) {
        self.set(Rule::Request { needle, nth, how }, true);
    }

    /// Passes and counts requests with `needle` in them.
    pub fn count(&self, needle: &'static [u8]) {
        self.set(Rule::Answer { needle, nth: usize::MAX, how: How::Tell }, true);
    }

    /// Requests with the needle since the rule was made.
    pub fn seen(&self) -> usize {
        self.lock().seen
    }

    /// How often the fault has come.
    pub fn tripped(&self) -> usize {
        self.lock().tripped
    }

    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Waits for the fault; false if `over` is true before it comes.
    pub fn wait(&self, mut over: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        let mut state = self.lock();
        while state.tripped == 0 {
            assert!(begun.elapsed() < PATIENCE, "the fault never comes: {:?}", state.rule);
            drop(state);
            if over() {
                return self.tripped() > 0;
            }
            state =
                self.shared.changed.wait_timeout(self.lock(), Duration::from_millis(5)).expect("a lock").0;
        }
        true
    }

    /// What the server sent while `work` ran, all connections one after the other.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<u8>) {
        self.pass();
        self.lock().recorded = Some(Vec::new());
        let result = work();
        let recorded = self.lock().recorded.take().expect("a record was begun");
        (result, recorded)
    }

    fn set(&self, rule: Rule, once: bool) {
        let mut state = self.lock();
        state.rule = rule;
        state.once = once;
        state.passed = 0;
        state.seen = 0;
        state.tripped = 0;
        state.generation += 1;
        drop(state);
        self.shared.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the relay's state")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.pass();
        // The listener looks up when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

fn relay(client: TcpStream, shared: &Arc<Shared>) {
    let Ok(server) = connect(shared) else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    shared.state.lock().expect("the relay's state").connections += 1;
    let connection =
        Arc::new(Connection { client, server, doomed: Mutex::new(None), closed: AtomicBool::new(false) });
    let (up, of_up) = (Arc::clone(&connection), Arc::clone(shared));
    let pump = std::thread::spawn(move || of_up.requests(&up));
    shared.answers(&connection);
    close(&connection, shared);
    let _ = pump.join();
}

fn connect(shared: &Shared) -> std::io::Result<TcpStream> {
    let to = *shared.to.lock().expect("an address");
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
    if let Some(bytes) = shared.narrow {
        // Before the connection: the window is agreed upon then.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect(&to.into())?;
    Ok(socket.into())
}

fn close(connection: &Connection, shared: &Shared) {
    if connection.closed.swap(true, Ordering::SeqCst) {
        return;
    }
    let _ = connection.server.shutdown(Shutdown::Both);
    let _ = connection.client.shutdown(Shutdown::Write);
    // Wakes the other direction without a word to the client.
    let _ = connection.client.shutdown(Shutdown::Read);
    shared.changed.notify_all();
}

/// The client sees RST as soon as both directions have let go of it.
fn reset(connection: &Connection, shared: &Shared) {
    let _ = SockRef::from(&connection.client).set_linger(Some(Duration::ZERO));
    connection.closed.store(true, Ordering::SeqCst);
    let _ = connection.server.shutdown(Shutdown::Both);
    let _ = connection.client.shutdown(Shutdown::Read);
    shared.changed.notify_all();
}

impl Shared {
    /// From the client to the server.
    fn requests(&self, connection: &Connection) {
        let mut buffer = vec![0; 1 << 16];
        // The end of what came before: a needle may be cut in two.
        let mut tail: Vec<u8> = Vec::new();
        loop {
            let count = match (&connection.client).read(&mut buffer) {
                Ok(count) if count > 0 => count,
                _ => break,
            };
            let fault = self.at_request(&buffer[..count], &mut tail);
            if let Some((how, false)) = fault
                && !self.strike(how, connection)
            {
                return;
            }
            if let Some((how, true)) = fault {
                *connection.doomed.lock().expect("a mark") = Some(how);
            }
            if (&connection.server).write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // Whatever the server has to say to this end, nobody hears it.
        connection.closed.store(true, Ordering::SeqCst);
        let _ = connection.server.shutdown(Shutdown::Both);
        self.changed.notify_all();
    }

    /// Looks for the needle; the fault that is due, and whether it comes with the answer.
    fn at_request(&self, bytes: &[u8], tail: &mut Vec<u8>) -> Option<(How, bool)> {
        let mut state = self.state.lock().expect("the relay's state");
        let (needle, nth, how, with_answer) = match state.rule {
            Rule::Answer { needle, nth, how } => (needle, nth, how, true),
            Rule::Request { needle, nth, how } => (needle, nth, how, false),
            Rule::Pass | Rule::Bytes { .. } => return None,
        };
        let text = [tail.as_slice(), bytes].concat();
        let found = text.windows(needle.len()).filter(|window| *window == needle).count();
        *tail = text[text.len().saturating_sub(needle.len() - 1)..].to_vec();
        let before = state.seen;
        state.seen += found;
        (before < nth && nth <= state.seen).then_some((how, with_answer))
    }

    /// From the server to the client.
    fn answers(&self, connection: &Connection) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match (&connection.server).read(&mut buffer) {
                Ok(count) if count > 0 => count,
                _ => return,
            };
            if let Some(how) = connection.doomed.lock().expect("a mark").take() {
                if how == How::Tell {
                    let _ = (&connection.client).write_all(&buffer[..count]);
                    self.trip();
                    continue;
                }
                if !self.strike(how, connection) {
                    return;
                }
            }
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                let (now, how) = self.share(rest.len());
                let (first, second) = rest.split_at(now);
                if (&connection.client).write_all(first).is_err() {
                    return;
                }
                let mut state = self.state.lock().expect("the relay's state");
                if let Some(recorded) = &mut state.recorded {
                    recorded.extend(first);
                }
                drop(state);
                rest = second;
                if let Some(how) = how
                    && !self.strike(how, connection)
                {
                    return;
                }
            }
        }
    }

    /// How many of so many bytes pass, and what happens then.
    fn share(&self, count: usize) -> (usize, Option<How>) {
        let mut state = self.state.lock().expect("the relay's state");
        let Rule::Bytes { after, how } = state.rule else {
            return (count, None);
        };
        if state.tripped > 0 && (state.once || matches!(how, How::Delay(_) | How::Tell)) {
            return (count, None);
        }
        let left = after.saturating_sub(state.passed);
        if count < left {
            state.passed += count;
            return (count, None);
        }
        state.passed = after;
        (left, Some(how))
    }

    fn trip(&self) {
        self.state.lock().expect("the relay's state").tripped += 1;
        self.changed.notify_all();
    }

    /// Does it; false where the connection is over.
    fn strike(&self, how: How, connection: &Connection) -> bool {
        let generation = self.state.lock().expect("the relay's state").generation;
        match how {
            How::End => {
                close(connection, self);
                self.trip();
                false
            }
            How::Reset => {
                reset(connection, self);
                self.trip();
                false
            }
            How::Tell => {
                self.trip();
                true
            }
            How::Delay(time) => {
                self.trip();
                std::thread::sleep(time);
                true
            }
            How::Stall => {
                self.trip();
                let mut state = self.state.lock().expect("the relay's state");
                while state.generation == generation {
                    if connection.closed.load(Ordering::SeqCst) {
                        return false;
                    }
                    state = self.changed.wait_timeout(state, Duration::from_millis(50)).expect("a lock").0;
                }
                !connection.closed.load(Ordering::SeqCst)
            }
        }
    }
}
