"""Times the engines that are called from Python; prints what engine-compare prints.

    python_peers.py onnxruntime|sklearn MODEL X.f64 ROWS FEATURES PRED_OUT CELLS
"""

import json
import statistics
import sys
import time

import numpy as np

CHUNK, ENOUGH_CPU, ENOUGH_WALL, MIN_CHUNKS = 0.5e6, 120e6, 3e9, 3


def onnxruntime(model, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    probabilities, name = [made.get_outputs()[1].name], made.get_inputs()[0].name
    return lambda rows: made.run(probabilities, {name: rows})[0][:, 1]


def sklearn(model, threads):
    import joblib

    made = joblib.load(model).set_params(n_jobs=threads)
    return lambda rows: made.predict_proba(rows)[:, 1]


ENGINES = {"onnxruntime": (onnxruntime, np.float32), "sklearn": (sklearn, np.float64)}


def measure(predict, rows, batch):
    state = {"next": 0}

    def call():
        if state["next"] + batch > len(rows):
            state["next"] = 0
        predict(rows[state["next"]:state["next"] + batch])
        state["next"] += batch

    call()
    start, calls = time.perf_counter_ns(), 0
    while time.perf_counter_ns() - start < 4 * CHUNK and calls < 10_000:
        call()
        calls += 1
    per_chunk = max(1, round(CHUNK * calls / (time.perf_counter_ns() - start)))
    chunks, begin, cpu_begin = [], time.perf_counter_ns(), time.process_time_ns()
    while True:
        chunk = time.perf_counter_ns()
        for _ in range(per_chunk):
            call()
        chunks.append((time.perf_counter_ns() - chunk) / (per_chunk * batch))
        cpu = time.process_time_ns() - cpu_begin
        done = cpu > ENOUGH_CPU or time.perf_counter_ns() - begin > ENOUGH_WALL
        if done and len(chunks) >= MIN_CHUNKS:
            return statistics.median(chunks), cpu / (len(chunks) * per_chunk * batch)


def main():
    engine, model, file, count, features, out, cells = sys.argv[1:]
    load, dtype = ENGINES[engine]
    rows = np.fromfile(file).reshape(int(count), int(features)).astype(dtype)
    # Idle threads of an ONNX session spin for a while, so each number of threads has a session of its own, one at a time.
    for threads in (1, 2):
        predict = load(model, threads)
        for cell in cells.split(","):
            batch, wanted = map(int, cell.split("/"))
            if wanted == threads and batch <= len(rows):
                wall, cpu = measure(predict, rows, batch)
                print(json.dumps({"batch": batch, "threads": threads, "wall_ns": round(wall, 1), "cpu_ns": round(cpu, 1)}))
        del predict
    load(model, 1)(rows).astype(np.float64).tofile(out)


main()
