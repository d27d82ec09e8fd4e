"""Model folders as MLflow writes them: python make_mlflow.py, with the packages of requirements-mlflow.txt.

Not a part of make.py, since MLflow is not in requirements.txt. What MLflow writes beside the model for Python
(environments, requirements) is removed: it is not read, and it names versions of the machine.
"""
import glob
import os
import warnings

import lightgbm
import mlflow.lightgbm
import mlflow.onnx
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import onnx
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from common import fresh_dir, write_csv

KEPT = {"MLmodel", "model.lgb", "model.xgb", "model.json", "model.ubj", "model.onnx"}


def data():
    rng = np.random.default_rng(4)
    x = pd.DataFrame(rng.normal(size=(60, 3)), columns=["age", "income", "floor"])
    return x, (x["age"] + x["income"] > 0).astype(int)


def tidy(path):
    for file in glob.glob(os.path.join(path, "**"), recursive=True):
        if os.path.isfile(file) and os.path.basename(file) not in KEPT:
            os.remove(file)


def save(name, flavor, model, x, answers, **more):
    path = fresh_dir("mlflow", name)
    os.rmdir(path)
    flavor.save_model(model, path, signature=infer_signature(x, answers), pip_requirements=["none"], **more)
    tidy(path)
    return path


def golden(path, x, answers):
    labels = (answers > 0.5).astype(int)
    rows = [[*row, label, 1 - p, p] for row, label, p in zip(x.to_numpy(), labels, answers)]
    write_csv(os.path.join(path, "golden.csv"), [*x.columns, "predict", "predict_proba:0", "predict_proba:1"], rows[:12])


def graph():
    """y = x @ w, as small as an ONNX file gets."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 1], [1.0, -2.0, 0.5])
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]) for name, width in (("x", 3), ("y", 1))]
    made = helper.make_graph([node], "linear", ends[:1], ends[1:], [weights])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    warnings.simplefilter("ignore")
    x, y = data()
    booster = lightgbm.train({"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1, "seed": 1},
                             lightgbm.Dataset(x, y), 3)
    golden(save("lightgbm", mlflow.lightgbm, booster, x, booster.predict(x)), x, booster.predict(x))
    params = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}
    plain = xgboost.train(params, xgboost.DMatrix(x.to_numpy(), y), 3)  # a file without names: the signature has them
    answers = plain.predict(xgboost.DMatrix(x.to_numpy())).astype(np.float64)
    for form in ("json", "ubj"):
        golden(save(f"xgboost-{form}", mlflow.xgboost, plain, x, answers, model_format=form), x, answers)
    save("onnx", mlflow.onnx, graph(), x.to_numpy(dtype=np.float32), np.zeros((60, 1), dtype=np.float32))
    save("sklearn", mlflow.sklearn, LogisticRegression().fit(x, y), x, y)
    os.makedirs(os.path.join(os.path.dirname(__file__), "mlflow"), exist_ok=True)


if __name__ == "__main__":
    main()
