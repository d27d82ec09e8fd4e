"""Offline scoring: serve-score beside what a data team runs today, over the same Parquet file and LightGBM models.

    DIR/bin/python benches/peers/offline.py target/release [--work target/offline] [--rows 5000000] [--reps 3]
                                            [--threads 1,2] [--trees 100,500] [--only REGEX]

The first run trains the models and writes the file: 56 float32 columns, row groups of 250,000 rows, not compressed. Every
scorer is a process of its own; they run in turns. (So is what needs memory here: a child's peak begins with its parent's.) The table has medians: rows per second of wall time, CPU time, and the
peak of resident memory. The greatest difference to LightGBM's own probabilities is told of all rows.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FEATURES = 56
GROUP = 250_000
NAMES = [f"f{i}" for i in range(FEATURES)]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=Path, help="the folder of serve-score and serve-ctl")
    parser.add_argument("--work", type=Path, default=Path("target/offline"))
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--trees", default="100,500")
    parser.add_argument("--only", default="")
    return parser.parse_args()


def train(work, trees):
    """Models of 31 leaves on a set of 100,000 rows, as LightGBM's text and as ONNX."""
    import lightgbm
    import numpy as np
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType
    from sklearn.datasets import make_classification

    missing = [n for n in trees if not (work / f"lgb{n}.onnx").exists()]
    if missing or not (work / "rows.npy").exists():
        x, y = make_classification(100_000, FEATURES, n_informative=24, n_redundant=8, n_clusters_per_class=3,
                                   flip_y=0.04, random_state=11)
        x = x.astype(np.float32)
        np.save(work / "rows.npy", x)
    for n in missing:
        model = lightgbm.LGBMClassifier(n_estimators=n, num_leaves=31, min_child_samples=5, random_state=11, n_jobs=2,
                                        verbose=-1)
        model.fit(x.astype(np.float64), y, feature_name=NAMES)
        model.booster_.save_model(work / f"lgb{n}.txt")
        types = [("x", FloatTensorType([None, FEATURES]))]
        onnx = convert_lightgbm(model, initial_types=types, zipmap=False, target_opset=15)
        (work / f"lgb{n}.onnx").write_bytes(onnx.SerializeToString())


def write_rows(work, rows):
    """The training rows again and again, with one percent of noise, so that no two are equal."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = work / f"rows-{rows}.parquet"
    if path.exists():
        return path
    base, rng = np.load(work / "rows.npy"), np.random.default_rng(3)
    schema = pa.schema([(name, pa.float32()) for name in NAMES])
    with pq.ParquetWriter(path.with_suffix(".partial"), schema, compression="none", use_dictionary=False) as out:
        for start in range(0, rows, GROUP):
            n = min(GROUP, rows - start)
            noise = rng.normal(1, 0.01, (n, FEATURES)).astype(np.float32)
            block = base[rng.integers(0, len(base), n)] * noise
            out.write_table(pa.table([block[:, i] for i in range(FEATURES)], schema=schema), row_group_size=GROUP)
    path.with_suffix(".partial").rename(path)
    return path


def peer(engine, model, source, target, threads):
    """One scorer, as its users write it: the file in chunks, one column of probabilities out. Run as a process of its own."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    if engine == "ONNX Runtime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(f"{model}.onnx", options, providers=["CPUExecutionProvider"])
        output = session.get_outputs()[1].name

        def predict(x):
            return session.run([output], {"x": x})[0][:, 1].astype(np.float64)
    else:
        import lightgbm

        booster = lightgbm.Booster(model_file=f"{model}.txt")

        def predict(x):
            return booster.predict(x, num_threads=threads)

    pa.set_cpu_count(threads)
    file = pq.ParquetFile(source)
    if engine == "polars + LightGBM":
        import polars

        lazy = polars.scan_parquet(source)
        starts = range(0, file.metadata.num_rows, GROUP)
        chunks = (lazy.slice(start, GROUP).collect().to_numpy(order="c") for start in starts)
    elif engine == "pandas + LightGBM":
        chunks = (batch.to_pandas() for batch in file.iter_batches(GROUP))
    else:
        chunks = (np.column_stack([column.to_numpy() for column in batch.columns]) for batch in file.iter_batches(GROUP))
    with pq.ParquetWriter(target, pa.schema([("probability", pa.float64())])) as out:
        for chunk in chunks:
            out.write_table(pa.table({"probability": predict(chunk)}))


