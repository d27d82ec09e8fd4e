"""XGBoost JSON models and what the library itself predicts with them."""
import json
import os

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from common import NAN, awkward_rows, check_case, fresh_dir, seeded, write_case
from make_lightgbm import btc, categorical, many_zeros, with_nan

BASE = {"nthread": 1, "seed": 7, "max_depth": 3, "eta": 0.3, "verbosity": 0}
TOLERANCE = 2e-6


def matrix(x, model=None, **kw):
    """As the library reads f64 rows: each value rounded to f32, NaN missing."""
    if model is not None:
        kw = {"feature_names": model.feature_names, "feature_types": model.feature_types,
              "enable_categorical": True}
    return xgb.DMatrix(x, nthread=1, missing=NAN, **kw)


def softmax32(margins):
    """The library's softmax: f32 exponentials of differences from the largest margin."""
    e = np.exp(margins - margins.max(axis=1, keepdims=True))
    total = np.zeros(len(e), dtype=np.float64)
    for k in range(e.shape[1]):
        total += e[:, k]
    return e / total.astype(np.float32)[:, None]


def tree_facts(path):
    """{column: numeric thresholds} and {column: number of categories met} of a JSON model."""
    with open(path, encoding="utf-8") as f:
        model = json.load(f)
    thresholds, cats = {}, {}
    for t in model["learner"]["gradient_booster"]["model"]["trees"]:
        met = dict(zip(t.get("categories_nodes", []), t.get("categories_segments", [])))
        for node, left in enumerate(t["left_children"]):
            col = t["split_indices"][node]
            if left < 0:
                continue
            if "split_type" in t and t["split_type"][node] == 1:
                top = max(t["categories"][met[node]:], default=0)
                cats[col] = max(cats.get(col, 0), top + 1)
            else:
                thresholds.setdefault(col, []).append(t["split_conditions"][node])
    return thresholds, cats


def proba(model, data, objective):
    """The values predict() gives; for multi:softmax what multi:softprob would give."""
    if objective != "multi:softmax":
        return model.predict(data)
    margins = model.predict(data, output_margin=True)
    values = softmax32(margins)
    assert np.array_equal(np.argmax(values, axis=1), model.predict(data))
    return values


def make(name, task, notes, params, x, y, rounds=5, names=None, types=None, n_real=60,
         edit=None, extra=None, frame=None, n_thresholds=8, **train):
    """Trains, saves, reloads, writes the golden rows and checks them as read back."""
    rng = seeded("xgboost/" + name)
    params = {**BASE, **params}
    objective = params["objective"]
    source = xgb.DMatrix(frame, label=y, nthread=1, enable_categorical=True) \
        if frame is not None else \
        xgb.DMatrix(x, label=y, nthread=1, feature_names=names, feature_types=types,
                    enable_categorical=True)
    booster = xgb.train(params, source, rounds, **train)
    path = fresh_dir("xgboost", name)
    file = os.path.join(path, "model.json")
    booster.save_model(file)
    if edit:
        with open(file, encoding="utf-8") as f:
            model = edit(json.load(f))
        with open(file, "w", encoding="utf-8") as f:
            json.dump(model, f, separators=(",", ":"))
    loaded = xgb.Booster(params={"nthread": 1}, model_file=file)

    def raw(rows):
        return loaded.predict(matrix(rows, loaded), output_margin=True)

    thresholds, met = tree_facts(file)
    pool = x[rng.permutation(len(x))[:200]]
    awkward = awkward_rows(raw, pool, thresholds, met, rng, f32=True, n_thresholds=n_thresholds,
                           n_cat=30)
    rows = np.concatenate([x[-n_real:], awkward])
    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float32)
    assert np.array_equal(raw(rows), raw(rounded))  # inputs are f32 before the trees
    assert np.array_equal(booster.predict(matrix(rows, booster), output_margin=True), raw(rows))
    assert np.array_equal(loaded.inplace_predict(rows, predict_type="margin"), raw(rows))
    values = proba(loaded, matrix(rows, loaded), objective)
    if objective == "multi:softmax":  # the same trees as softprob, and its probabilities
        twin = xgb.train({**params, "objective": "multi:softprob"}, source, rounds, **train)
        softprob = twin.predict(matrix(rows, loaded))
        assert np.max(np.abs(softprob - values)) <= 2e-7
        values = softprob
    classes = None if task == "regression" else \
        [str(k) for k in range(values.shape[1] if values.ndim == 2 else 2)]
    case = {"library": "xgboost", "version": xgb.__version__, "objective": objective,
            "task": task, "classes": classes, "n_features": x.shape[1],
            "n_trees": len(loaded.get_dump()), "notes": notes, "tolerance": TOLERANCE}
    if booster.attr("best_iteration") is not None:
        best = int(booster.attr("best_iteration"))
        cut = loaded.predict(matrix(rows[:20], loaded), iteration_range=(0, best + 1))
        assert loaded.num_boosted_rounds() > best + 1
        case.update(best_iteration=best, predict_best_iteration=[float(v) for v in cut])
    names = loaded.feature_names or [f"f{j}" for j in range(x.shape[1])]
    write_case(path, names, rows, values, raw(rows), {**case, **(extra or {})})
    again = xgb.Booster(params={"nthread": 1}, model_file=file)

    def predict(v):
        data = matrix(v, again)
        if objective == "multi:softmax":
            assert np.array_equal(np.argmax(softprob, axis=1), again.predict(data))
            return softprob, again.predict(data, output_margin=True)
        return again.predict(data), again.predict(data, output_margin=True)

    check_case(path, predict)
    return file


