"""Trains the models that are compared, and writes them in every format that an engine reads.

    train.py OUT [--rows N] [--features N] [--seed N] [--lightgbm 100x31 500x63] [--xgboost 100d6] [--forest 100d10]

OUT/x.f64        test rows, raw little-endian row-major float64; the values are exact in float32
OUT/models.json  what there is: rows, features, and per model its name, family and files
OUT/NAME.txt|.json|.joblib, NAME.onnx, NAME.ref.f64 (the trainer's own P(class 1) of the test rows)
"""

import argparse
import json
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType as SklearnFloatTensorType
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=100_000, help="test rows; as many are trained on")
    parser.add_argument("--features", type=int, default=56)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lightgbm", nargs="*", default=["100x31", "500x63"], metavar="TREESxLEAVES")
    parser.add_argument("--xgboost", nargs="*", default=["100d6"], metavar="TREESdDEPTH")
    parser.add_argument("--forest", nargs="*", default=["100d10"], metavar="TREESdDEPTH")
    return parser.parse_args()


def data(args):
    informative = max(2, args.features * 20 // 56)
    rows, labels = make_classification(
        n_samples=2 * args.rows, n_features=args.features, n_informative=informative, n_redundant=informative // 2,
        n_clusters_per_class=4, flip_y=0.05, random_state=args.seed)
    rows = np.ascontiguousarray(rows.astype(np.float32).astype(np.float64))
    return rows[:args.rows], labels[:args.rows], np.ascontiguousarray(rows[args.rows:])


def lightgbm_model(size, seed, path):
    trees, leaves = map(int, size.split("x"))
    model = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=leaves, random_state=seed, n_jobs=2, verbose=-1,
                                    deterministic=True, force_row_wise=True, min_child_samples=5)
    return model, lambda: model.booster_.save_model(path), convert_lightgbm


def xgboost_model(size, seed, path):
    trees, depth = map(int, size.split("d"))
    model = xgboost.XGBClassifier(n_estimators=trees, max_depth=depth, random_state=seed, n_jobs=2)
    return model, lambda: model.get_booster().save_model(path), convert_xgboost


def forest_model(size, seed, path):
    trees, depth = map(int, size.split("d"))
    model = RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=seed, n_jobs=1)
    return model, lambda: joblib.dump(model, path), None


def onnx(model, convert, features):
    if convert is None:
        inputs = [("x", SklearnFloatTensorType([None, features]))]
        return to_onnx(model, initial_types=inputs, options={"zipmap": False}, target_opset=18)
    options = {"zipmap": False} if convert is convert_lightgbm else {}
    return convert(model, initial_types=[("x", FloatTensorType([None, features]))], target_opset=15, **options)


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    described = {"rows": args.rows, "features": args.features, "seed": args.seed, "models": []}
    if (args.out / "models.json").exists():
        print("there are models already:", args.out)
        return
    rows, labels, test = data(args)
    test.tofile(args.out / "x.f64")
    families = [("lightgbm", args.lightgbm, ".txt", lightgbm_model), ("xgboost", args.xgboost, ".json", xgboost_model),
                ("forest", args.forest, ".joblib", forest_model)]
    for family, sizes, ending, make in families:
        for size in sizes:
            name = f"{family}-{size}"
            path = args.out / f"{name}{ending}"
            model, save, convert = make(size, args.seed, path)
            model.fit(rows, labels)
            save()
            model.predict_proba(test)[:, 1].astype(np.float64).tofile(args.out / f"{name}.ref.f64")
            (args.out / f"{name}.onnx").write_bytes(onnx(model, convert, args.features).SerializeToString())
            described["models"].append({"name": name, "family": family, "file": path.name})
            print(f"{name}: accuracy on the training rows {model.score(rows, labels):.4f}", flush=True)
    (args.out / "models.json").write_text(json.dumps(described, indent=1))


main()
