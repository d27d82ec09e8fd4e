//! An S3 server inside the test's process, on a port that the system chooses. Its check of conditional writes is not
//! atomic, so races are proven on folders; what it answers to a condition is S3's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serve_core::size::ByteSize;
use serve_registry::ObjectStorage;
use serve_registry::config::ObjectCacheConfig;
use serve_registry::object_store::ObjectOptions;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const BUCKET: &str = "models";
pub(crate) const KEY: &str = "the-key-id";
pub(crate) const SECRET: &str = "hush-hush-hush";

/// A bucket, served until it is dropped or [`stop`](Self::stop)ped.
pub(crate) struct Bucket {
    folder: TempDir,
    cache: TempDir,
    address: SocketAddr,
    server: Option<tokio::runtime::Runtime>,
    requests: Arc<AtomicUsize>,
}

impl Bucket {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("made");
        let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let server = server.expect("a runtime");
        let requests = Arc::new(AtomicUsize::new(0));
        let address = server.block_on(serve(folder.path().to_owned(), Arc::clone(&requests)));
        let cache = tempfile::tempdir().expect("a folder");
        Self { folder, cache, address, server: Some(server), requests }
    }

    /// The bucket's content: a key is a path below it.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    /// The folder of the copies that [`open`](Self::open) keeps.
    pub(crate) fn cache(&self) -> &Path {
        self.cache.path()
    }

    /// A registry below the prefix `registry`, with the bucket's cache on disk.
    pub(crate) fn open(&self) -> ObjectStorage {
        self.open_with(self.cache.path(), ByteSize(1 << 30))
    }

    pub(crate) fn open_with(&self, cache: &Path, max_bytes: ByteSize) -> ObjectStorage {
        open(self.address, ObjectCacheConfig { dir: Some(cache.to_owned()), max_bytes }, SECRET)
    }

    /// With a secret that is not the server's.
    pub(crate) fn open_without_right(&self, secret: &str) -> ObjectStorage {
        open(self.address, ObjectCacheConfig { dir: None, max_bytes: ByteSize(0) }, secret)
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends the server and every connection.
    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

async fn serve(folder: PathBuf, requests: Arc<AtomicUsize>) -> SocketAddr {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).expect("a folder"));
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (service, requests) = (service.clone(), Arc::clone(&requests));
            let counted = hyper::service::service_fn(move |request| {
                requests.fetch_add(1, Ordering::Relaxed);
                hyper::service::Service::call(&service, request)
            });
            tokio::spawn(async move {
                let connection = Builder::new(TokioExecutor::new());
                // A client that goes away is no failure of the server.
                drop(connection.serve_connection(TokioIo::new(socket), counted).await);
            });
        }
    });
    address
}

/// A registry in a bucket that a server at `address` has, with short timeouts.
pub(crate) fn open(address: SocketAddr, cache: ObjectCacheConfig, secret: &str) -> ObjectStorage {
    let options = ObjectOptions { cache, timeout: Duration::from_secs(5), attempts: 2 };
    open_at(address, options, secret)
}

pub(crate) fn open_at(address: SocketAddr, options: ObjectOptions, secret: &str) -> ObjectStorage {
    let settings = [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_SOMETHING_ELSE", "ignored".to_owned()),
        ("HOME", "ignored".to_owned()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value));
    ObjectStorage::with_settings(BUCKET, "registry", options, settings).expect("opens")
}