def as_1_7(model):
    """The model as XGBoost 1.7 wrote it: scalar base_score, no cats, no iteration_indptr."""
    learner = model["learner"]
    score = learner["learner_model_param"]["base_score"].strip("[]")
    learner["learner_model_param"]["base_score"] = score
    gbtree = learner["gradient_booster"]["model"]
    del gbtree["cats"], gbtree["iteration_indptr"]
    gbtree["gbtree_model_param"]["size_leaf_vector"] = "0"
    for tree in gbtree["trees"]:
        tree["tree_param"]["size_leaf_vector"] = "0"
    model["version"] = [1, 7, 6]
    return model


def as_1_0(model):
    """Further back: booleans for default_left, no categories, no split types."""
    model = as_1_7(model)
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        tree["default_left"] = [bool(v) for v in tree["default_left"]]
        for key in [k for k in tree if k.startswith("categories")] + ["split_type"]:
            del tree[key]
    del model["learner"]["feature_names"], model["learner"]["feature_types"]
    model["version"] = [1, 0, 2]
    return model


def binary_cases(data):
    b = {"objective": "binary:logistic"}
    x, y = load_breast_cancer(return_X_y=True)
    names = list(load_breast_cancer().feature_names)
    rng = seeded("xgboost/data")
    nx = with_nan(x, rng)
    make("binary", "binary", "numeric splits; feature names with spaces; base_score estimated",
         b, x, y, 8, names)
    make("binary-no-names", "binary", "no feature names in the file: f0, f1, ...", b, x, y, 4)
    make("binary-nan", "binary", "NaN in training, default directions both ways", b, nx, y, 8,
         names)
    make("binary-base-score", "binary", "base_score=0.2 given (a probability; the margin starts at "
         "its logit)", {**b, "base_score": 0.2}, x, y, 4, names)
    make("binary-exact", "binary", "tree_method=exact", {**b, "tree_method": "exact"}, nx, y, 4,
         names)
    make("binary-hist", "binary", "tree_method=hist, max_bin=16", {
        **b, "tree_method": "hist", "max_bin": 16}, nx, y, 4, names)
    make("binary-lossguide", "binary", "max_depth=0, grow_policy=lossguide, max_leaves=9", {
        **b, "max_depth": 0, "grow_policy": "lossguide", "max_leaves": 9, "tree_method": "hist"},
        nx, y, 4, names)
    make("binary-forest", "binary", "num_parallel_tree=4 over three rounds", {
        **b, "num_parallel_tree": 4, "subsample": 0.7, "colsample_bynode": 0.5}, x, y, 3, names)
    make("binary-constant", "binary", "nothing to gain by splitting (gamma=1e9): trees of one leaf",
         {**b, "gamma": 1e9}, x, y, 3, names)
    zx, zy = many_zeros(rng)
    make("binary-zeros", "binary", "sparse columns: 0 and -0.0 are values, not missing; thresholds "
         "near zero", b, zx, zy, 8, n_thresholds=10)
    odd = ["a,b", 'say "x"', "naïve", "цена", "价格", "x=1", "50%", "it's", " lead", "new.name-1"]
    make("binary-odd-names", "binary", "feature names with commas, quotes, unicode, blanks",
         b, x[:, :10], y, 3, odd)
    watch = matrix(x[400:], label=y[400:], feature_names=names)
    make("binary-early-stopping", "binary", "early stopping: the file keeps every tree and an "
         "attribute best_iteration; Booster.predict() and inplace_predict() use every tree "
         "(golden.csv), XGBClassifier those up to best_iteration (predict_best_iteration)",
         {**b, "eta": 1.0, "eval_metric": "logloss"}, x[:400], y[:400], 40, names,
         evals=[(watch, "valid")], early_stopping_rounds=3, verbose_eval=False)
    make("binary-1.7-style", "binary", "hand-edited copy in the manner of XGBoost 1.7: base_score "
         "without brackets, no cats, no iteration_indptr, version [1,7,6]; same answers",
         {**b, "base_score": 0.5}, nx, y, 4, names, edit=as_1_7)
    make("binary-1.0-style", "binary", "hand-edited copy in the manner of XGBoost 1.0: also "
         "booleans in default_left, no split_type, no feature_names; same answers",
         {**b, "base_score": 0.3}, nx, y, 4, names, edit=as_1_0)
    cx, score = categorical(rng)
    cy = (score > 0).astype(int)
    cat = {**b, "tree_method": "hist", "max_depth": 4}
    types = ["q", "c", "c", "q", "c"]
    cnames = ["size", "kind", "shop", "price", "code"]
    make("binary-categorical", "binary", "category columns of 5, 40 and 100 values; "
         "max_cat_to_onehot=1: sets of categories, which go right", {**cat, "max_cat_to_onehot": 1},
         cx, cy, 4, cnames, types, n_real=30)
    make("binary-categorical-onehot", "binary", "the same with max_cat_to_onehot=200: one category "
         "goes right", {**cat, "max_cat_to_onehot": 200}, cx, cy, 4, cnames, types, n_real=30)
    fx, fs = categorical(rng, missing=False)
    frame = pd.DataFrame({
        "size": fx[:, 0],
        "colour": pd.Categorical(np.array(["red", "green", "blue", "a", "日本"])[
            fx[:, 1].astype(int)]),
        "shop": pd.Categorical(((fx[:, 2] - 3) * 10).astype(int)), "price": fx[:, 3]})
    codes = np.column_stack([frame["size"], frame["colour"].cat.codes, frame["shop"].cat.codes,
                             frame["price"]]).astype(float)
    mapped = {"categories": {"colour": list(frame["colour"].cat.categories),
                             "shop": [int(v) for v in frame["shop"].cat.categories]}}
    make("binary-pandas", "binary", "pandas category columns: the file keeps the categories "
         "(cats); golden.csv holds the codes", {**cat, "max_cat_to_onehot": 4}, codes,
         (fs > 0).astype(int), 4, frame=frame, n_real=30, extra=mapped)
    if data:
        bx, by, columns = btc(data)
        make("binary-btc", "binary", "bitcoin: is the next day's close higher; 11 features of "
             "returns, range, volume and news", {**b, "eta": 0.1}, bx, by, 12, columns)


