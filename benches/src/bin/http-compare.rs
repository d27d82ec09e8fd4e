//! What serve-server costs beyond a server that does nothing but read, parse and answer (`bare-hyper`), and what its locks,
//! logs and limits cost: CPU time per request, both programs in turns, medians of the turns' ratios. Needs `wrk` and `h2load`.
//!
//! `http-compare FOLDER [--turns N] [--only WORD]`, where FOLDER holds serve-server, serve-ctl and bare-hyper; from the
//! repository's root.
#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serve_benches::programs::Server;
use serve_benches::timing::median;

type Failure = Box<dyn Error>;

const MODEL: &str = "benches/data/lightgbm-100x31.txt";
const SCRIPT: &str = "benches/post.lua";
const HEADER_LENGTH: &str = "Inference-Header-Content-Length";

/// A key and its SHA-256.
const KEY: &str = "benchmark-key-that-opens-nothing";
const KEY_SHA256: &str = "e9041deee808dfd5a56d2effe739c39d1ab6a0740825eefe823c62115e5cffad";

/// One request, sent again and again.
struct Shot {
    path: &'static str,
    body: PathBuf,
    headers: Vec<(&'static str, String)>,
}

/// What one turn measured.
#[derive(Clone, Copy)]
struct Turn {
    /// Requests in a second.
    rate: f64,
    /// CPU time of the server per request, in µs.
    cpu: f64,
    /// In µs; where it was taken.
    p99: f64,
}

/// How requests are sent.
#[derive(Clone, Copy)]
enum Load {
    /// By wrk over so many connections, as fast as it goes, for a second.
    Full(u32),
    /// By h2load in HTTP/2, over so many connections with 10 streams each.
    Http2(u32),
    /// By h2load in HTTP/1.1 over 32 connections, so many requests in a second in all.
    Paced(f64),
}

struct Bench {
    folder: PathBuf,
    work: tempfile::TempDir,
    turns: usize,
    only: Option<String>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("expected the folder of serve-server, serve-ctl and bare-hyper")?;
    let mut bench = Bench { folder: folder.into(), work: tempfile::tempdir()?, turns: 20, only: None };
    while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
        match &*option {
            "--turns" => bench.turns = value.parse()?,
            "--only" => bench.only = Some(value),
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    bench.publish()?;
    println!("| what | connections | ours, requests/s | other | ratio | ours, µs of CPU | other | ratio |");
    println!("|---|---|---|---|---|---|---|---|");
    bench.against_bare()?;
    bench.layers()?;
    bench.half_load()
}

impl Bench {
    fn publish(&self) -> Result<(), Failure> {
        let mut import = Command::new(self.folder.join("serve-ctl"));
        import.arg("--registry").arg(self.registry()).args(["import", MODEL, "--name", "bench", "--promote"]);
        let output = import.output()?;
        output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into())
    }

    fn registry(&self) -> PathBuf {
        self.work.path().join("models")
    }

    fn serve(&self, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        let registry = self.registry().display().to_string();
        let arguments = ["--registry", &registry, "--port", "0"];
        Server::start(&self.folder.join("serve-server"), &arguments, settings)
    }

    fn bare(&self, arguments: &[&str]) -> Result<Server, Failure> {
        Server::start(&self.folder.join("bare-hyper"), arguments, &[])
    }

    fn wants(&self, what: &str) -> bool {
        self.only.as_ref().is_none_or(|only| what.contains(only))
    }

