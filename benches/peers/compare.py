"""Runs every engine on every model, in turns, and writes DIR/results.json; prints the tables as Markdown.

    compare.py DIR --ours ENGINE_COMPARE [--reps 3] [--only REGEX] [--cells 1/1,…] [--tables-only]

REGEX filters "MODEL ENGINE". One process per engine, model and repetition; it prints a line of JSON per cell and writes
its answers, which are compared with the training library's.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import lightgbm
import numpy as np
import xgboost

HERE = Path(__file__).parent
CELLS = "1/1,8/1,64/1,1000/1,100000/1,1000/2,100000/2"
TIME_LIMIT = 600  # seconds a process may take


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", type=Path)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--cells", default=CELLS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tables-only", action="store_true")
    return parser.parse_args()


def library(module, path):
    return Path(module.__file__).parent / path


def engines(args, model):
    """Name, program with its first arguments, and the options behind the common arguments."""
    name, family, file = model["name"], model["family"], args.dir / model["file"]
    driver, cells = args.dir / "driver", [args.cells]
    ours = file if family != "forest" else args.dir / f"{name}.onnx"
    yield "ours", [args.ours, ours], ["--cells", args.cells]
    yield "ours, AVX2", [args.ours, ours], ["--cells", args.cells, "--simd", "avx2"]
    if family == "lightgbm":
        yield "LightGBM C", [driver, "lightgbm", library(lightgbm, "lib/lib_lightgbm.so"), file], cells
        yield "lleaves C", [driver, "lleaves", args.dir / f"{name}.lleaves.so", file], cells
    if family == "xgboost":
        yield "XGBoost C", [driver, "xgboost", library(xgboost, "lib/libxgboost.so"), file], cells
    kind = "tl2cgen-f32" if family == "xgboost" else "tl2cgen"
    yield "tl2cgen C", [driver, kind, args.dir / f"{name}.tl2cgen.so", file], cells
    python = [sys.executable, HERE / "python_peers.py"]
    yield "ONNX Runtime", [*python, "onnxruntime", args.dir / f"{name}.onnx"], cells
    if family == "forest":
        yield "scikit-learn", [*python, "sklearn", file], cells


def run(program, options, args, described, reference):
    """The cells' lines, and the greatest difference to the trainer; None and the reason where it fails."""
    with tempfile.NamedTemporaryFile() as out:
        common = [args.dir / "x.f64", described["rows"], described["features"], out.name]
        command = [str(part) for part in [*program, *common, *options]]
        environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, env=environment)
        except subprocess.TimeoutExpired:
            return None, f"more than {TIME_LIMIT} s"
        if done.returncode:
            return None, (done.stderr.strip().splitlines() or ["no message"])[-1]
        answers = np.fromfile(out.name)
        return [json.loads(line) for line in done.stdout.splitlines()], float(np.abs(answers - reference).max())


class Results:
    """Per model and engine: the repetitions of every cell, the difference, or why there is nothing."""

    def __init__(self):
        self.entries = {}

    def add(self, model, engine, lines, told):
        entry = self.entries.setdefault(model, {}).setdefault(engine, {"cells": {}, "max_abs_diff": None, "failed": None})
        if lines is None:
            entry["failed"] = told
            return
        entry["max_abs_diff"] = told
        for line in lines:
            cell = entry["cells"].setdefault(f"{line['batch']}/{line['threads']}", {"wall_ns": [], "cpu_ns": []})
            cell["wall_ns"].append(line["wall_ns"])
            cell["cpu_ns"].append(line["cpu_ns"])


def measure(args, described):
    results = Results()
    for rep in range(args.reps):
        for model in described["models"]:
            reference = np.fromfile(args.dir / f"{model['name']}.ref.f64")
            wanted = [e for e in engines(args, model) if re.search(args.only, f"{model['name']} {e[0]}")]
            turn = rep % max(1, len(wanted))
            for engine, program, options in wanted[turn:] + wanted[:turn]:
                results.add(model["name"], engine, *run(program, options, args, described, reference))
            print(f"repetition {rep + 1}, {model['name']}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return results.entries


def shown(cell, entry):
    """What the tables show of a cell: CPU time for one thread, wall time for several."""
    if cell not in entry["cells"]:
        return None
    times = entry["cells"][cell]
    return statistics.median(times["cpu_ns" if cell.endswith("/1") else "wall_ns"])


def heading(cell):
    batch, threads = cell.split("/")
    return f"{int(batch):,} row{'s' * (batch != '1')}" + (f", {threads} threads" if threads != "1" else "")


def table(model, entries, cells):
    ours = entries.get("ours", {"cells": {}})
    lines = [f"\n### {model}\n", f"| engine | {' | '.join(map(heading, cells))} | difference |",
             "|---|" + "---|" * (len(cells) + 1)]
    for engine, entry in entries.items():
        if entry["failed"]:
            lines.append(f"| {engine} | failed: {entry['failed']} |" + " |" * len(cells))
            continue
        texts = []
        for cell in cells:
            theirs, mine = shown(cell, entry), shown(cell, ours)
            ratio = f" ({theirs / mine:.1f}×)" if theirs and mine and not engine.startswith("ours") else ""
            texts.append(f"{theirs:,.0f}{ratio}" if theirs else "")
        lines.append(f"| {engine} | {' | '.join(texts)} | {entry['max_abs_diff']:.1e} |")
    return "\n".join(lines)


def main():
    args = arguments()
    out = args.out or args.dir / "results.json"
    described = json.loads((args.dir / "models.json").read_text())
    if not args.tables_only:
        entries = measure(args, described)
        out.write_text(json.dumps({"cells": args.cells.split(","), "reps": args.reps, "models": entries}, indent=1))
    stored = json.loads(out.read_text())
    print(f"ns per row, {stored['reps']} repetitions; in brackets, how many times ours")
    for model, entries in stored["models"].items():
        print(table(model, entries, stored["cells"]))


main()
