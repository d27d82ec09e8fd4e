"""LightGBM text models and what the library itself predicts with them."""
import os

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from common import NAN, awkward_rows, check_case, fresh_dir, seeded, write_case

BASE = {"num_threads": 1, "verbosity": -1, "deterministic": True, "force_row_wise": True,
        "seed": 7, "num_leaves": 8, "learning_rate": 0.2, "min_data_in_leaf": 10}
TOLERANCE = 1e-12


def with_nan(inputs, rng, share=0.15):
    out = inputs.copy()
    out[rng.random(out.shape) < share] = NAN
    return out


def many_zeros(rng, n=900):
    """Four sparse columns in which zero, negative, positive and missing all matter."""
    x = rng.normal(size=(n, 4))
    x[rng.random(x.shape) < 0.5] = 0.0
    y = np.where(x[:, 0] == 0, 1, -1) * np.sign(x[:, 1]) + x[:, 2] * (x[:, 3] <= 0) > 0
    return x, y.astype(int)


def categorical(rng, n=1500, missing=True):
    """Two numbers and categories of 5, 40 and 100 values (the last needs several bitset words)."""
    x = np.column_stack([rng.normal(size=n), rng.integers(0, 5, n), rng.integers(0, 40, n),
                         rng.exponential(size=n), rng.integers(0, 100, n)]).astype(float)
    effect = [rng.normal(size=k) for k in (5, 40, 100)]
    score = x[:, 0] + effect[0][x[:, 1].astype(int)] + effect[1][x[:, 2].astype(int)] \
        + effect[2][x[:, 4].astype(int)] * np.where(x[:, 3] > 0.7, 1, -1)
    if missing:
        x = with_nan(x, rng, 0.08)
    return x, score + rng.normal(size=n) * 0.3