    /// 30 named features as JSON, and the same row as one binary tensor of the Open Inference Protocol.
    fn shots(&self) -> Result<(Shot, Shot), Failure> {
        let row: Vec<f64> = (0..30).map(|n| (f64::from(n) * 0.37) % 3.0 - 1.5).collect();
        let mut features = String::new();
        for (n, value) in row.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(features, "{comma}\"feature_{n:02}\":{value:.6}")?;
        }
        let body = self.work.path().join("named.json");
        std::fs::write(&body, format!("{{\"model\":\"bench\",\"features\":{{{features}}}}}"))?;
        let headers = vec![("Content-Type", "application/json".to_owned())];
        let named = Shot { path: "/predict", body, headers };
        let json = r#"{"inputs":[{"name":"input","shape":[1,30],"datatype":"FP64","parameters":{"binary_data_size":240}}],"parameters":{"binary_data_output":true}}"#;
        let mut bytes = json.as_bytes().to_vec();
        row.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        let body = self.work.path().join("tensor.bin");
        std::fs::write(&body, bytes)?;
        let headers = vec![
            ("Content-Type", "application/octet-stream".to_owned()),
            (HEADER_LENGTH, json.len().to_string()),
        ];
        Ok((named, Shot { path: "/v2/models/bench/infer", body, headers }))
    }

    fn against_bare(&self) -> Result<(), Failure> {
        let (named, tensor) = self.shots()?;
        let (serve, bare, bare2) = (self.serve(&[])?, self.bare(&[])?, self.bare(&["http2"])?);
        for connections in [1, 32, 256] {
            self.compare("named features", Load::Full(connections), (&serve, &named), (&bare, &named))?;
        }
        self.compare("OIP binary", Load::Full(32), (&serve, &tensor), (&bare, &tensor))?;
        self.compare("HTTP/2", Load::Http2(32), (&serve, &named), (&bare2, &named))
    }

    /// A key, its rate, the address's rate and the log, against none of them.
    fn layers(&self) -> Result<(), Failure> {
        let (named, _) = self.shots()?;
        let key = format!("[{{ id: bench, sha256: {KEY_SHA256}, permissions: [predict], rate: 1000000/s }}]");
        let off = self.serve(&[("SERVE__LOG__LEVEL", "off")])?;
        let on = self.serve(&[
            ("SERVE__AUTH__MODE", "keys"),
            ("SERVE__AUTH__KEYS", &key),
            ("SERVE__AUTH__RATE_PER_ADDRESS", "1000000/s"),
        ])?;
        let (plain, _) = self.shots()?;
        let mut headers = named.headers;
        headers.push(("Authorization", format!("Bearer {KEY}")));
        let named = Shot { headers, ..named };
        self.compare("locks and log", Load::Full(32), (&on, &named), (&off, &plain))
    }

    /// Turns of both, and a line of the table.
    fn compare(
        &self,
        what: &str,
        load: Load,
        ours: (&Server, &Shot),
        other: (&Server, &Shot),
    ) -> Result<(), Failure> {
        if !self.wants(what) {
            return Ok(());
        }
        let turns = self.take_turns(load, ours, other)?;
        let of = |figure: &dyn Fn(&(Turn, Turn)) -> f64| median(turns.iter().map(figure).collect());
        let connections = match load {
            Load::Full(connections) | Load::Http2(connections) => connections,
            Load::Paced(_) => 32,
        };
        println!(
            "| {what} | {connections} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} |",
            of(&|(ours, _)| ours.rate),
            of(&|(_, other)| other.rate),
            of(&|(ours, other)| ours.rate / other.rate),
            of(&|(ours, _)| ours.cpu),
            of(&|(_, other)| other.cpu),
            of(&|(ours, other)| ours.cpu / other.cpu),
        );
        Ok(())
    }

    /// p99 where both are asked half of what serve-server can answer.
    fn half_load(&self) -> Result<(), Failure> {
        if !self.wants("p99") {
            return Ok(());
        }
        let (named, _) = self.shots()?;
        let (serve, bare) = (self.serve(&[])?, self.bare(&[])?);
        let most = self.shoot(Load::Full(32), &serve, &named)?.rate;
        let turns = self.take_turns(Load::Paced(most / 2.0), (&serve, &named), (&bare, &named))?;
        let of = |figure: &dyn Fn(&(Turn, Turn)) -> f64| median(turns.iter().map(figure).collect());
        println!(
            "\np99 at {:.0} requests/s over 32 connections: {:.0} µs, the bare server's {:.0} µs, ratio {:.2}",
            most / 2.0,
            of(&|(ours, _)| ours.p99),
            of(&|(_, other)| other.p99),
            of(&|(ours, other)| ours.p99 / other.p99),
        );
        Ok(())
    }

