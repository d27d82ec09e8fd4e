//! A scheduler, executors and clients as processes of this machine, on ports that are free.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serve_core::doctest::logistic;
use serve_core::reference::{Distribution, Reference};
use serve_registry::{Directory, Storage};

/// Nothing here takes so long, but for a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that all processes share, with a registry.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    address: String,
    scheduler: Option<Process>,
    pub(crate) executors: Vec<Process>,
    /// What all of them have in their environment.
    environment: Vec<(&'static str, String)>,
}

/// A process that is killed when nobody wants it any more.
pub(crate) struct Process(Child);

impl Process {
    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("is ours");
        self.0.wait().expect("ends");
    }

    pub(crate) fn interrupt(&self) {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("is ours");
    }

    /// Its exit code and what it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        let stderr = self.0.stderr.take().expect("is piped");
        let told = std::io::read_to_string(stderr).expect("is text");
        (self.0.wait().expect("ends").code().expect("an exit code"), told)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn registry(folder: &Path, intercept: f64) {
    publish(folder, "direction", intercept);
}

/// A model into a registry, which is made where it is not there.
pub(crate) fn publish(folder: &Path, name: &str, intercept: f64) {
    let registry = Directory::create(folder).expect("a registry");
    let mut builder = logistic(name, "v1", intercept);
    // What it has seen in training, against which reports tell drift.
    let seen = |name: &str| Distribution::of(name, (0..300_u32).map(|row| f64::from(row % 97) / 97.0));
    let (features, scores) = (["a", "b"].map(seen).into(), ["down", "up"].map(seen).into());
    builder.reference = Some(Reference { rows: 300, window: None, features, scores });
    registry.publish(&builder.build().expect("proves"), "tests").expect("publishes");
}

fn program(folder: &Path, environment: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve-cluster"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Ports that nobody has at the moment.
fn ports() -> [u16; 2] {
    let taken = [0; 2].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    taken.map(|listener| listener.local_addr().expect("is bound").port())
}

impl Cluster {
    /// A scheduler with so many executors over a registry with `direction@v1`.
    pub(crate) fn start(executors: usize) -> Self {
        let mut cluster = Self::start_with(Vec::new());
        (0..executors).for_each(|_| cluster.add("models"));
        cluster
    }

    /// The same without executors, in an environment.
    pub(crate) fn start_with(environment: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        registry(&folder.path().join("models"), 0.0);
        let mut scheduler = program(folder.path(), &environment)
            .args(["scheduler", "--port", "0", "--executor-timeout", "3", "--no-executors-grace", "3"])
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(scheduler.stderr.take().expect("is piped")).lines();
        let line = lines.next().expect("says where it listens").expect("is text");
        let address = line.rsplit_once(' ').expect("ends in the address").1.to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        let scheduler = Some(Process(scheduler));
        Self { folder, address, scheduler, executors: Vec::new(), environment }
    }

    /// One more executor, with its own view of the registry.
    pub(crate) fn add(&mut self, registry: &str) {
        let mut executor = self.executor(registry, &[]);
        let lines = BufReader::new(executor.stderr.take().expect("is piped")).lines();
        std::thread::spawn(move || lines.for_each(drop));
        self.executors.push(Process(executor));
    }

    /// An executor that nobody listens to.
    fn executor(&self, registry: &str, arguments: &[&str]) -> Child {
        let [port, control_port] = ports().map(|port| port.to_string());
        program(self.folder.path(), &self.environment)
            .args(["executor", "--scheduler", &self.address, "--registry", registry, "--threads", "1"])
            .args(["--port", &port, "--control-port", &control_port])
            .args(arguments)
            .spawn()
            .expect("starts")
    }

    /// An executor whose end is waited for.
    pub(crate) fn begin_executor(&self, arguments: &[&str]) -> Process {
        Process(self.executor("models", arguments))
    }

    pub(crate) fn end_scheduler(&mut self) {
        self.scheduler = None;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Begins a job in the cluster.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Process {
        let url = format!("df://{}", self.address);
        let mut command = program(self.folder.path(), &self.environment);
        command.env("SERVE_REGISTRY", "models").args(["score", "--cluster", &url]).args(arguments);
        Process(command.spawn().expect("starts"))
    }

    /// Runs a job in the cluster to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.begin(arguments).end()
    }

    /// Runs the same on this machine alone.
    pub(crate) fn alone(&self, arguments: &[&str]) -> Output {
        let score = Path::new(env!("CARGO_BIN_EXE_serve-cluster")).with_file_name("serve-score");
        let output = Command::new(score)
            .current_dir(self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("SERVE_REGISTRY", "models")
            .args(arguments)
            .output()
            .expect("serve-score is built beside serve-cluster");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// What lies in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }

    /// Waits until a job has so many parts.
    pub(crate) fn wait_for_parts(&self, output: &str, parts: usize) {
        let state = self.path(&format!(".{output}.partial"));
        let began = Instant::now();
        while names(&state).iter().filter(|name| name.starts_with("part-")).count() < parts {
            assert!(began.elapsed() < PATIENCE, "no parts in {}", state.display());
            sleep(Duration::from_millis(20));
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// So many files of CSV, with rows that have no answer among them.
pub(crate) fn write_csv(folder: &Path, files: usize, rows: usize) {
    fs::create_dir_all(folder).expect("a folder");
    for file in 0..files {
        let mut text = "id,b,a\n".to_owned();
        for row in 0..rows {
            let id = file * rows + row;
            let (a, b) = ((id % 977) as f64 / 31.0 - 15.0, (id % 1009) as f64 / 17.0 - 30.0);
            let a = if id % 1013 == 7 { "x".to_owned() } else { a.to_string() };
            writeln!(text, "{id},{b},{a}").expect("a text takes all");
        }
        fs::write(folder.join(format!("rows-{file:03}.csv")), text).expect("writes");
    }
}
