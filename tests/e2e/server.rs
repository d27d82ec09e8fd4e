//! The programs under test, built once, and a client that speaks just enough HTTP/1.1.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Longest wait for anything that should happen at once.
const PATIENCE: Duration = Duration::from_mins(2);

/// The path of a program of this workspace, built if it is not up to date.
pub(crate) fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let test = std::env::current_exe().expect("the test has a path");
        let folder = test.parent().and_then(Path::parent).expect("the test lies in deps/").to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--offline", "--bin", "serve-server", "--bin", "serve-ctl"]);
        build.arg("--target-dir").arg(folder.parent().expect("a profile lies in the target folder"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(repository()).status().expect("cargo starts");
        assert!(built.success(), "the programs do not build");
        folder
    });
    folder.join(name)
}

/// The repository's root.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

/// A program with nothing of this environment's that could configure it.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    let ours = |key: &str| {
        key.starts_with("SERVE_") || matches!(key, "API_HOST" | "API_PORT" | "MODEL_REGISTRY_PATH")
    };
    std::env::vars().filter(|(key, _)| ours(key)).for_each(|(key, _)| {
        command.env_remove(key);
    });
    command.env_remove("RUST_LOG");
    command
}

/// Runs `serve-ctl` to its end.
pub(crate) fn ctl<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    command("serve-ctl").args(args).output().expect("serve-ctl starts")
}

/// Runs `serve-ctl`, which must succeed.
pub(crate) fn ctl_ok<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) {
    let output = ctl(args);
    assert!(output.status.success(), "serve-ctl: {}", String::from_utf8_lossy(&output.stderr));
}

/// An end's code and what stood on standard error.
pub(crate) fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Asks until there is an answer, which there has to be: another thread or process does it in its own time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "not yet: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Looks until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// A server that runs until this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Held open: a server whose output is closed would still run, and this way nothing else is tested.
    _stdout: BufReader<ChildStdout>,
    /// Where the server puts what it would leave behind when it is killed.
    _temporary: tempfile::TempDir,
}

impl Server {
    /// Starts `serve-server` on a free port and waits until it listens.
    pub(crate) fn start<S: AsRef<OsStr>>(
        args: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_to(Stdio::inherit(), args, environment)
    }

    /// Starts `serve-server` with its log in a file.
    pub(crate) fn logging_to<S: AsRef<OsStr>>(
        log: &Path,
        args: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_to(std::fs::File::create(log).expect("a log").into(), args, environment)
    }

    fn start_to<S: AsRef<OsStr>>(
        log: Stdio,
        args: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let mut command = command("serve-server");
        command
            .env("TMPDIR", temporary.path())
            .env("SERVE__LOG__LEVEL", "error")
            .args(args)
            .args(["--port", "0"])
            .envs(environment.iter().copied());
        let mut child = command
            .stderr(log)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("serve-server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("serve-server writes text");
        let address =
            line.trim().rsplit_once("listens on ").and_then(|(_, url)| url.split_once("://")?.1.parse().ok());
        // Made first, so that a server that does not listen is ended all the same.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let server =
            Self { child, address: address.unwrap_or(nowhere), _stdout: stdout, _temporary: temporary };
        assert!(address.is_some(), "serve-server does not listen: {line:?}");
        server
    }

    /// Serves a registry.
    pub(crate) fn of(registry: &Path) -> Self {
        Self::start([OsStr::new("--registry"), registry.as_os_str()], &[("SERVE__REGISTRY__POLL", "0s")])
    }

    /// Serves the demonstration.
    pub(crate) fn demo() -> Self {
        Self::start(["--demo"], &[])
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.connect().request("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Json) -> Reply {
        self.connect().request("POST", path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Json) -> Reply {
        self.connect().request("PUT", path, Some(body))
    }

    /// Asks the server to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill starts").success());
    }

    /// The most memory that it has held, where the system tells.
    pub(crate) fn peak_memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// The names of the process' threads.
    pub(crate) fn threads(&self) -> Vec<String> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).into_iter().flatten().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect()
    }

    /// How the server ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the server stops", || self.child.try_wait().expect("a child can be waited for"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Json,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body of an answer that must be a success.
    pub(crate) fn ok(self) -> Json {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// Status, code and message of an answer that must be an error in our own words.
    pub(crate) fn error(&self) -> (u16, &str, &str) {
        assert_eq!(self.body["success"], false, "{}", self.body);
        assert_eq!(self.body["request_id"].as_str(), self.header("x-request-id"), "{}", self.body);
        assert!(self.body["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{}", self.body);
        let text = |key: &str| self.body[key].as_str().unwrap_or_default();
        (self.status, text("code"), text("error"))
    }
}

/// One connection, kept alive.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("an option can be set");
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, body: Option<&Json>) -> Reply {
        let body = body.map(Json::to_string).unwrap_or_default();
        self.text(method, path, &[("content-type", "application/json")], &body)
    }

    /// A request with any body.
    pub(crate) fn text(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.try_text(method, path, headers, body).expect("an answer")
    }

    pub(crate) fn try_text(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Reply> {
        let headers: String = headers.iter().flat_map(|(key, value)| [key, ": ", value, "\r\n"]).collect();
        let length = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))?;
        self.receive()
    }

    /// A request whose body is no text.
    pub(crate) fn bytes(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let headers: String = headers.iter().flat_map(|(key, value)| [key, ": ", value, "\r\n"]).collect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.send(&head).expect("the server reads");
        self.stream.get_mut().write_all(body).expect("the server reads");
        self.receive().expect("an answer")
    }

    /// Bytes as they are, be they a request or a part of one.
    pub(crate) fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_bytes())
    }

    /// The next answer. An end of the connection in its place is `UnexpectedEof`.
    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        let status = self.line()?;
        let code = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let code = code.ok_or_else(|| io::Error::other(format!("not a status line: {status:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((key, value)) = line.split_once(':') else { break };
            headers.push((key.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(key, _)| key == "content-length");
        let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let text = || if body.is_empty() { Json::Null } else { String::from_utf8_lossy(&body).into() };
        let json = serde_json::from_slice(&body).unwrap_or_else(|_| text());
        Ok(Reply { status: code, headers, body: json, bytes: body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}
