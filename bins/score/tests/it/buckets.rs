//! Input from buckets and output to them, of stores that throttle, fail now and then, or stop to answer.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use crate::Folder;

const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SlowDown</Code>\
    <Message>Please reduce your request rate.</Message></Error>";

/// How a store behaves.
#[derive(Default)]
struct Mood {
    requests: AtomicUsize,
    /// One request of so many is throttled; none where it is 0.
    throttled: AtomicUsize,
    /// After so many requests all are.
    ends_after: AtomicUsize,
}

impl Mood {
    fn is_throttled(&self) -> bool {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let (one_of, ends) =
            (self.throttled.load(Ordering::Relaxed), self.ends_after.load(Ordering::Relaxed));
        (one_of > 0 && number.is_multiple_of(one_of)) || number > ends
    }
}

/// A bucket `rows`, whose objects are files of a folder.
struct Bucket {
    folder: tempfile::TempDir,
    address: SocketAddr,
    mood: Arc<Mood>,
    _server: tokio::runtime::Runtime,
}

impl Bucket {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("rows")).expect("made");
        let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let server = server.expect("a runtime");
        let mood = Arc::new(Mood { ends_after: usize::MAX.into(), ..Mood::default() });
        let address = server.block_on(serve(folder.path().to_owned(), Arc::clone(&mood)));
        Self { folder, address, mood, _server: server }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join("rows").join(key)
    }

    /// The keys below the bucket that are no objects of the store's own.
    fn keys(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).into_iter().flatten();
        let names = entries.map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    fn ends_after(&self, requests: usize) {
        self.mood.requests.store(0, Ordering::Relaxed);
        self.mood.ends_after.store(requests, Ordering::Relaxed);
    }

    fn spawn(&self, folder: &Folder, arguments: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_serve-score"))
            .current_dir(folder.0.path())
            .args(["--registry", "models", "--model", "direction", "--state", "state", "--keep", "id"])
            .args(arguments.split_whitespace())
            .env("AWS_ENDPOINT", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "the-key-id")
            .env("AWS_SECRET_ACCESS_KEY", "hush-hush-hush")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts")
    }

    fn run(&self, folder: &Folder, arguments: &str) -> Output {
        self.spawn(folder, arguments).wait_with_output().expect("ends")
    }

    fn told(&self, folder: &Folder, arguments: &str) -> (i32, String) {
        let output = self.run(folder, arguments);
        (output.status.code().expect("an exit code"), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

async fn serve(folder: PathBuf, mood: Arc<Mood>) -> SocketAddr {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).expect("a folder"));
    service.set_auth(SimpleAuth::from_single("the-key-id", "hush-hush-hush"));
    let service = service.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (service, mood) = (service.clone(), Arc::clone(&mood));
            let answer = hyper::service::service_fn(move |request| {
                let (service, throttled) = (service.clone(), mood.is_throttled());
                async move {
                    if throttled {
                        let answer = hyper::Response::builder().status(503);
                        return Ok(answer.body(s3s::Body::from(SLOW_DOWN.to_owned())).expect("a response"));
                    }
                    hyper::service::Service::call(&service, request).await
                }
            });
            tokio::spawn(async move {
                // A client that goes away is no failure of the server.
                drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), answer).await);
            });
        }
    });
    address
}

