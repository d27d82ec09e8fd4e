"""Explaining a row: this engine's contributions beside LightGBM's pred_contrib and XGBoost's pred_contribs.

    python benches/peers/explain.py PATH/explain-compare [--reps 3] [--work target/explain]

One thread, engines in turns, CPU microseconds per row, medians over the repetitions. Ours runs as a program of its own;
the libraries are called from Python with the batch as their matrix (XGBoost: a DMatrix made beforehand).
"""
import argparse
import json
import os
import statistics
import subprocess
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import lightgbm as lgb  # noqa: E402
import numpy as np  # noqa: E402
import xgboost as xgb  # noqa: E402

BATCHES = (1, 100, 500)
ROWS, FEATURES = 2000, 56


def models(work):
    rng = np.random.default_rng(11)
    x = rng.normal(size=(20000, FEATURES)).astype(np.float32).astype(np.float64)
    score = x[:, :12].sum(axis=1) + x[:, 12] * x[:, 13] - np.abs(x[:, 14]) + rng.normal(size=len(x))
    y = (score > 0).astype(int)
    params = {"objective": "binary", "num_leaves": 31, "num_threads": 1, "verbose": -1, "seed": 7}
    light = os.path.join(work, "lightgbm-100x31.txt")
    lgb.train(params, lgb.Dataset(x, y), 100).save_model(light)
    boost = os.path.join(work, "xgboost-100xd6.json")
    xgb.train({"objective": "binary:logistic", "max_depth": 6, "nthread": 1, "seed": 7},
              xgb.DMatrix(x, y), 100).save_model(boost)
    return light, boost, x[:ROWS]


def per_row(call, rows, batch):
    """CPU microseconds of `call` per row, over about half a second."""
    parts = [rows[i:i + batch] for i in range(0, len(rows) - batch + 1, batch)]
    call(parts[0])
    start, done = time.process_time(), 0
    while time.process_time() - start < 0.5:
        call(parts[done % len(parts)])
        done += 1
    return (time.process_time() - start) * 1e6 / (done * batch)


def lightgbm_calls(file):
    booster = lgb.Booster(model_file=file)
    return lambda rows: booster.predict(rows, pred_contrib=True, num_threads=1)


def xgboost_calls(file, rows):
    booster = xgb.Booster(params={"nthread": 1}, model_file=file)
    made = {}

    def call(part):
        key = (part.__array_interface__["data"][0], len(part))
        if key not in made:
            made[key] = xgb.DMatrix(part, nthread=1)
        return booster.predict(made[key], pred_contribs=True)

    for batch in BATCHES:
        for i in range(0, len(rows) - batch + 1, batch):
            part = rows[i:i + batch]
            made[(part.__array_interface__["data"][0], batch)] = xgb.DMatrix(part, nthread=1)
    return call


def ours(program, file, rows_file, work):
    out = os.path.join(work, "ours.f64")
    lines = subprocess.run([program, file, rows_file, str(ROWS), str(FEATURES), out], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    told = [json.loads(line) for line in lines]
    return {line["batch"]: line["us"] for line in told if "batch" in line}, told[0]["made_ms"], out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--work", default="target/explain")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    light, boost, rows = models(args.work)
    rows_file = os.path.join(args.work, "rows.f64")
    rows.tofile(rows_file)
    print("| model | batch | ours | library | ratio | greatest difference |\n|---|---|---|---|---|---|")
    for name, file, call in (("LightGBM 100x31", light, lightgbm_calls(light)),
                             ("XGBoost 100 d6", boost, xgboost_calls(boost, rows))):
        mine, theirs = {b: [] for b in BATCHES}, {b: [] for b in BATCHES}
        for _ in range(args.reps):
            times, made, out = ours(args.program, file, rows_file, args.work)
            for batch in BATCHES:
                mine[batch].append(times[batch])
                theirs[batch].append(per_row(call, rows, batch))
        told = np.fromfile(out).reshape(ROWS, -1)
        difference = np.abs(told[:500] - call(rows[:500])).max()
        for batch in BATCHES:
            a, b = statistics.median(mine[batch]), statistics.median(theirs[batch])
            print(f"| {name} | {batch} | {a:.1f} | {b:.0f} | {b / a:.0f} | {difference:.1e} |")
        print(f"{name}: the explainer is made in {made:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
