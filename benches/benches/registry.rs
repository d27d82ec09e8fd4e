//! Reading what serves: through a handle, and by name, on one and on two threads, beside `RwLock<Arc<…>>` doing the same.
//!
//! Times are CPU time of the reading thread, so that they mean something on a machine that does other work as well. Where
//! two threads do not get a core each, contention between them is seen less than it is.

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::sync::{Arc, Barrier, PoisonError, RwLock};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use rustix::time::{ClockId, clock_gettime};
use serve_benches::bundles;
use serve_core::{ModelName, ModelRef};
use serve_registry::{Deployment, Directory, Registry, Storage};

/// Models in the registry; as many as are loaded at once by default.
const MODELS: usize = 80;

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The mean CPU time of threads that each do it so often at the same time.
fn on_threads(threads: u32, times: u64, read: &(impl Fn() + Sync)) -> Duration {
    let barrier = Barrier::new(threads as usize);
    let one = || {
        barrier.wait();
        let start = thread_cpu();
        (0..times).for_each(|_| read());
        thread_cpu().saturating_sub(start)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_default()).sum::<Duration>() / threads
    })
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, read: impl Fn() + Sync) {
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new(name, threads), |b| {
            b.iter_custom(|times| on_threads(threads, times, &read));
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let directory = Directory::create(folder.path())?;
    for at in 0..MODELS {
        let name: ModelName = format!("model-{at}").parse()?;
        directory.publish(&bundles::small(&name, &"v1".parse()?)?, "bench")?;
    }
    let registry = Registry::open(folder.path())?;
    let reference: ModelRef = "model-42".parse()?;
    let handle = registry.handle(&reference)?;
    let locked = RwLock::new(registry.resolve(&reference)?);
    let by_name = |name: &ModelName| Some((name.clone(), registry.deployment(name.as_str()).ok()?));
    let names = registry.models();
    let map: HashMap<ModelName, Arc<Deployment>> =
        names.iter().filter_map(|model| by_name(&model.name)).collect();
    let map = RwLock::new(map);

    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("read");
    bench(&mut group, "Handle::with", || drop(black_box(handle.with(Deployment::digest))));
    bench(&mut group, "RwLock<Arc<Deployment>>", || {
        black_box(locked.read().unwrap_or_else(PoisonError::into_inner).digest());
    });
    group.finish();
    let mut group = criterion.benchmark_group("by name");
    bench(&mut group, "Registry::resolve", || drop(black_box(registry.resolve(black_box(&reference)))));
    bench(&mut group, "RwLock<HashMap<ModelName, Arc<Deployment>>>", || {
        let map = map.read().unwrap_or_else(PoisonError::into_inner);
        drop(black_box(map.get(black_box(&reference.name)).cloned()));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