    fn take_turns(
        &self,
        load: Load,
        ours: (&Server, &Shot),
        other: (&Server, &Shot),
    ) -> Result<Vec<(Turn, Turn)>, Failure> {
        let turn = |at: usize| {
            if at.is_multiple_of(2) {
                let first = self.shoot(load, ours.0, ours.1)?;
                return Ok((first, self.shoot(load, other.0, other.1)?));
            }
            let first = self.shoot(load, other.0, other.1)?;
            Ok((self.shoot(load, ours.0, ours.1)?, first))
        };
        (0..self.turns).map(turn).collect()
    }

    fn shoot(&self, load: Load, server: &Server, shot: &Shot) -> Result<Turn, Failure> {
        let before = server.cpu()?;
        let (requests, rate, p99) = match load {
            Load::Full(connections) => wrk(server, shot, connections)?,
            Load::Http2(connections) => {
                let connections = connections.to_string();
                self.h2load(server, shot, &["-n", "20000", "-m", "10", "-c", &connections])?
            }
            Load::Paced(rate) => {
                let each = (rate / 32.0).ceil().to_string();
                let requests = (rate.round() as u64).to_string();
                self.h2load(server, shot, &["--h1", "-c", "32", "--rps", &each, "-n", &requests])?
            }
        };
        let cpu = server.cpu()?.saturating_sub(before);
        Ok(Turn { rate, cpu: cpu.as_secs_f64() * 1e6 / requests, p99 })
    }

    fn h2load(&self, server: &Server, shot: &Shot, arguments: &[&str]) -> Result<(f64, f64, f64), Failure> {
        let log = self.work.path().join("h2load.log");
        let mut command = Command::new("h2load");
        command.args(arguments).arg("-d").arg(&shot.body).arg("--log-file").arg(&log);
        for (name, value) in &shot.headers {
            command.arg("-H").arg(format!("{name}: {value}"));
        }
        let output = command.arg(format!("{}{}", server.url, shot.path)).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let took = std::fs::read_to_string(&log)?;
        std::fs::remove_file(&log)?;
        let mut times = Vec::new();
        for line in took.lines() {
            // When it was sent, the status, and how long it took in µs.
            let mut fields = line.split_whitespace().skip(1);
            if fields.next() != Some("200") {
                return Err(format!("{}: {line}\n{text}", shot.path).into());
            }
            times.push(fields.next().ok_or("no time")?.parse::<u64>()?);
        }
        times.sort_unstable();
        let p99 = times.get(times.len() * 99 / 100).copied().ok_or("no request was answered")?;
        let rate = text.split(" req/s").next().and_then(|text| text.rsplit(' ').next()).ok_or("no rate")?;
        Ok((times.len() as f64, rate.parse()?, p99 as f64))
    }
}

/// Requests, how many in a second, and 0.
fn wrk(server: &Server, shot: &Shot, connections: u32) -> Result<(f64, f64, f64), Failure> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-d1s", "-s", SCRIPT]).arg(format!("-c{connections}")).arg(&server.url);
    command.arg("--").arg(shot.path).arg(&shot.body);
    for (name, value) in &shot.headers {
        command.arg(name).arg(value);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") {
        return Err(format!("{}: {text}", shot.path).into());
    }
    let before = |word: &str| {
        let number = text.split(word).next()?.rsplit(['\n', ' ']).next()?;
        number.parse::<f64>().ok()
    };
    let requests = before(" requests in").ok_or_else(|| format!("wrk says: {text}"))?;
    let rate = text.split("Requests/sec:").nth(1).and_then(|text| text.split_whitespace().next());
    Ok((requests, rate.ok_or("no rate")?.parse()?, 0.0))
}
