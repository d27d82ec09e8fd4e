"""serve-server beside FastAPI and furnace-server, over HTTP: one row at a time, the same LightGBM model, in turns.

    servers.py FOLDER [--furnace PROGRAM] [--turns N] [--seconds S] [--features N]

FOLDER holds serve-server and serve-ctl; PROGRAM is furnace/'s. Features are named to serve-server and FastAPI; furnace-server
takes a tensor of float32, as JSON of the Open Inference Protocol, and is beside serve-server with the same body too. Needs wrk
and the packages of servers-requirements.txt; from the repository's root.
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
from dataclasses import dataclass
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


def wrk(server, seconds):
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", HERE.parent / "post.lua", "--latency", server.url]
    command += ["--", server.path, server.body, "Content-Type", "application/json"]
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
    parser.add_argument("--furnace", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--features", type=int, default=56)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        compare(arguments, Path(work))


@dataclass
class Server:
    """A server under measurement, and what it is asked."""

    name: str
    url: str
    path: str
    body: Path
    process: subprocess.Popen


def compare(arguments, work):
    model = work / "model.txt"
    names = train(model, arguments.features)
    row = {name: round((n * 0.37) % 3 - 1.5, 6) for n, name in enumerate(names)}
    named = work / "named.json"
    named.write_text(json.dumps({"features": row}))
    tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP32", "data": list(row.values())}
    tensors = work / "tensors.json"
    tensors.write_text(json.dumps({"inputs": [tensor]}))
    publish = [arguments.folder / "serve-ctl", "--registry", work / "models", "import", model]
    subprocess.run([*publish, "--name", "bench", "--promote"], check=True, stdout=subprocess.DEVNULL)
    servers = []

    def start(command, cwd=None):
        port = free_port()
        environment = os.environ | {"MODEL": str(model), "OMP_NUM_THREADS": "1"}
        command = [str(port) if part == "PORT" else part for part in command]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return f"http://127.0.0.1:{port}", subprocess.Popen(command, cwd=cwd, env=environment, **silent)

    infer = "/v2/models/bench/infer"
    try:
        url, ours = start([arguments.folder / "serve-server", "--registry", work / "models", "--port", "PORT"])
        servers.append(Server("serve-server, named features", url, "/predict", named, ours))
        uvicorn = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--no-access-log", "--log-level", "warning"]
        theirs, process = start([*uvicorn, "--port", "PORT"], HERE)
        servers.append(Server("FastAPI, 1 worker, named features", theirs, "/predict", named, process))
        servers.append(Server("serve-server, tensor in JSON", url, infer, tensors, ours))
        if arguments.furnace:
            import lightgbm

            library = Path(lightgbm.__file__).parent / "lib" / "lib_lightgbm.so"
            theirs, process = start([arguments.furnace, "PORT", library, model])
            servers.append(Server("furnace-server, tensor in JSON", theirs, infer, tensors, process))
        take_turns(arguments, servers)
    finally:
        for server in servers:
            server.process.kill()
            server.process.wait()


def take_turns(arguments, servers):
    for server in servers:
        answer = ready(server.url + server.path, server.body.read_bytes(), server.process)
        print(server.name, json.dumps(answer)[:400], file=sys.stderr)
    turns = [[] for _ in servers]
    for _ in range(arguments.turns):
        for server, measured in zip(servers, turns):
            before = cpu(server.process.pid)
            requests, rate, p99 = wrk(server, arguments.seconds)
            measured.append((rate, p99, (cpu(server.process.pid) - before) / requests * 1e6))
    print("| server | requests/s | p99, ms | µs of CPU a request | ours, times as many |")
    print("|---|---|---|---|---|")
    ours = {}
    for server, measured in zip(servers, turns):
        rate, p99, spent = (statistics.median(column) for column in zip(*measured))
        first = ours.setdefault(server.body, rate)
        print(f"| {server.name} | {rate:,.0f} | {p99:.2f} | {spent:.1f} | {first / rate:.1f} |")


if __name__ == "__main__":
    main()
