//! A cluster whose registry, input and output are in buckets.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serve_core::doctest::logistic;
use serve_registry::Storage;
use serve_registry::object_store::{ObjectOptions, ObjectStorage};
use tokio::net::TcpListener;

use crate::processes::{Cluster, write_csv};
use crate::sameness::{read_parquet, write_parquet};

const KEY: &str = "the-key-id";
const SECRET: &str = "hush-hush-hush";

/// Serves a bucket `data` whose objects are files of a folder.
async fn serve(folder: PathBuf) -> SocketAddr {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).expect("a folder"));
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                // A client that goes away is no failure of the server.
                drop(
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await,
                );
            });
        }
    });
    address
}

#[test]
fn registry_input_and_output_are_in_buckets() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = |key: &str| folder.path().join("data").join(key);
    fs::create_dir_all(bucket("rows")).expect("a folder");
    write_parquet(&bucket("rows/a.parquet"), 0, 9_000);
    write_parquet(&bucket("rows/b.parquet"), 9_000, 6_000);
    write_csv(&bucket("texts"), 3, 1_000);
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let server = server.expect("a runtime");
    let address = server.block_on(serve(folder.path().to_owned()));
    let environment = vec![
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    let settings = environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let registry = ObjectStorage::with_settings("data", "models", ObjectOptions::default(), settings);
    let bundle = logistic("direction", "v1", 0.0).build().expect("proves");
    registry.expect("opens").publish(&bundle, "tests").expect("publishes");

    let mut cluster = Cluster::start_with(environment);
    (0..2).for_each(|_| cluster.add("s3://data/models"));
    let run = |arguments: &[&str]| {
        let (code, told) = cluster.run(&[&["--registry", "s3://data/models"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {told}");
    };
    let job = |input, output| {
        let common = ["--model", "direction", "--keep", "id", "--part-rows", "7000", "--state", "state"];
        [&["--input", input, "--output", output][..], &common].concat()
    };
    for (input, ours, alone) in [
        ("s3://data/rows", "s3://data/out.parquet", "s3://data/alone.parquet"),
        ("s3://data/texts", "s3://data/out.csv", "s3://data/alone.csv"),
    ] {
        run(&job(input, ours));
        cluster.alone(&job(input, alone));
    }
    assert_eq!(read_parquet(&bucket("out.parquet")), read_parquet(&bucket("alone.parquet")));
    for name in ["csv", "csv.rejects.csv"] {
        let [ours, alone] =
            ["out", "alone"].map(|of| fs::read(bucket(&format!("{of}.{name}"))).expect("is there"));
        assert!(ours == alone, "{name}");
    }
    run(&job("s3://data/rows", "s3://data/parts/"));
    let parts = fs::read_dir(bucket("parts")).expect("a folder").count();
    assert!(parts >= 4, "three parts and _SUCCESS, got {parts}");
    assert!(fs::read_dir(cluster.path("state")).expect("a folder").next().is_none(), "no state is left");

    for input in ["s3://data/rows", "s3://data/texts"] {
        let sql =
            "SELECT id, predict_proba('direction', *)['up'] AS up FROM input ORDER BY CAST(id AS BIGINT)";
        let query = |output| vec!["--sql", sql, "--input", input, "--output", output, "--overwrite"];
        run(&query("out.parquet"));
        cluster.alone(&query("alone.parquet"));
        assert_eq!(read_parquet(&cluster.path("out.parquet")), read_parquet(&cluster.path("alone.parquet")));
    }
}
