"""LightGBM models of every objective, boosting and kind of leaf, as text and as dump, with the answers of the version that
trained them. Runs with any LightGBM from 2.3 on and writes lightgbm-<version>/<case>/:

    model.txt      as Booster.save_model writes it
    dump.json      the same booster's dump_model()
    golden.json    rows, raw scores and answers; null is NaN, infinities are texts

    python make_lightgbm_versions.py
"""
import json
import math
import os
import re
import shutil

import lightgbm as lgb
import numpy as np
import pandas as pd

from common import HERE, INF, NAN, Z, awkward_rows, seeded

VERSION = tuple(int(part) for part in lgb.__version__.split(".")[:2])
FOLDER = "lightgbm-" + lgb.__version__
BASE = {"num_threads": 1, "verbosity": -1, "seed": 7, "num_leaves": 5, "learning_rate": 0.3, "min_data_in_leaf": 5}
RF = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
DART = {"boosting": "dart", "drop_rate": 0.5}
GOSS = {"boosting": "goss"}
LINEAR = {"linear_tree": True, "linear_lambda": 0.01}
SQRT = {"reg_sqrt": True}
# Older versions make these only; the others would repeat what they show.
OLDER = {"binary-rf", "categories", "cross-entropy", "custom-classes", "linear", "linear-classes", "missing-zero",
         "multiclass-dart", "nan-against-all", "regression-sqrt", "tweedie"}


def shown(value):
    """A number as golden.json has it."""
    value = float(value)
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def columns(rng, n=260, missing=0.1, scale=1.0):
    """Four columns, the last with many zeros, and a score that depends on them."""
    x = rng.normal(size=(n, 4))
    x[rng.random(n) < 0.5, 3] = 0.0
    score = x[:, 0] + np.sin(2 * x[:, 1]) + np.where(x[:, 3] == 0, 1.0, -x[:, 2])
    x[:, 2] = np.round(x[:, 2] * 4)
    x[rng.random(x.shape) < missing] = NAN
    return x * scale, score / score.std()


def codes(rng, n=400):
    """A number, categories of 4 and of 70, and a score."""
    x = np.column_stack([rng.normal(size=n), rng.integers(0, 4, n), rng.integers(0, 70, n)]).astype(float)
    score = x[:, 0] + rng.normal(size=4)[x[:, 1].astype(int)] + rng.normal(size=70)[x[:, 2].astype(int)]
    x[rng.random(x.shape) < 0.06] = NAN
    return x, score


def facts(dump):
    """{column: thresholds} and {column: number of categories} of the splits."""
    thresholds, categories = {}, {}
    todo = [tree["tree_structure"] for tree in dump["tree_info"]]
    while todo:
        node = todo.pop()
        if "split_feature" not in node:
            continue
        column = node["split_feature"]
        if node["decision_type"] == "==":
            top = max(int(code) for code in node["threshold"].split("||"))
            categories[column] = max(categories.get(column, 0), top + 1)
        else:
            thresholds.setdefault(column, []).append(node["threshold"])
        todo += [node["left_child"], node["right_child"]]
    return thresholds, categories


def write(name, booster, x, rows=(), **saved):
    """Saves the booster, reloads it and writes what it answers."""
    rng = seeded("lightgbm-versions/" + name)
    path = os.path.join(HERE, FOLDER, name)
    os.makedirs(path)
    file = os.path.join(path, "model.txt")
    booster.save_model(file, **saved)
    dump = booster.dump_model(**saved)
    with open(os.path.join(path, "dump.json"), "w", encoding="utf-8") as f:
        json.dump(dump, f, separators=(",", ":"))
        f.write("\n")
    loaded = lgb.Booster(model_file=file)

    def raw(values):
        return loaded.predict(values, raw_score=True)

    pool = x[rng.permutation(len(x))[:60]]
    awkward = awkward_rows(raw, pool, *facts(dump), rng, n_thresholds=5, n_cat=6)
    thin = awkward[sorted(rng.choice(len(awkward), min(len(awkward), 60), replace=False))]
    values = np.concatenate([x[-10:], thin, *([rows] if len(rows) else [])])
    count = len(values)
    golden = {
        "boosting": "rf" if dump.get("average_output") else "sum",
        "rows": [[shown(v) for v in row] for row in values],
        "raw": [[shown(v) for v in row] for row in raw(values).reshape(count, -1)],
        "answers": [[shown(v) for v in row] for row in loaded.predict(values).reshape(count, -1)],
    }
    with open(os.path.join(path, "golden.json"), "w", encoding="utf-8") as f:
        json.dump(golden, f, separators=(",", ":"), allow_nan=False)
        f.write("\n")
    return loaded


