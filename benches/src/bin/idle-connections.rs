//! What a connection costs that does nothing: starts serve-server, opens connections to it, asks each for one thing, and
//! says by how much the server's memory grew, plain and under TLS. At the end every one of them must still answer.
//!
//! `idle-connections target/release/serve-server [COUNT]`
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::ServerName;
use serve_benches::memory::resident_of;

type Failure = Box<dyn Error>;

const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ANSWER: &[u8] = b"\"status\":\"live\"}";

/// How long all of them are silent before they are measured again.
const SILENCE: Duration = Duration::from_secs(12);

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

/// A server that ends with this.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("expected the path of serve-server")?;
    let count: usize = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let folder = tempfile::tempdir()?;
    let paper = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, paper.cert.pem())?;
    std::fs::write(&key, paper.signing_key.serialize_pem())?;
    let tls = format!("{{ cert: {}, key: {} }}", cert.display(), key.display());
    let mut roots = RootCertStore::empty();
    roots.add(paper.cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
    measure("plain", &start(&program, &[], count)?, count, |address| {
        Ok(Box::new(TcpStream::connect(address)?))
    })?;
    measure("TLS", &start(&program, &[("SERVE__HTTP__TLS", &tls)], count)?, count, |address| {
        let connection = ClientConnection::new(Arc::clone(&client), ServerName::try_from("localhost")?)?;
        Ok(Box::new(StreamOwned::new(connection, TcpStream::connect(address)?)))
    })
}

fn start(program: &str, settings: &[(&str, &str)], count: usize) -> Result<Server, Failure> {
    let mut command = Command::new(program);
    command.args(["--demo", "--port", "0"]).envs(settings.iter().copied());
    command.env("SERVE__HTTP__CONNECTIONS", format!("{{ max: {}, idle_timeout: 1h }}", count + 16));
    let mut child = command.env("SERVE__LOG__LEVEL", "error").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let address = line.trim().rsplit_once("://").and_then(|(_, at)| at.parse().ok());
    Ok(Server { child, address: address.ok_or("the server does not listen")? })
}

fn measure(
    kind: &str,
    server: &Server,
    count: usize,
    connect: impl Fn(SocketAddr) -> Result<Box<dyn Connection>, Failure>,
) -> Result<(), Failure> {
    let process = server.child.id().to_string();
    for _ in 0..100 {
        ask(&mut connect(server.address)?)?;
    }
    let before = resident_of(&process)?;
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = connect(server.address)?;
        ask(&mut connection)?;
        all.push(connection);
    }
    let after = resident_of(&process)?;
    std::thread::sleep(SILENCE);
    let later = resident_of(&process)?;
    for connection in &mut all {
        ask(connection)?;
    }
    let each = |now: u64| now.saturating_sub(before) as f64 / count as f64 / 1024.0;
    println!(
        "{kind}: {count} connections, {} MiB before; at once {:.1} KiB each, after {} s of silence {:.1} KiB; all answered again",
        before >> 20,
        each(after),
        SILENCE.as_secs(),
        each(later),
    );
    Ok(())
}

fn ask(connection: &mut Box<dyn Connection>) -> Result<(), Failure> {
    connection.write_all(REQUEST)?;
    connection.flush()?;
    let (mut buffer, mut taken) = ([0; 2048], 0);
    while !buffer[..taken].ends_with(ANSWER) {
        match connection.read(&mut buffer[taken..])? {
            0 => return Err("the server closed the connection".into()),
            bytes => taken += bytes,
        }
    }
    Ok(())
}
