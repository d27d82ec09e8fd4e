"""Compiles the trained models with tl2cgen and lleaves, and the driver that calls C APIs.

    compile.py DIR      what is there already is kept; times go to DIR/compile-seconds.json
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import joblib
import lleaves
import tl2cgen
import treelite

DIR = Path(sys.argv[1])
SECONDS = DIR / "compile-seconds.json"
seconds = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}


def to_treelite(model):
    path = DIR / model["file"]
    if model["family"] == "lightgbm":
        return treelite.frontend.load_lightgbm_model(path)
    if model["family"] == "xgboost":
        return treelite.frontend.load_xgboost_model(path)
    return treelite.sklearn.import_model(joblib.load(path))


def with_tl2cgen(model, out):
    tl2cgen.export_lib(to_treelite(model), toolchain="gcc", libpath=out, params={"parallel_comp": 32}, nthread=2,
                       options=["-O3", "-march=native"])


def with_lleaves(model, out):
    compiled = out.with_suffix(".o")
    lleaves.Model(str(DIR / model["file"])).compile(cache=str(compiled))
    subprocess.run(["gcc", "-shared", compiled, "-o", out, "-lm"], check=True)


def compile_one(compiler, model, compiled):
    out = DIR / f"{model['name']}.{compiler}.so"
    if out.exists():
        return
    start = time.time()
    compiled(model, out)
    seconds[f"{compiler} {model['name']}"] = round(time.time() - start, 1)
    SECONDS.write_text(json.dumps(seconds, indent=1))
    print(f"{compiler} {model['name']}: {time.time() - start:.1f} s", flush=True)


driver = Path(__file__).with_name("driver.c")
subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", driver, "-o", DIR / "driver", "-ldl", "-lpthread"], check=True)
models = json.loads((DIR / "models.json").read_text())["models"]
for each in models:
    if each["family"] == "lightgbm":
        compile_one("lleaves", each, with_lleaves)
for each in models:
    compile_one("tl2cgen", each, with_tl2cgen)