def case(name, params, x, y, rounds=3, names="auto", cats="auto", group=None, rows=(), after=None, saved=None):
    if VERSION < (4, 0) and name not in OLDER or VERSION < (3, 2) and params.get("linear_tree"):
        return
    params = {**BASE, **params}
    data = lgb.Dataset(x, y, group=group, feature_name=names, categorical_feature=cats, free_raw_data=False,
                       params=dict(params, objective="none"))
    booster = lgb.train(params, data, rounds) if not callable(params["objective"]) else own(params, data, rounds)
    if after:
        booster = after(booster, params) or booster
    if isinstance(x, pd.DataFrame):
        x = np.column_stack([c.cat.codes.where(c.cat.codes >= 0) if c.dtype == "category" else c
                             for _, c in x.items()]).astype(float)
    write(name, booster, x, rows, **(saved or {}))


def own(params, data, rounds):
    """Trains with a function as the objective, which versions before 4 take another way."""
    if VERSION >= (4, 0):
        return lgb.train(params, data, rounds)
    return lgb.train({**params, "objective": "none"}, data, rounds, fobj=params["objective"])


def squared(scores, data):
    return scores - data.get_label(), np.ones_like(scores)


def three(scores, data):
    """Squared error of each class's indicator."""
    label = data.get_label()
    truth = np.eye(3)[label.astype(int)]
    if scores.ndim == 1:
        truth = truth.T.reshape(-1)
    return scores - truth, np.ones_like(scores)


def objectives():
    x, score = columns(seeded("objectives"))
    share = 1 / (1 + np.exp(-score))
    grade = np.digitize(score, [-0.7, 0, 0.7])
    three_classes, group = np.digitize(score, [-0.5, 0.5]), [20] * 13
    binary = (score > 0).astype(int)
    case("binary", {"objective": "binary", "sigmoid": 0.7}, x, binary)
    case("binary-rf", {"objective": "binary", **RF}, x, binary)
    case("cross-entropy", {"objective": "cross_entropy"}, x, share)
    case("cross-entropy-rf", {"objective": "xentropy", **RF}, x, share)
    case("cross-entropy-lambda", {"objective": "cross_entropy_lambda"}, x, share)
    case("cross-entropy-lambda-dart", {"objective": "xentlambda", **DART}, x, share)
    case("multiclass-dart", {"objective": "multiclass", "num_class": 3, **DART}, x, three_classes)
    case("multiclass-goss", {"objective": "multiclass", "num_class": 3, **GOSS}, x, three_classes, 6)
    case("multiclassova-rf", {"objective": "multiclassova", "num_class": 3, "sigmoid": 0.4, **RF}, x, three_classes)
    case("multiclassova-two", {"objective": "multiclassova", "num_class": 2}, x, binary)
    case("regression-sqrt", {"objective": "regression", **SQRT}, x, score * 40)
    case("regression-sqrt-rf", {"objective": "regression", **SQRT, **RF}, x, score * 40)
    for objective in ("regression_l1", "fair", "quantile", "mape"):
        short = objective.replace("_", "-")
        case(short, {"objective": objective}, x, score)
        case(short + "-sqrt", {"objective": objective, **SQRT}, x, score * 9)
    case("huber", {"objective": "huber", "alpha": 0.5, **SQRT}, x, score)
    case("poisson", {"objective": "poisson"}, x, np.round(np.exp(score)))
    case("poisson-rf", {"objective": "poisson", **RF}, x, np.round(np.exp(score)))
    case("gamma", {"objective": "gamma"}, x, np.exp(score))
    case("gamma-dart", {"objective": "gamma", **DART}, x, np.exp(score))
    case("tweedie", {"objective": "tweedie", "tweedie_variance_power": 1.3}, x, np.exp(score) * (score > 0))
    case("lambdarank", {"objective": "lambdarank"}, x, grade, group=group)
    case("lambdarank-goss", {"objective": "lambdarank", **GOSS}, x, grade, 6, group=group)
    case("rank-xendcg", {"objective": "rank_xendcg"}, x, grade, group=group)
    case("custom", {"objective": squared}, x, score)
    case("custom-dart", {"objective": squared, **DART}, x, score)
    case("custom-classes", {"objective": three, "num_class": 3}, x, three_classes)