def commands(args, trees, source, threads):
    """Names and commands; `{out}` stands for the file that is written."""
    model = args.work / f"lgb{trees}"
    ours = [args.programs / "serve-score", "--quiet", "--registry", args.work / "registry", "--model", f"lgb{trees}",
            "--input", source, "--output", "{out}", "--threads", threads]
    yield "serve-score", ours, {}
    own = [sys.executable, __file__, "--peer"]
    limits = {"POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    for engine in ("ONNX Runtime", "polars + LightGBM", "pandas + LightGBM", "pyarrow + LightGBM"):
        yield engine, [*own, engine, model, source, "{out}", threads], limits


def run(command, environment):
    """Wall seconds, CPU seconds and the peak of resident memory in MiB."""
    began = time.time()
    process = subprocess.Popen([str(word) for word in command], env={**os.environ, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    return time.time() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def difference(left, right):
    """The greatest difference of the probabilities in two files."""
    import numpy as np
    import pyarrow.parquet as pq

    def read(path):
        table = pq.read_table(path)
        return table.column("probability" if "probability" in table.column_names else "probability_1").to_numpy()

    print(f"{np.abs(read(left) - read(right)).max():.1e}")


def apart(*words):
    """A function of this file in a process of its own: its last line."""
    command = [sys.executable, __file__, *(str(word) for word in words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def register(args, trees):
    registry = args.work / "registry"
    for n in trees:
        if not (registry / f"lgb{n}").exists():
            subprocess.run([args.programs / "serve-ctl", "import", "--registry", registry, "--name", f"lgb{n}", "--version", "v1",
                            "--promote", args.work / f"lgb{n}.txt"], check=True, stdout=subprocess.DEVNULL)


def main():
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    trees = [int(n) for n in args.trees.split(",")]
    apart("--train", args.work, *trees)
    source = apart("--rows", args.work, args.rows)
    register(args, trees)
    found, answers = {}, {}
    cells = [(n, int(t)) for n in trees for t in args.threads.split(",")]
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        for rep in range(args.reps):
            for n, threads in cells:
                for name, command, environment in commands(args, n, source, threads):
                    if not re.search(args.only, name):
                        continue
                    out = Path(folder) / "out.parquet"
                    taken = run([out if word == "{out}" else word for word in command], environment)
                    found.setdefault((n, threads, name), []).append(taken)
                    print(f"rep {rep}: {n} trees, {threads} threads, {name}: {taken[0]:.1f} s, CPU {taken[1]:.1f} s, "
                          f"{taken[2]:.0f} MiB", flush=True)
                    kept = Path(folder) / f"{n}-{name}.parquet"
                    answers[n, name] = out.rename(kept)
        for (n, name), kept in answers.items():
            reference = next((answers[key] for key in answers if key[0] == n and key[1].endswith("+ LightGBM")), None)
            if reference is not None and reference != kept:
                print(f"{n} trees, {name}: at most {apart('--difference', kept, reference)} from LightGBM")
    table(args, cells, found)


def table(args, cells, found):
    (args.work / "results.json").write_text(json.dumps([[*key, value] for key, value in found.items()]))
    for n, threads in cells:
        print(f"\n{args.rows:,} rows, {n} trees, {threads} thread(s)\n")
        print("| scorer | rows/s | CPU µs/row | peak MiB |\n|---|---|---|---|")
        for (trees, of, name), taken in found.items():
            if (trees, of) == (n, threads):
                wall, cpu, memory = (statistics.median(one) for one in zip(*taken))
                print(f"| {name} | {args.rows / wall:,.0f} | {cpu / args.rows * 1e6:.2f} | {memory:,.0f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--peer", engine, model, source, target, threads]:
            peer(engine, model, source, target, int(threads))
        case ["--train", work, *trees]:
            train(Path(work), [int(n) for n in trees])
        case ["--rows", work, rows]:
            print(write_rows(Path(work), int(rows)))
        case ["--difference", left, right]:
            difference(left, right)
        case _:
            main()
