"""Contributions and importances as the libraries tell them, for the models of the other folders
and for some of its own. `forests.json` needs the package shap as well (shap==0.51.0, numpy as it wants)."""
import json
import os

import numpy as np

from common import HERE, cell, fresh_dir, read_csv, seeded, write_json

MOST_NUMBERS = 1000  # of one case


def shown(values):
    """Contributions as text that reads back the same; most are 0."""
    return [float(cell(v)) for v in np.asarray(values, dtype=np.float64).ravel()]


def chosen(rows, width):
    """Rows from all over a golden file, so that awkward ones are among them."""
    count = max(3, min(len(rows), MOST_NUMBERS // width))
    return sorted(set(np.linspace(0, len(rows) - 1, count).astype(int).tolist()))


def write(name, by, picked, contributions, gain, split, extra=None):
    path = os.path.join(HERE, "contributions", name + ".json")
    case = {"by": by, "rows": picked, "gain": gain, "split": split, **(extra or {}),
            "contributions": [shown(row) for row in contributions]}
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(case, f, separators=(",", ":"))
        f.write("\n")


def lightgbm_case(name, folder):
    import lightgbm as lgb
    booster = lgb.Booster(model_file=os.path.join(folder, "model.txt"))
    with open(os.path.join(folder, "case.json"), encoding="utf-8") as f:
        case = json.load(f)
    _, rows, _, _ = read_csv(os.path.join(folder, "golden.csv"), case["n_features"])
    width = (case["n_features"] + 1) * booster.num_model_per_iteration()
    picked = chosen(rows, width)
    try:
        values = booster.predict(rows[picked], pred_contrib=True, num_threads=1)
    except lgb.basic.LightGBMError:
        return  # linear trees
    write("lightgbm-" + name, f"lightgbm {lgb.__version__}", picked, values,
          shown(booster.feature_importance("gain")), shown(booster.feature_importance("split")))


def xgboost_matrix(rows, booster):
    import xgboost as xgb
    return xgb.DMatrix(rows, nthread=1, missing=np.nan, feature_names=booster.feature_names,
                       feature_types=booster.feature_types, enable_categorical=True)


def xgboost_case(name, file, rows, extra=None):
    import xgboost as xgb
    booster = xgb.Booster(params={"nthread": 1}, model_file=file)
    names = booster.feature_names or [f"f{j}" for j in range(rows.shape[1])]
    groups = booster.predict(xgboost_matrix(rows[:1], booster), output_margin=True).size
    picked = chosen(rows, (rows.shape[1] + 1) * groups)
    try:
        values = booster.predict(xgboost_matrix(rows[picked], booster), pred_contribs=True)
    except xgb.core.XGBoostError:
        return  # vector leaves
    score = {kind: booster.get_score(importance_type=kind) for kind in ("total_gain", "weight")} \
        if not (extra or {}).get("linear") else {}
    gain, split = ([float(score[kind].get(n, 0.0)) for n in names] if score else None
                   for kind in ("total_gain", "weight"))
    write("xgboost-" + name, f"xgboost {xgb.__version__}", picked, values, gain, split, extra)


def own_xgboost():
    """Boosters that the folder xgboost/ lacks; the model and its rows stand beside the answers."""
    import xgboost as xgb
    from sklearn.datasets import load_iris, load_wine
    rng = seeded("shap-xgboost")
    wine, wine_class = load_wine(return_X_y=True)
    iris, iris_class = load_iris(return_X_y=True)
    gaps = wine.copy()
    gaps[rng.random(gaps.shape) < 0.1] = np.nan
    deep = {"max_depth": 0, "max_leaves": 40, "grow_policy": "lossguide", "tree_method": "hist",
            "min_child_weight": 0.01}
    noise = rng.normal(size=(400, 12))
    sums = noise[:, 0] * noise[:, 1] + noise[:, 2:].sum(axis=1) + rng.normal(size=400)
    models = [
        ("dart", {"booster": "dart", "rate_drop": 0.4, "objective": "binary:logistic", "max_depth": 4},
         gaps, (wine_class == 1), 6),
        ("forest", {"num_parallel_tree": 3, "objective": "multi:softprob", "num_class": 3,
                    "max_depth": 3, "subsample": 0.7}, iris, iris_class, 2),
        ("deep", {"objective": "reg:squarederror", **deep}, noise, sums, 3),
        ("linear", {"booster": "gblinear", "objective": "reg:squarederror"}, noise, sums, 8),
        ("linear-classes", {"booster": "gblinear", "objective": "multi:softprob", "num_class": 3},
         iris, iris_class, 8),
    ]
    for name, params, x, y, rounds in models:
        booster = xgb.train({"nthread": 1, "seed": 7, **params}, xgb.DMatrix(x, y, nthread=1), rounds)
        file = os.path.join(HERE, "contributions", f"xgboost-own-{name}.model.json")
        booster.save_model(file)
        rows = np.concatenate([x[:6], np.full((1, x.shape[1]), np.nan), -x[:1], x[:1] * 1e30])
        inputs = [[None if np.isnan(v) else float(v) for v in row] for row in rows]
        extra = {"inputs": inputs, "linear": name.startswith("linear")}
        xgboost_case("own-" + name, file, rows, extra)


def deep_lightgbm():
    """Leaf-wise trees far deeper than a lane of quadrature points is wide, and a category column."""
    import lightgbm as lgb
    rng = seeded("shap-deep")
    x = rng.normal(size=(600, 40))
    x[:, 7] = rng.integers(0, 20, size=600)
    # Each split peels off a few rows, so that paths ask many features.
    y = np.exp(x[:, :7]).sum(axis=1) + x[:, 8:].sum(axis=1) + (x[:, 7] % 3) * 4
    params = {"objective": "regression", "num_leaves": 60, "min_data_in_leaf": 1, "max_depth": -1,
              "learning_rate": 0.3, "feature_fraction_bynode": 0.1, "verbose": -1, "num_threads": 1,
              "deterministic": True, "seed": 7}
    booster = lgb.train(params, lgb.Dataset(x, y, categorical_feature=[7]), 3)
    file = os.path.join(HERE, "contributions", "lightgbm-own-deep.model.txt")
    booster.save_model(file)
    rows = np.concatenate([x[:8], np.full((1, 40), np.nan), np.full((1, 40), np.inf), np.zeros((1, 40))])
    values = lgb.Booster(model_file=file).predict(rows, pred_contrib=True)
    inputs = [[None if np.isnan(v) else ("inf" if np.isinf(v) else float(v)) for v in row] for row in rows]
    write("lightgbm-own-deep", f"lightgbm {lgb.__version__}", list(range(len(rows))), values,
          shown(booster.feature_importance("gain")), shown(booster.feature_importance("split")),
          {"inputs": inputs})


def forests():
    """scikit-learn's trees as arrays, with the package shap's path-dependent values."""
    import shap
    import sklearn
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.tree import DecisionTreeRegressor
    cases = []
    cx, cy = load_breast_cancer(return_X_y=True)
    for name, model, (x, y) in [
        ("binary", RandomForestClassifier(4, max_depth=5, random_state=7), (cx[:, :8], cy)),
        ("classes", RandomForestClassifier(4, max_depth=3, random_state=7), load_iris(return_X_y=True)),
        ("regression", RandomForestRegressor(4, max_depth=4, random_state=7),
         load_diabetes(return_X_y=True)),
        ("tree", DecisionTreeRegressor(max_depth=6, random_state=7), load_diabetes(return_X_y=True)),
    ]:
        model.fit(x, y)
        rows = np.concatenate([x[:10], -x[:1], np.zeros((1, x.shape[1]))])
        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        values = np.asarray(explainer.shap_values(rows, check_additivity=False))
        values = values[:, :, None] if values.ndim == 2 else values  # [rows, features, outputs]
        trees = [m.tree_ for m in getattr(model, "estimators_", [model])]
        cases.append({
            "name": name, "features": x.shape[1], "rows": rows.tolist(),
            "expected": np.ravel(explainer.expected_value).tolist(),
            "contributions": values.transpose(0, 2, 1).tolist(),
            "trees": [{"children_left": t.children_left.tolist(), "children_right": t.children_right.tolist(),
                       "feature": t.feature.tolist(), "threshold": t.threshold.tolist(),
                       "cover": t.weighted_n_node_samples.tolist(), "value": t.value[:, 0, :].tolist()}
                      for t in trees]})
    write_json(os.path.join(HERE, "contributions", "forests.json"),
               {"by": f"shap {shap.__version__} on scikit-learn {sklearn.__version__}", "cases": cases})


def run(_data):
    kept = os.path.join(HERE, "contributions", "forests.json")
    kept = open(kept, encoding="utf-8").read() if os.path.exists(kept) else None
    fresh_dir("contributions")
    try:
        forests()
    except ImportError as error:
        print(f"forests.json is kept as it was: {error}")
        with open(os.path.join(HERE, "contributions", "forests.json"), "w", encoding="utf-8") as f:
            f.write(kept or "")
    for library in ("lightgbm", "xgboost"):
        for name in sorted(os.listdir(os.path.join(HERE, library))):
            folder = os.path.join(HERE, library, name)
            if library == "lightgbm":
                lightgbm_case(name, folder)
                continue
            with open(os.path.join(folder, "case.json"), encoding="utf-8") as f:
                case = json.load(f)
            _, rows, _, _ = read_csv(os.path.join(folder, "golden.csv"), case["n_features"])
            file = os.path.join(folder, "model.json")
            if os.path.exists(file):
                xgboost_case(name, file, rows)
    own_xgboost()
    deep_lightgbm()
