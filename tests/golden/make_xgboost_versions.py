"""XGBoost models of every objective and booster, in both file forms, with the margins and answers of the version that
trained them. Runs with any XGBoost from 1.0 on and writes xgboost-<version>/<case>/:

    model.json, model.ubj   the same booster (no model.ubj before 1.6)
    golden.json             rows, margins and answers; null is NaN

    python make_xgboost_versions.py
"""
import json
import os
import shutil
import zlib

import numpy as np
import xgboost as xgb

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = tuple(int(part) for part in xgb.__version__.split(".")[:2])
NAN = float("nan")
F32 = np.float32
# What versions before 3.2 write otherwise; the other cases would only repeat those of 3.2.
OLDER = {"binary-logistic", "binary-logitraw", "categories-sets", "count-poisson", "dart", "forest-slice", "gblinear-classes",
         "multi-softprob", "no-rounds", "several-targets", "vector-classes", "vector-targets"}


def fresh(name):
    path = os.path.join(HERE, "xgboost-" + xgb.__version__, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def columns(rng, n=240, missing=0.1, categories=False):
    """Five columns, of different size, one of them with few values, and a score that depends on them."""
    x = rng.normal(size=(n, 5)) * [1, 100, 1e-3, 1, 1]
    x[:, 3] = np.round(x[:, 3])
    if categories:
        x[:, 1] = rng.integers(0, 6, n)
        x[:, 4] = rng.integers(0, 45, n)
    z = (x - x.mean(0)) / x.std(0)
    score = z[:, 0] + z[:, 1] * z[:, 2] + np.sin(2 * z[:, 3]) - z[:, 4] / 2
    x[rng.random(x.shape) < missing] = NAN
    return x, score


def thresholds(model):
    """(column, threshold) of the numeric splits of the first trees."""
    booster = model["learner"]["gradient_booster"]
    trees = booster.get("gbtree", booster).get("model", {}).get("trees", [])
    found = []
    for tree in trees[:4]:
        kinds = tree.get("split_type") or [0] * len(tree["left_children"])
        for node, left in enumerate(tree["left_children"]):
            if left >= 0 and kinds[node] == 0:
                found.append((tree["split_indices"][node], tree["split_conditions"][node]))
    return sorted(set(found))


def awkward(rng, x, model, kinds):
    """Rows of the data, and rows with one value at a threshold, beside it, missing, huge, tiny or no category."""
    rows = [x[:6]]

    def put(column, value):
        row = x[rng.integers(len(x))].copy()
        row[column] = value
        rows.append(row[None])

    for column, threshold in [found for _, found in zip(range(4), thresholds(model))]:
        t = F32(threshold)
        for value in (t, np.nextafter(t, F32(-np.inf)), np.nextafter(t, F32(np.inf)),
                      float(t) * (1 - 1e-12)):
            put(column, float(value))
    for value in (NAN, 0.0, -0.0, 1e-45, 3e38, -3e38):
        rows.append(np.full((1, x.shape[1]), value))
        put(0, value)
    for column, kind in enumerate(kinds or []):
        if kind == "c":
            for value in (-1.0, -0.5, 0.5, 1.9, 32.0, 45.0, 16777216.0, 3e9, NAN):
                put(column, value)
    return np.concatenate(rows)


def plain(values):
    return [[None if np.isnan(v) else float(v) for v in row] for row in values.reshape(len(values), -1)]


def make(name, params, label, note, rounds=3, kinds=None, missing=0.1, softprob=False, after=None, **dm):
    if VERSION < (3, 2) and name not in OLDER:
        return
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    x, score = columns(rng, missing=missing, categories=kinds is not None)
    options = {"nthread": 1, "missing": NAN}
    if kinds:
        options.update(feature_types=kinds, enable_categorical=True)
    label = label(score, rng)
    bounds = {key: dm.pop(key)(score) for key in list(dm) if key.startswith("label_")}
    if "qid" in dm:
        dm["qid"] = np.arange(len(x)) // 10
    train = xgb.DMatrix(x, label=label, **options, **dm)
    for key, value in bounds.items():
        train.set_float_info(key, value)
    booster = xgb.train({"nthread": 1, "seed": 7, "max_depth": 3, "eta": 0.5, "verbosity": 0, **params}, train, rounds)
    booster = after(booster) if after else booster
    path = fresh(name)
    booster.save_model(os.path.join(path, "model.json"))
    if VERSION >= (1, 6):
        booster.save_model(os.path.join(path, "model.ubj"))
    loaded = xgb.Booster({"nthread": 1}, model_file=os.path.join(path, "model.json"))
    with open(os.path.join(path, "model.json"), encoding="utf-8") as f:
        model = json.loads(f.read().replace("NaN", "null"))
    rows = awkward(rng, x, model, kinds)
    # An answer that is not finite fails its row in a server, so such rows prove nothing.
    finite = np.isfinite(loaded.predict(xgb.DMatrix(rows, **options))).reshape(len(rows), -1).all(1)
    finite &= np.isfinite(loaded.predict(xgb.DMatrix(rows, **options), output_margin=True)).reshape(len(rows), -1).all(1)
    rows = rows[finite]
    data = xgb.DMatrix(rows, **options)
    margins = loaded.predict(data, output_margin=True)
    classes = loaded.predict(data)
    if softprob:  # predict() gives the class: the probabilities are those of the same trees with multi:softprob
        loaded.set_param({"objective": "multi:softprob"})
    golden = {"version": xgb.__version__, "note": note, "objective": params["objective"],
              "rows": plain(rows), "margins": plain(margins), "answers": plain(loaded.predict(data))}
    if softprob:
        golden["classes"] = [int(c) for c in classes]
    with open(os.path.join(path, "golden.json"), "w", encoding="utf-8", newline="\n") as f:
        json.dump(golden, f, separators=(",", ":"), allow_nan=False)
        f.write("\n")


def identity(score, _):
    return score


def positive(score, _):
    return np.exp(score / 4)


def sign(score, _):
    return (score > 0).astype(float)


def three(score, _):
    return np.digitize(score, [-1, 1])


def grades(score, _):
    return np.digitize(score, [-2, 0, 2])


def several(kind, count=2):
    return lambda score, rng: np.stack([kind(score, rng)] + [kind(rng.permutation(score), rng) for _ in range(count - 1)], 1)


def objectives():
    for name, label in (("squarederror", identity), ("squaredlogerror", positive), ("pseudohubererror", identity),
                        ("gamma", positive), ("tweedie", positive)):
        make("reg-" + name, {"objective": "reg:" + name}, label, "objective reg:" + name)
    make("reg-logistic", {"objective": "reg:logistic"}, lambda s, _: 1 / (1 + np.exp(-s)), "one probability, a regression")
    make("binary-logistic", {"objective": "binary:logistic"}, sign, "two classes")
    make("binary-logitraw", {"objective": "binary:logitraw", "base_score": 0.3}, sign, "the margin is the answer")
    make("binary-hinge", {"objective": "binary:hinge"}, sign, "0 or 1")
    make("count-poisson", {"objective": "count:poisson"}, lambda s, r: np.round(positive(s, r) * 3), "exp of the margin")
    make("survival-cox", {"objective": "survival:cox"}, lambda s, r: np.where(s > 2, -1, 1) * positive(s, r), "exp")
    if VERSION >= (1, 2):
        make("survival-aft", {"objective": "survival:aft"}, lambda s, r: None, "exp; bounds as labels",
             label_lower_bound=lambda s: np.exp(s / 3), label_upper_bound=lambda s: np.where(s > 2, np.inf, np.exp(s / 3) + 1))
    make("multi-softmax", {"objective": "multi:softmax", "num_class": 3}, three, "classes alone", 2, softprob=True)
    make("multi-softprob", {"objective": "multi:softprob", "num_class": 3}, three, "three classes", 2)
    if VERSION >= (1, 6):  # groups by qid
        for name in ("pairwise", "ndcg", "map"):
            make("rank-" + name, {"objective": "rank:" + name}, sign if name == "map" else grades, "ranking", qid=True)
    if VERSION >= (2, 0):
        make("reg-absoluteerror", {"objective": "reg:absoluteerror"}, identity, "leaves are medians")
        make("reg-quantileerror", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]}, identity,
             "three quantiles", 2)