def multiclass_cases():
    rng = seeded("xgboost/multiclass")
    m = {"objective": "multi:softprob", "max_depth": 3}
    x, y = load_iris(return_X_y=True)
    order = rng.permutation(len(x))
    make("softprob-iris", "multiclass", "softmax over three classes", {**m, "num_class": 3},
         x[order], y[order], 5, list(load_iris().feature_names))
    x, y = load_digits(return_X_y=True)
    make("softprob-digits", "multiclass", "ten classes, 64 columns; a base_score for each class",
         {**m, "num_class": 10}, x, y, 3)
    x, y = load_wine(return_X_y=True)
    order = rng.permutation(len(x))
    make("softmax-wine", "multiclass", "multi:softmax: predict() gives the label only; the "
         "probabilities here are those of the same model with multi:softprob",
         {**m, "objective": "multi:softmax", "num_class": 3}, x[order], y[order], 5,
         list(load_wine().feature_names))
    make("softprob-forest", "multiclass", "num_parallel_tree=2 with three classes", {
        **m, "num_class": 3, "num_parallel_tree": 2, "subsample": 0.6}, x[order], y[order], 3)
    cx, score = categorical(rng)
    make("softprob-categorical", "multiclass", "four classes, category columns, NaN in training",
         {**m, "num_class": 4, "tree_method": "hist", "max_cat_to_onehot": 6}, cx,
         np.digitize(score, np.quantile(score, [0.3, 0.6, 0.8])), 3,
         ["size", "kind", "shop", "price", "code"], ["q", "c", "c", "q", "c"], n_real=30)


def regression_cases():
    rng = seeded("xgboost/regression")
    r = {"objective": "reg:squarederror"}
    x, y = load_diabetes(return_X_y=True)
    names = list(load_diabetes().feature_names)
    make("regression", "regression", "numeric splits on diabetes; base_score the mean", r, x, y / 100,
         8, names)
    make("regression-base-score", "regression", "base_score=-1.5 given, many small leaves",
         {**r, "base_score": -1.5, "max_depth": 6}, x, y / 100, 3, names)
    cx, score = categorical(rng)
    make("regression-categorical", "regression", "category columns and NaN in training",
         {**r, "tree_method": "hist", "max_cat_to_onehot": 6}, cx, score, 5,
         ["size", "kind", "shop", "price", "code"], ["q", "c", "c", "q", "c"], n_real=30)
    make("regression-exact", "regression", "tree_method=exact, values of very different size "
         "(thresholds from 1e-30 to 1e30)", {**r, "tree_method": "exact"},
         x * np.logspace(-30, 30, x.shape[1]), y / 100, 5, names)


def run(data):
    binary_cases(data)
    multiclass_cases()
    regression_cases()