def steep(booster, _):
    """The same model with coefficients 1e35 times as large, by an edit of its text: LightGBM trains none such."""
    text = re.sub("tree_sizes=.*\n", "", booster.model_to_string())
    return lgb.Booster(model_str=re.sub("leaf_coeff=(.*)", lambda line: "leaf_coeff=" + " ".join(
        repr(float(v) * 1e35) for v in line.group(1).split()), text))


def linear():
    x, score = columns(seeded("linear"))
    full = np.nan_to_num(x)
    binary, classes = (score > 0).astype(int), np.digitize(score, [-0.5, 0.5])
    regression = {"objective": "regression", **LINEAR}
    case("linear", regression, x, score)
    case("linear-none-missing", regression, full, score)
    case("linear-binary", {"objective": "binary", **LINEAR}, x, binary)
    case("linear-rf", {"objective": "regression", **LINEAR, **RF}, x, score)
    case("linear-dart", {"objective": "poisson", **LINEAR, **DART}, x, np.exp(score))
    case("linear-sqrt", {**regression, **SQRT}, x, score * 9)
    rare = np.where(classes == 2, 1, classes)
    rare[:4] = 2
    case("linear-classes", {"objective": "multiclass", "num_class": 3, **LINEAR, "min_data_in_leaf": 30}, x, rare)
    cx, cs = codes(seeded("linear-codes"))
    case("linear-categories", {**regression, "min_data_per_group": 5}, cx, cs, cats=[1, 2])
    plain = {**BASE, "objective": "regression"}
    start = lgb.train(plain, lgb.Dataset(x, score, free_raw_data=False), 2)
    case("linear-continued", regression, x, score, 2, after=lambda booster, params: lgb.train(
        params, lgb.Dataset(x, score, free_raw_data=False), 2, init_model=start))
    # so small that values within the zero threshold matter to a coefficient
    tiny = [[v, v, v, v] for v in (0.0, 1e-36, -1e-36, Z, -Z, np.nextafter(Z, 1), np.nextafter(-Z, -1), 3e-35)]
    case("linear-tiny", regression, full, score, rows=tiny, after=steep)
    case("linear-huge", {**regression, "linear_lambda": 0}, full * 1e30, score)