def boosters():
    make("dart", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5, "one_drop": 1}, sign,
         "weights per tree", 6)
    make("dart-classes", {"objective": "multi:softprob", "num_class": 3, "booster": "dart", "rate_drop": 0.5,
                          "one_drop": 1, "normalize_type": "forest"}, three, "weights per tree, three classes", 3)
    make("gblinear", {"objective": "reg:squarederror", "booster": "gblinear", "updater": "coord_descent"}, identity,
         "weights and a bias; missing values are left out", 5)
    make("gblinear-classes", {"objective": "multi:softprob", "num_class": 3, "booster": "gblinear",
                              "updater": "coord_descent"}, three, "every class starts from the first base score", 5)
    make("forest-slice", {"objective": "binary:logistic", "num_parallel_tree": 2, "subsample": 0.6}, sign,
         "two trees a round; the second and third of four rounds", 4,
         after=lambda b: b[1:3] if VERSION >= (1, 3) else b)
    make("no-rounds", {"objective": "count:poisson"}, positive, "no tree at all", 0)
    make("no-rounds-binary", {"objective": "binary:logistic"}, sign, "no tree, and no base score given", 0)
    make("no-rounds-base-score", {"objective": "binary:logistic", "base_score": 0.2}, sign, "no tree; a base score", 0)
    make("no-rounds-classes", {"objective": "multi:softprob", "num_class": 3}, three, "no tree; three classes", 0)
    make("no-rounds-targets", {"objective": "reg:squarederror"}, several(identity), "no tree; two targets", 0)
    make("no-rounds-tweedie", {"objective": "reg:tweedie", "base_score": 1.5}, positive, "no tree; exp, base score", 0)
    make("no-rounds-dart", {"objective": "reg:squarederror", "booster": "dart"}, identity, "no tree to weigh", 0)
    make("no-rounds-gblinear", {"objective": "reg:squarederror", "booster": "gblinear"}, identity, "no weights", 0)
    make("constant", {"objective": "binary:logistic", "gamma": 1e9}, sign, "trees of one leaf")
    make("constant-labels", {"objective": "multi:softprob", "num_class": 3}, lambda s, _: np.ones(len(s)),
         "one class is all there is")
    make("balanced", {"objective": "binary:logistic", "base_score": 0.4931}, sign,
         "a base score whose logarithm is not the nearest f32", 2)
    if VERSION >= (3, 1):
        for score in (0, 1, 1e-8):
            make(f"base-score-{score:g}", {"objective": "binary:logistic", "base_score": score}, sign,
                 "a base score at the end of its range is moved by 1e-6", 2)
    if VERSION >= (1, 6):
        make("several-targets", {"objective": "reg:squarederror"}, several(identity), "a tree per target", 2)
        make("several-labels", {"objective": "binary:logistic"}, several(sign, 3), "a probability per label", 2)
    if VERSION >= (2, 0):
        vector = {"multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": 2}
        make("vector-targets", {"objective": "reg:squarederror", **vector}, several(identity), "leaves of two values")
        make("vector-classes", {"objective": "multi:softprob", "num_class": 3, **vector}, three, "leaves of three values", 2)
    if VERSION >= (1, 6):
        kinds = ["q", "c", "q", "q", "c"]
        hist = {"objective": "reg:squarederror", "tree_method": "hist" if VERSION >= (1, 7) else "approx"}
        make("categories-one", {**hist, "max_cat_to_onehot": 100}, identity, "one category goes right", kinds=kinds)
        make("categories-sets", {**hist, "max_cat_to_onehot": 1}, identity, "sets of categories go right", kinds=kinds)
        make("lossguide-deep", {"objective": "reg:squarederror", "tree_method": "hist", "max_depth": 0, "lambda": 0,
                                "grow_policy": "lossguide", "max_leaves": 24, "min_child_weight": 0}, identity, "24 leaves", 2)


if __name__ == "__main__":
    objectives()
    boosters()