/// A folder with 300,000 rows, and what they come to without a bucket.
fn folder_with_rows() -> Folder {
    let folder = Folder::new();
    folder.rows();
    for output in ["whole.csv", "whole.parquet", "whole/"] {
        let arguments = format!("--input rows.csv --output {output} --keep id --part-rows 100000");
        let output = folder.run(&arguments, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    folder
}

#[test]
fn rows_go_through_buckets_that_throttle() {
    let (folder, bucket) = (folder_with_rows(), Bucket::start());
    fs::create_dir(bucket.path("in")).expect("made");
    fs::copy(folder.path("rows.csv"), bucket.path("in/rows.csv")).expect("copies");
    bucket.mood.throttled.store(3, Ordering::Relaxed);
    let arguments = "--input s3://rows/in --part-rows 100000";
    for (output, whole) in
        [("out.csv", "whole.csv"), ("deep/out.parquet", "whole.parquet"), ("folder/", "whole")]
    {
        let (code, told) = bucket.told(&folder, &format!("{arguments} --output s3://rows/{output}"));
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("300000 rows, 300 rejected (s3://rows/"), "{told}");
        if output == "folder/" {
            assert_eq!(
                bucket.keys("folder"),
                ["_SUCCESS", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
            );
            for part in fs::read_dir(folder.path(whole)).expect("reads") {
                let part = part.expect("reads");
                let got = fs::read(bucket.path("folder").join(part.file_name())).expect("reads");
                assert!(got == fs::read(part.path()).expect("reads"));
            }
        } else {
            let bytes = fs::read(bucket.path(output)).expect("reads");
            assert!(bytes == fs::read(folder.path(whole)).expect("reads"), "{output}");
        }
        let rejects = format!("{}.rejects.csv", output.trim_end_matches('/'));
        let whole = fs::read_to_string(folder.path(&format!("{whole}.rejects.csv"))).expect("reads");
        assert_eq!(fs::read_to_string(bucket.path(&rejects)).expect("reads"), whole);
    }
    assert!(fs::read(bucket.path("out.csv")).expect("reads").len() > 8 << 20, "it was uploaded in parts");
    // What was written can be read again, row groups and all.
    let (code, told) =
        bucket.told(&folder, "--input s3://rows/folder --map a=id --map b=id --output s3://rows/again.csv");
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("299700 rows, none rejected"), "{told}");
    assert!(bucket.mood.requests.load(Ordering::Relaxed) > 50);
    assert!(fs::read_dir(folder.path("state")).expect("reads").next().is_none(), "no state is left");
}

#[test]
fn an_object_that_exists_is_kept_unless_it_may_be_replaced() {
    let (folder, bucket) = (Folder::new(), Bucket::start());
    fs::write(folder.path("rows.csv"), "id,a,b\n1,0.5,1\n").expect("writes");
    fs::create_dir(bucket.path("parts")).expect("made");
    for key in ["out.csv", "parts/part-00007.parquet", "parts/_SUCCESS", "bad.csv.rejects.csv"] {
        fs::write(bucket.path(key), "mine").expect("writes");
    }
    for output in ["out.csv", "parts/", "bad.csv"] {
        let arguments = format!("--input rows.csv --output s3://rows/{output}");
        let (code, told) = bucket.told(&folder, &arguments);
        assert_eq!(code, 73, "{told}");
        assert!(told.contains("exists; --overwrite replaces it"), "{told}");
    }
    assert_eq!(fs::read_to_string(bucket.path("out.csv")).expect("reads"), "mine");
    assert_eq!(bucket.keys("parts"), ["_SUCCESS", "part-00007.parquet"]);
    for output in ["out.csv", "parts/", "bad.csv"] {
        let arguments = format!("--input rows.csv --output s3://rows/{output} --overwrite");
        let (code, told) = bucket.told(&folder, &arguments);
        assert_eq!(code, 0, "{told}");
    }
    assert_eq!(bucket.keys("parts"), ["_SUCCESS", "part-00000.parquet"]);
    assert_eq!(bucket.keys(""), ["bad.csv", "out.csv", "parts"]);
}

#[test]
fn a_bucket_that_stops_to_answer_leaves_nothing_half_written_and_the_job_goes_on_later() {
    let (folder, bucket) = (folder_with_rows(), Bucket::start());
    fs::copy(folder.path("rows.csv"), bucket.path("rows.csv")).expect("copies");
    // Before the first row.
    bucket.ends_after(0);
    let arguments = "--input s3://rows/rows.csv --output s3://rows/out.csv --part-rows 100000 --retry-for 1";
    let (code, told) = bucket.told(&folder, arguments);
    assert_eq!(code, 69, "{told}");
    assert!(told.contains("s3://rows/rows.csv does not answer") && told.contains("503"), "{told}");
    assert!(!told.contains("hush"), "{told}");
    // While it is read, and while the answers are uploaded.
    let mut kept = 0;
    for requests in 3..14 {
        bucket.ends_after(requests);
        let (code, told) = bucket.told(&folder, &format!("{arguments} --resume"));
        if code == 0 {
            break;
        }
        assert_eq!(code, 69, "{requests} requests: {told}");
        assert!(!bucket.path("out.csv").exists(), "{requests} requests: {told}");
        kept += usize::from(told.contains("--resume goes on"));
    }
    bucket.ends_after(usize::MAX);
    if !bucket.path("out.csv").exists() {
        let (code, told) = bucket.told(&folder, &format!("{arguments} --resume"));
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("300000 of them earlier"), "{told}");
    }
    assert!(kept > 0, "some parts were kept");
    let bytes = fs::read(bucket.path("out.csv")).expect("reads");
    assert!(bytes == fs::read(folder.path("whole.csv")).expect("reads"));
}

#[test]
fn what_a_bucket_lacks_is_told() {
    let (folder, bucket) = (Folder::new(), Bucket::start());
    fs::write(folder.path("rows.csv"), "id,a,b\n1,0.5,1\n").expect("writes");
    for (arguments, code, expected) in [
        ("--input s3://rows/none.csv --output o.csv", 66, "s3://rows/none.csv cannot be opened"),
        ("--input rows.csv --output s3://rows", 2, "expected s3://BUCKET/KEY"),
        ("--input rows.csv --output s3://rows/o", 2, "its name does not tell its format"),
        ("--input rows.csv --output o.csv", 2, "--state is for outputs in buckets"),
    ] {
        let (got, told) = bucket.told(&folder, arguments);
        assert_eq!(got, code, "{arguments}: {told}");
        assert!(told.contains(expected), "{arguments}: {told}");
    }
}

#[test]
fn an_object_that_changed_ends_the_job_that_was_begun_with_it() {
    let (folder, bucket) = (folder_with_rows(), Bucket::start());
    fs::copy(folder.path("rows.csv"), bucket.path("rows.csv")).expect("copies");
    let arguments = "--input s3://rows/rows.csv --output s3://rows/out.csv --part-rows 50000 --threads 1";
    let mut child = bucket.spawn(&folder, arguments);
    let state = || fs::read_dir(folder.path("state")).into_iter().flatten().flatten().next();
    let parts = || state().and_then(|state| fs::read_to_string(state.path().join("journal")).ok());
    while parts().is_none_or(|journal| journal.lines().count() < 1) {
        assert!(child.try_wait().expect("waits").is_none(), "it ended before it could be killed");
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    child.kill().expect("kills");
    child.wait().expect("waits");
    let rows = fs::read_to_string(folder.path("rows.csv")).expect("reads");
    fs::write(bucket.path("rows.csv"), rows.replace("1,1.5,1", "1,2.5,1")).expect("writes");
    let (code, told) = bucket.told(&folder, &format!("{arguments} --resume"));
    assert_eq!(code, 65, "{told}");
    assert!(told.contains("the input s3://rows/rows.csv was "), "{told}");
    fs::copy(folder.path("rows.csv"), bucket.path("rows.csv")).expect("copies");
}