def tree_facts(booster):
    """{column: numeric thresholds} and {column: number of categories met} of a booster."""
    thresholds, cats = {}, {}

    def walk(node):
        if "split_feature" not in node:
            return
        if node["decision_type"] == "==":
            top = max(int(v) for v in node["threshold"].split("||"))
            cats[node["split_feature"]] = max(cats.get(node["split_feature"], 0), top + 1)
        else:
            thresholds.setdefault(node["split_feature"], []).append(node["threshold"])
        walk(node["left_child"])
        walk(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        walk(tree["tree_structure"])
    return thresholds, cats


def make(name, task, notes, params, x, y, rounds=5, names="auto", cats=(), classes=None,
         n_real=60, n_thresholds=12, save=None, edit=None, extra=None, **train):
    """Trains, saves, reloads, writes the golden rows and checks them as read back."""
    rng = seeded("lightgbm/" + name)
    data = lgb.Dataset(x, y, feature_name=names, categorical_feature=list(cats) or "auto")
    booster = lgb.train({**BASE, **params}, data, rounds, **train)
    path = fresh_dir("lightgbm", name)
    file = os.path.join(path, "model.txt")
    booster.save_model(file, **(save or {}))
    if edit:
        with open(file, encoding="utf-8") as f:
            text = edit(f.read())
        with open(file, "w", encoding="utf-8", newline="\n") as f:
            f.write(text)
    loaded = lgb.Booster(model_file=file)
    frame = x
    if isinstance(x, pd.DataFrame):  # the numbers the library itself turns categories into
        x = np.column_stack([c.cat.codes.where(c.cat.codes >= 0) if c.dtype == "category" else c
                             for _, c in x.items()]).astype(float)
        assert np.array_equal(loaded.predict(frame), loaded.predict(x))

    def raw(rows):
        return loaded.predict(rows, raw_score=True)

    thresholds, met = tree_facts(loaded)
    pool = x[rng.permutation(len(x))[:200]]
    awkward = awkward_rows(raw, pool, thresholds, met, rng, n_thresholds=n_thresholds)
    rows = np.concatenate([x[-n_real:], awkward])
    if save is None:  # the file says all that the trained booster knew
        assert np.array_equal(booster.predict(rows, num_iteration=-1), loaded.predict(rows))
    if task != "regression" and classes is None:
        classes = [str(k) for k in range(max(2, booster.num_model_per_iteration()))]
    case = {"library": "lightgbm", "version": lgb.__version__,
            "objective": {**BASE, **params}["objective"], "task": task, "classes": classes,
            "n_features": x.shape[1], "n_trees": loaded.num_trees(), "notes": notes,
            "tolerance": TOLERANCE, **(extra or {})}
    write_case(path, loaded.feature_name(), rows, loaded.predict(rows), raw(rows), case)
    again = lgb.Booster(model_file=file)
    header, _ = check_case(path, lambda v: (again.predict(v), again.predict(v, raw_score=True)))
    assert header == again.feature_name()
    return loaded


def btc(path):
    """Simple returns, lags and ratios of the daily bitcoin file; target: the next day is up."""
    d = pd.read_csv(path)
    ret = d["close"].pct_change()
    f = pd.DataFrame({
        "ret_1": ret, "ret_1_lag1": ret.shift(1), "ret_1_lag2": ret.shift(2),
        "ret_7": d["close"].pct_change(7), "ret_30": d["close"].pct_change(30),
        "range": (d["high"] - d["low"]) / d["close"],
        "gap_to_mean_20": d["close"] / d["close"].rolling(20).mean() - 1,
        "volatility_10": ret.rolling(10).std(),
        "volume_change": d["volume_usd"].pct_change(),
        "news_sentiment": d["news_sentiment"], "news_sentiment_lag1": d["news_sentiment"].shift(1),
    })
    keep = f.notna().all(axis=1)
    keep.iloc[-1] = False  # the last day has no tomorrow
    up = (d["close"].shift(-1) > d["close"]).astype(int)
    return f[keep].to_numpy(float), up[keep].to_numpy(), list(f.columns)


def as_v3(text):
    """The model as LightGBM 3 wrote it: version=v3, no is_linear lines."""
    sizes = text.split("tree_sizes=")[1].split("\n")[0]
    smaller = " ".join(str(int(v) - len("is_linear=0\n")) for v in sizes.split())
    return text.replace("version=v4", "version=v3").replace(sizes, smaller) \
        .replace("is_linear=0\n", "")


def binary_cases(data):
    b = {"objective": "binary"}
    x, y = load_breast_cancer(return_X_y=True)
    names = [n.replace(" ", "_") for n in load_breast_cancer().feature_names]
    rng = seeded("lightgbm/data")
    make("binary", "binary", "numeric splits, nothing missing in training (missing type none)",
         b, x, y, 8, names)
    make("binary-nan", "binary", "NaN in training (missing type nan), default directions both ways",
         b, with_nan(x, rng), y, 8, names)
    zx, zy = many_zeros(rng)
    make("binary-zeros", "binary", "missing type none with thresholds at +-1e-35 (f32): the "
         "library sets |x| <= 1.0000000180025095e-35 to 0 before the trees", b, zx, zy, 8,
         n_thresholds=20)
    make("binary-zero-as-missing", "binary", "zero_as_missing=true (missing type zero): 0, "
         "near-zero and NaN take the default direction", {**b, "zero_as_missing": True},
         with_nan(zx, rng, 0.05), zy, 8, n_thresholds=20)
    make("binary-zeros-nan", "binary", "missing type nan with thresholds at +-1e-35 (f32): 0 and "
         "NaN go different ways", b, with_nan(zx, rng, 0.1), zy, 8, n_thresholds=20)
    make("binary-no-missing", "binary", "use_missing=false: NaN counts as 0 though training had NaN",
         {**b, "use_missing": False}, with_nan(zx, rng, 0.1), zy, 8, n_thresholds=20)
    cx, score = categorical(rng)
    cy = (score > 0).astype(int)
    cat = {**b, "min_data_per_group": 5, "cat_smooth": 1, "max_cat_threshold": 60}
    make("binary-categorical", "binary", "category columns of 5, 40 and 100 values beside numbers "
         "(bitsets of several words), NaN in training; max_cat_to_onehot=1", {
             **cat, "max_cat_to_onehot": 1}, cx, cy, 6, cats=[1, 2, 4], n_real=40)
    make("binary-categorical-onehot", "binary", "the same with max_cat_to_onehot=200: one category "
         "against the rest", {**cat, "max_cat_to_onehot": 200}, cx, cy, 6, cats=[1, 2, 4],
         n_real=40)
    fx, fs = categorical(rng, missing=False)
    make("binary-categorical-full", "binary", "category columns with nothing missing in training",
         cat, fx, (fs > 0).astype(int), 6, cats=[1, 2, 4], n_real=40)
    make("binary-sigmoid", "binary", "sigmoid=2.5 scales the margin before the logistic function",
         {**b, "sigmoid": 2.5}, x, y, 5, names)
    make("binary-unbalanced", "binary", "is_unbalance=true on few positives",
         {**b, "is_unbalance": True}, fx, (fs > 3.5).astype(int), 5)
    make("binary-constant", "binary", "min_data_in_leaf too large to split: one tree of one leaf",
         {**b, "min_data_in_leaf": 100000}, x, y, 3, names)
    make("binary-rf", "binary", "boosting=rf: the margin is the mean of the trees (average_output "
         "line); raw_score here is the library's, which is the sum",
         {**b, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, x, y, 7, names)
    make("binary-dart", "binary", "boosting=dart", {
        **b, "boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.2}, x, y, 8, names)
    make("binary-goss", "binary", "data_sample_strategy=goss", {
        **b, "data_sample_strategy": "goss", "learning_rate": 0.5}, x, y, 8, names)
    valid = lgb.Dataset(x[400:], y[400:])
    early = make("binary-early-stopping", "binary", "early stopping, saved with every iteration "
                 "(num_iteration=-1): a reloaded file predicts with all its trees",
                 {**b, "learning_rate": 0.9}, x[:400], y[:400], 40, names,
                 save={"num_iteration": -1}, valid_sets=[valid],
                 callbacks=[lgb.early_stopping(4, verbose=False)])
    assert early.num_trees() < 40
    make("binary-v3", "binary", "hand-edited copy in the manner of LightGBM 3: version=v3 and no "
         "is_linear lines; same answers", b, with_nan(x, rng), y, 5, names, edit=as_v3)
    odd = ["with space", "a.b-c", "naïve", "цена", "价格", "x=1", "50%", "it's", "(a|b)", "semi;tab"]
    make("binary-odd-names", "binary", "feature names with unicode, dots, dashes, '=', quotes; the "
         "library turns spaces into underscores", b, x[:, :10], y, 5, odd)
    if data:
        bx, by, columns = btc(data)
        make("binary-btc", "binary", "bitcoin: is the next day's close higher; 11 features of "
             "returns, range, volume and news", {**b, "learning_rate": 0.05}, bx, by, 20, columns)
    n = len(fx)
    frame = pd.DataFrame({
        "size": fx[:, 0],
        "colour": pd.Categorical(np.array(["red", "green", "blue", 'a "q"', "日本"])[
            fx[:, 1].astype(int)]),
        "shop": pd.Categorical((fx[:, 2].astype(int) - 3) * 10),
        "price": fx[:, 3]})
    frame.loc[rng.random(n) < 0.1, "colour"] = None
    mapped = {"pandas_categorical": [list(frame["colour"].cat.categories),
                                     [int(v) for v in frame["shop"].cat.categories]]}
    make("binary-pandas", "binary", "pandas category columns: the file ends with a "
         "pandas_categorical line; golden.csv holds the codes (positions in those lists), a value "
         "not in the list is NaN", cat, frame, (fs > 0).astype(int), 6, n_real=40, extra=mapped)


def multiclass_cases():
    rng = seeded("lightgbm/multiclass")
    m = {"objective": "multiclass"}
    x, y = load_iris(return_X_y=True)
    order = rng.permutation(len(x))
    make("multiclass-iris", "multiclass", "softmax over three classes",
         {**m, "num_class": 3}, x[order], y[order], 6,
         [n.replace(" (cm)", "").replace(" ", "_") for n in load_iris().feature_names])
    x, y = load_digits(return_X_y=True)
    make("multiclass-digits", "multiclass", "ten classes, 64 columns",
         {**m, "num_class": 10}, x, y, 4)
    x, score = categorical(rng)
    edges = np.quantile(score, [0.3, 0.6, 0.8])
    make("multiclass-categorical", "multiclass", "four classes, category columns, NaN in training",
         {**m, "num_class": 4, "min_data_per_group": 5, "cat_smooth": 1}, x,
         np.digitize(score, edges), 4, cats=[1, 2, 4], n_real=40)
    rare = np.digitize(score, [0.0, 1e9])
    rare[:4] = 2
    make("multiclass-rare", "multiclass", "the third class is too rare to split on: its trees have "
         "one leaf among trees with splits", {**m, "num_class": 3, "min_data_in_leaf": 40,
                                              "min_sum_hessian_in_leaf": 5.0}, x, rare, 4)
    x, y = load_wine(return_X_y=True)
    order = rng.permutation(len(x))
    make("multiclassova-wine", "multiclass", "one against the rest: a sigmoid for each class, not "
         "normalised to 1", {"objective": "multiclassova", "num_class": 3}, x[order], y[order], 5,
         [n.replace(" ", "_") for n in load_wine().feature_names])
    make("multiclassova-sigmoid", "multiclass", "multiclassova with sigmoid=0.7",
         {"objective": "multiclassova", "num_class": 3, "sigmoid": 0.7}, x[order], y[order], 3)
    make("multiclass-rf", "multiclass", "boosting=rf with three classes: margins are means by class; "
         "raw_score here is the library's, which is the sum",
         {**m, "num_class": 3, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
         x[order], y[order], 4)


def regression_cases():
    rng = seeded("lightgbm/regression")
    r = {"objective": "regression"}
    x, y = load_diabetes(return_X_y=True)
    names = list(load_diabetes().feature_names)
    make("regression", "regression", "numeric splits on diabetes", r, x, y, 10, names)
    cx, score = categorical(rng)
    make("regression-categorical", "regression", "category columns and NaN in training",
         {**r, "min_data_per_group": 5, "cat_smooth": 1}, cx, score, 6, cats=[1, 2, 4], n_real=40)
    make("regression-deep", "regression", "trees of up to 200 leaves",
         {**r, "num_leaves": 200, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0}, x, y, 3,
         names, n_thresholds=25)
    make("regression-rf", "regression", "boosting=rf: the mean of the trees; raw_score here is the "
         "library's, which is the sum",
         {**r, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, x, y, 6, names)
    make("regression-two-leaves", "regression", "stumps, values of very different size",
         {**r, "num_leaves": 2}, x * np.logspace(-30, 30, x.shape[1]), y * 1e6, 10, names)


def run(data):
    binary_cases(data)
    multiclass_cases()
    regression_cases()
