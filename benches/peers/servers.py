"""serve-server beside FastAPI, over HTTP: one row of named features at a time, the same LightGBM model, in turns.

    servers.py FOLDER [--turns N] [--seconds S] [--features N]

FOLDER holds serve-server and serve-ctl. Needs wrk, and the packages of servers-requirements.txt; from the repository's root.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


def train(path, features):
    """100 trees of 31 leaves."""
    import lightgbm
    import numpy

    random = numpy.random.default_rng(7)
    rows = random.standard_normal((20_000, features))
    truth = rows[:, 0] * rows[:, 1] + rows[:, 2] > 0.3 * random.standard_normal(len(rows))
    names = [f"feature_{n:02}" for n in range(features)]
    data = lightgbm.Dataset(rows, truth, feature_name=names)
    settings = {"objective": "binary", "num_leaves": 31, "num_threads": 1, "verbosity": -1}
    lightgbm.train(settings, data, num_boost_round=100).save_model(path)
    return names


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def post(url, body):
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return json.load(answer)


def ready(url, body, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode}")
        try:
            return post(url, body)
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{url} does not answer")


def wrk(url, body, seconds):
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", HERE.parent / "post.lua", "--latency", url]
    command += ["--", "/predict", body, "Content-Type", "application/json"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in told:
        sys.exit(told)
    requests = int(re.search(r"(\d+) requests in", told)[1])
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", told)
    return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]), float(p99[1]) * scale[p99[2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--features", type=int, default=56)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        compare(arguments, Path(work))


def compare(arguments, work):
    model = work / "model.txt"
    names = train(model, arguments.features)
    row = {name: round((n * 0.37) % 3 - 1.5, 6) for n, name in enumerate(names)}
    body = work / "body.json"
    body.write_text(json.dumps({"features": row}))
    publish = [arguments.folder / "serve-ctl", "--registry", work / "models", "import", model]
    subprocess.run([*publish, "--name", "bench", "--promote"], check=True, stdout=subprocess.DEVNULL)
    ports = {"serve-server": free_port(), "FastAPI, 1 worker": free_port()}
    ours = [arguments.folder / "serve-server", "--registry", work / "models", "--port"]
    theirs = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--no-access-log", "--log-level", "warning", "--port"]
    environment = os.environ | {"MODEL": str(model), "OMP_NUM_THREADS": "1"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = {}
    try:
        for (name, port), command in zip(ports.items(), (ours, theirs)):
            command = [*command, str(port)]
            processes[name] = subprocess.Popen(command, cwd=None if command[0] == ours[0] else HERE, env=environment, **silent)
        take_turns(arguments, body, ports, processes)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def take_turns(arguments, body, ports, processes):
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    for name, url in urls.items():
        print(name, json.dumps(ready(f"{url}/predict", body.read_bytes(), processes[name]))[:400], file=sys.stderr)
    turns = {name: [] for name in urls}
    for _ in range(arguments.turns):
        for name, url in urls.items():
            before = cpu(processes[name].pid)
            requests, rate, p99 = wrk(url, body, arguments.seconds)
            turns[name].append((rate, p99, (cpu(processes[name].pid) - before) / requests * 1e6))
    print("| server | requests/s | p99, ms | µs of CPU a request | ours, times as many |")
    print("|---|---|---|---|---|")
    first = None
    for name, measured in turns.items():
        rate, p99, spent = (statistics.median(column) for column in zip(*measured))
        first = first or rate
        print(f"| {name} | {rate:,.0f} | {p99:.2f} | {spent:.1f} | {first / rate:.1f} |")


if __name__ == "__main__":
    main()