def missing():
    x, score = columns(seeded("missing"), missing=0.25)
    binary = (score > 0).astype(int)
    near_zero = [[v] * 4 for v in (0.0, -0.0, Z, -Z, np.nextafter(Z, 1), np.nextafter(-Z, -1), 5e-324, NAN, INF, -INF)]
    case("missing-zero", {"objective": "binary", "zero_as_missing": True}, x, binary, 5, rows=near_zero)
    case("missing-zero-rf", {"objective": "regression", "zero_as_missing": True, **RF}, x, score, 5, rows=near_zero)
    case("missing-none", {"objective": "regression", "use_missing": False}, x, score, 5, rows=near_zero)
    case("missing-nan-dart", {"objective": "regression", **DART}, x, score, 5, rows=near_zero)
    cx, cs = codes(seeded("missing-codes"))
    sets = {"objective": "regression", "min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 1}
    case("categories", sets, cx, cs, cats=[1, 2])
    case("categories-zero", {**sets, "zero_as_missing": True}, cx, cs, cats=[1, 2])
    case("categories-none-missing", {**sets, "use_missing": False}, cx, cs, cats=[1, 2])
    case("categories-goss", {**sets, **GOSS, "max_cat_to_onehot": 99}, cx, cs, 5, cats=[1, 2])
    # whether a value is missing says more than the value: the threshold is infinite, and the dump cuts it to 1e300
    told = np.where(np.isnan(x[:, 0]), 5.0, 0.1 * score)
    case("nan-against-all", {"objective": "regression"}, x, told, rows=[[v] * 4 for v in (
        1e300, np.nextafter(1e300, INF), 1.7976931348623157e308, INF, -INF, NAN, 0.0)])


def ways():
    rng = seeded("ways")
    x, score = columns(rng)
    r = {"objective": "regression"}
    names = ["learner", "tree_info", "price €", "日本=1"]
    case("names", r, x, score, names=names)
    n = len(x)
    frame = pd.DataFrame({"size": x[:, 0], "colour": pd.Categorical(np.array(["red", "blue", "a,\"b\""])[
        rng.integers(0, 3, n)]), "shop": pd.Categorical(rng.integers(0, 5, n) * 10)})
    frame.loc[rng.random(n) < 0.1, "colour"] = None
    case("pandas", {**r, "min_data_per_group": 5}, frame, score + 0.3 * frame["shop"].cat.codes)
    case("one-leaf", {**r, "min_data_in_leaf": 1000}, x, score)
    case("stumps", {**r, "num_leaves": 2}, x, score, 5)
    case("chain", {**r, "max_bin": 1023, "num_leaves": 60, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0},
         x, np.exp(3 * score), 1)
    case("part", r, x, score, 6, saved={"start_iteration": 2, "num_iteration": 3})
    case("shuffled", r, x, score, 6, after=lambda booster, _: booster.shuffle_models())
    case("refitted", r, x, score, after=lambda booster, _: booster.refit(x, -score, decay_rate=0.3))
    case("constrained", {**r, "monotone_constraints": [1, 0, -1, 0], "monotone_constraints_method": "advanced",
                         "interaction_constraints": [[0, 1], [2, 3]], "extra_trees": True, "path_smooth": 1}, x, score)


def untrained(_, params):
    """A booster of the same parameters that was never trained."""
    x, score = columns(seeded("untrained"))
    return lgb.Booster(params, lgb.Dataset(x, (score > 0).astype(int)))


def nothing_learnt():
    """No tree at all, or trees of one leaf: too few rounds, constant labels, no split that is allowed."""
    x, score = columns(seeded("nothing-learnt"))
    binary, classes, ones = (score > 0).astype(int), np.digitize(score, [-0.5, 0.5]), np.ones(len(x))
    regression, three_classes = {"objective": "regression"}, {"objective": "multiclass", "num_class": 3}
    beyond = {"start_iteration": 9}
    case("no-tree", {**regression, **SQRT}, x, score, saved=beyond)
    case("no-tree-binary", {"objective": "binary"}, x, binary, after=untrained)
    case("no-tree-classes", three_classes, x, classes, saved=beyond)
    case("no-tree-ova", {**three_classes, "objective": "multiclassova"}, x, classes, saved=beyond)
    case("no-tree-poisson", {"objective": "poisson"}, x, np.exp(score), saved=beyond)
    case("no-tree-lambda", {"objective": "cross_entropy_lambda"}, x, binary, after=untrained)
    case("no-tree-custom", {"objective": three, "num_class": 3}, x, classes, saved=beyond)
    case("constant", regression, x, 3 * ones)
    case("constant-zeros", {"objective": "binary"}, x, 0 * ones)
    case("constant-ones", {"objective": "binary"}, x, ones)
    case("constant-classes", three_classes, x, ones)
    case("constant-ova", {**three_classes, "objective": "multiclassova"}, x, ones)
    case("constant-rf", {"objective": "binary", **RF, "min_data_in_leaf": 1000}, x, binary)
    case("constant-dart", {"objective": "multiclass", "num_class": 3, **DART, "min_data_in_leaf": 1000}, x, classes)


def main():
    shutil.rmtree(os.path.join(HERE, FOLDER), ignore_errors=True)
    objectives()
    linear()
    missing()
    ways()
    nothing_learnt()


if __name__ == "__main__":
    main()
