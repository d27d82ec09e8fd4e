"""scikit-learn's and numpy's numbers: scalers, transforms, linear models, forests, metrics."""
import json
import os
import warnings

import numpy as np
import sklearn
from sklearn import metrics, preprocessing as pre
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from common import HERE, NAN, seeded


def plain(value):
    """Arrays as lists, NaN as null, whole-number arrays as whole numbers."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and value != value else value


def put(name, content):
    path = os.path.join(HERE, "sklearn", name)
    content = plain({"sklearn_version": sklearn.__version__, "numpy_version": np.__version__,
                     **content})
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write("{\n" + ",\n".join(
            f" {json.dumps(k)}: " + (json.dumps(v, allow_nan=False) if not isinstance(v, list) or
                                     not v or not isinstance(v[0], dict) else
                                     "[\n  " + ",\n  ".join(json.dumps(c, allow_nan=False)
                                                            for c in v) + "\n ]")
            for k, v in content.items()) + "\n}\n")
    with open(path, encoding="utf-8") as f:
        assert json.load(f) == content


def scaler_data():
    """Train: usual, huge offset, constant, tiny variance, all zero, with NaN; then rows."""
    rng = seeded("scalers")
    n = 25
    train = np.column_stack([
        rng.normal(size=n), rng.normal(size=n) * 1e3 + 1e6, np.full(n, 3.7),
        5.0 + rng.normal(size=n) * 1e-9, np.zeros(n), rng.exponential(size=n),
        0.1 + np.arange(n) * 1e-17, rng.integers(-3, 4, n).astype(float)])
    train[[2, 7, 11], 5] = NAN
    rows = np.concatenate([train[:4], rng.normal(size=(4, 8)) * 50, np.zeros((1, 8)),
                           np.full((1, 8), -0.0), np.full((1, 8), NAN), np.full((1, 8), 1e200)])
    rows[5, ::2] = NAN
    back = np.concatenate([rng.normal(size=(5, 8)), np.zeros((1, 8)), np.full((1, 8), NAN)])
    return train, rows, back


FITTED = ["mean_", "var_", "scale_", "n_samples_seen_", "data_min_", "data_max_", "data_range_",
          "min_", "center_", "max_abs_"]


def scalers():
    train, rows, back = scaler_data()
    cases = []
    makers = [("StandardScaler", {"with_mean": m, "with_std": s})
              for m in (True, False) for s in (True, False)]
    makers += [("MinMaxScaler", {"feature_range": r, "clip": c})
               for r in ((0, 1), (-2, 3)) for c in (False, True)]
    makers += [("RobustScaler", {"with_centering": c, "with_scaling": s,
                                 "quantile_range": (25.0, 75.0)})
               for c in (True, False) for s in (True, False)]
    makers += [("RobustScaler", {"quantile_range": (10.0, 95.0)}),
               ("RobustScaler", {"quantile_range": (5.0, 50.0), "unit_variance": True}),
               ("MaxAbsScaler", {}), ("MaxAbsScaler", {"clip": True})]
    for kind, params in makers:
        fitted = getattr(pre, kind)(**params).fit(train)
        found = {k: getattr(fitted, k) for k in FITTED if getattr(fitted, k, None) is not None}
        cases.append({"class": kind, "params": params, "fitted": found,
                      "transformed": fitted.transform(rows),
                      "inverse_transformed": fitted.inverse_transform(back)})
    put("scalers.json", {"train": train, "rows": rows, "inverse_rows": back, "cases": cases})


def transforms():
    rng = seeded("transforms")
    x = np.concatenate([rng.normal(size=(6, 3)) * 3, [[0.0, -0.0, 1.0], [1e100, -1e-100, 2.5]]])
    names = ["a", "b c", "d"]
    polynomial = []
    for degree in (2, 3):
        for bias in (True, False):
            for only in (True, False):
                p = pre.PolynomialFeatures(degree, include_bias=bias, interaction_only=only).fit(x)
                polynomial.append({"params": {"degree": degree, "include_bias": bias,
                                              "interaction_only": only}, "powers": p.powers_,
                                   "names": p.get_feature_names_out(names),
                                   "transformed": p.transform(x)})
    train = np.column_stack([rng.integers(0, 4, 40), rng.integers(0, 2, 40) * 2 - 1,
                             rng.choice([0.5, 10.0, -2.25], 40), np.full(40, 7)]).astype(float)
    known = train[:8]
    unknown = np.array([[9.0, 1.0, 0.5, 7.0], [0.0, 0.0, 3.0, 8.0], [2.0, -1.0, 10.0, 7.0],
                        [1.5, -1.0, -2.25, 7.0], [-0.0, 1.0, 0.5, 7.0]])
    onehot = []
    for drop in (None, "first", "if_binary"):
        for handle in ("error", "ignore"):
            e = pre.OneHotEncoder(drop=drop, handle_unknown=handle, sparse_output=False).fit(train)
            rows = known if handle == "error" else np.concatenate([known, unknown])
            onehot.append({"params": {"drop": drop, "handle_unknown": handle},
                           "categories": e.categories_, "drop_idx": None if e.drop_idx_ is None
                           else list(e.drop_idx_), "names": e.get_feature_names_out(list("wxyz")),
                           "rows": rows, "transformed": e.transform(rows)})
    missing = np.array([[1.0], [NAN], [2.0], [1.0]])
    e = pre.OneHotEncoder(sparse_output=False).fit(missing)
    onehot.append({"params": {"drop": None, "handle_unknown": "error"},
                   "categories": e.categories_, "drop_idx": None,
                   "names": e.get_feature_names_out(["w"]), "rows": missing,
                   "transformed": e.transform(missing)})
    v = np.concatenate([rng.exponential(size=10) * 10.0 ** np.arange(-15, 5, 2),
                        [0.0, -0.0, -0.5, -0.999999, 1e-300, 1e300, NAN, 1.0]])
    put("transforms.json", {
        "polynomial_rows": x, "polynomial_input_names": names, "polynomial": polynomial,
        "onehot_train": train, "onehot": onehot,
        "log1p": {"x": v, "y": np.log1p(v)},
        "clip": [{"min": lo, "max": hi, "x": v, "y": np.clip(v, lo, hi)}
                 for lo, hi in ((-0.25, 3.0), (None, 1.0), (0.0, None))]})


def linear_case(name, model, rows, **more):
    case = {"name": name, "class": type(model).__name__, **more, "rows": rows}
    if isinstance(model, OneVsRestClassifier):
        case["coef"] = np.concatenate([m.coef_ for m in model.estimators_])
        case["intercept"] = np.concatenate([m.intercept_ for m in model.estimators_])
    else:
        case["coef"], case["intercept"] = model.coef_, np.asarray(model.intercept_)
    if hasattr(model, "classes_"):
        case.update(classes=model.classes_, decision_function=model.decision_function(rows),
                    predict_proba=model.predict_proba(rows))
    return {**case, "predict": model.predict(rows)}


def scaled(load):
    x, y = load(return_X_y=True)
    return pre.StandardScaler().fit_transform(x), y


def linear():
    rng = seeded("linear")
    x, y = scaled(load_diabetes)
    pick = rng.permutation(len(x))[:25]
    cases = [linear_case("linear", LinearRegression().fit(x, y), x[pick]),
             linear_case("linear-no-intercept", LinearRegression(fit_intercept=False).fit(x, y),
                         x[pick]),
             linear_case("linear-two-targets", LinearRegression().fit(
                 x, np.column_stack([y, y[::-1]])), x[pick]),
             linear_case("ridge", Ridge(alpha=2.0).fit(x, y), x[pick])]
    x, y = scaled(load_breast_cancer)
    rows = np.concatenate([x[rng.permutation(len(x))[:20]], np.zeros((1, 30)),
                           x[:2] * 200, x[:2] * 2e4])  # the last push the logistic to its ends
    cases.append(linear_case("logistic-binary", LogisticRegression(max_iter=500).fit(x, y), rows))
    x, y = scaled(load_iris)
    rows = np.concatenate([x[rng.permutation(len(x))[:20]], np.zeros((1, 4)), x[:3] * 500])
    cases.append(linear_case("logistic-multinomial", LogisticRegression(max_iter=500).fit(x, y),
                             rows))
    words = np.array(["setosa", "versicolor", "virginica"])[y]
    cases.append(linear_case("logistic-text-labels", LogisticRegression(max_iter=500).fit(
        x, words), rows))
    x, y = scaled(load_wine)
    ovr = OneVsRestClassifier(LogisticRegression()).fit(x, y)
    far = rng.normal(size=(500, 13)) * 1e4
    nobody = far[ovr.predict_proba(far).sum(axis=1) == 0][:1]  # every class says 0: stays 0
    assert len(nobody) == 1
    rows = np.concatenate([x[rng.permutation(len(x))[:20]], np.zeros((1, 13)), x[:3] * 50, nobody])
    cases.append(linear_case("one-vs-rest", ovr, rows))
    put("linear.json", {"cases": cases})


def tree_arrays(tree):
    t = tree.tree_
    return {"children_left": t.children_left, "children_right": t.children_right,
            "feature": t.feature, "threshold": t.threshold, "value": t.value[:, 0, :],
            "missing_go_to_left": t.missing_go_to_left}


def forest_rows(model, x, rng):
    """Data rows, and rows that sit on a threshold once rounded to f32 (x <= threshold is left)."""
    trees = getattr(model, "estimators_", [model])
    splits = [(int(f), float(t)) for m in trees
              for f, t in zip(m.tree_.feature, m.tree_.threshold) if f >= 0]
    rows = [x[rng.permutation(len(x))[:25]]]
    for i in rng.permutation(len(splits))[:8]:
        col, t = splits[i]
        t32 = np.float32(t)
        values = [t, np.nextafter(t, np.inf), np.nextafter(t, -np.inf), float(t32),
                  float(np.nextafter(t32, np.float32(np.inf))),
                  (float(t32) + float(np.nextafter(t32, np.float32(np.inf)))) / 2]
        many = []
        for v in values:
            shifted = x[:60].copy()
            shifted[:, col] = v
            many.append(shifted)
        got = np.stack([np.asarray(model.predict_proba(m)[:, 0] if hasattr(model, "predict_proba")
                                   else model.predict(m)) for m in many])
        best = int(np.argmax([len(set(got[:, r])) for r in range(60)]))
        rows.append(np.stack([m[best] for m in many]))
    return np.concatenate(rows + [np.zeros((1, x.shape[1]))])


def forest():
    rng = seeded("forest")
    cases = []

    def one(name, model, x, y):
        model.fit(x, y)
        rows = forest_rows(model, x, rng)
        if np.isnan(x).any():
            rows = np.concatenate([rows, np.where(np.eye(x.shape[1], dtype=bool), NAN, x[:1])])
        assert np.array_equal(model.predict(rows), model.predict(rows.astype(np.float32)))
        case = {"name": name, "class": type(model).__name__, "n_features": x.shape[1],
                "trees": [tree_arrays(m) for m in getattr(model, "estimators_", [model])],
                "rows": rows}
        if hasattr(model, "classes_"):
            case.update(classes=model.classes_, predict_proba=model.predict_proba(rows))
        cases.append({**case, "predict": model.predict(rows)})

    ix, iy = load_iris(return_X_y=True)
    cx, cy = load_breast_cancer(return_X_y=True)
    dx, dy = load_diabetes(return_X_y=True)
    gaps = cx[:, :8].copy()
    gaps[rng.random(gaps.shape) < 0.1] = NAN
    one("tree-classifier", DecisionTreeClassifier(max_depth=4, random_state=7), ix, iy)
    one("tree-classifier-missing", DecisionTreeClassifier(max_depth=5, random_state=7), gaps, cy)
    one("tree-regressor", DecisionTreeRegressor(max_depth=4, random_state=7), dx, dy)
    one("forest-classifier", RandomForestClassifier(5, max_depth=4, random_state=7, n_jobs=1), ix,
        iy)
    one("forest-classifier-binary", RandomForestClassifier(
        5, max_depth=4, random_state=7, n_jobs=1), cx[:, :8], cy)
    one("forest-classifier-missing", RandomForestClassifier(
        5, max_depth=4, random_state=7, n_jobs=1), gaps, cy)
    one("forest-regressor", RandomForestRegressor(
        5, max_depth=4, random_state=7, n_jobs=1), dx, dy)
    put("forest.json", {"note": "rows are rounded to f32, then x <= threshold (f64) goes left; a "
                                "leaf has children -1; value holds class shares or the mean",
                        "cases": cases})


def ensemble():
    rng = seeded("ensemble")
    cases = []
    for name, load in (("binary", load_breast_cancer), ("three-classes", load_iris)):
        x, y = scaled(load)
        x = x[:, :6]
        for weights in ([0.7, 0.3], [1, 4], None):
            vote = VotingClassifier(
                [("weak", LogisticRegression(C=0.01)), ("strong", LogisticRegression(C=5.0))],
                voting="soft", weights=weights, n_jobs=1).fit(x, y)
            rows = np.concatenate([x[rng.permutation(len(x))[:15]], np.zeros((1, x.shape[1]))])
            cases.append({"name": name, "weights": weights, "classes": vote.classes_,
                          "members": [{"coef": m.coef_, "intercept": m.intercept_,
                                       "predict_proba": m.predict_proba(rows)}
                                      for m in vote.estimators_],
                          "rows": rows, "predict_proba": vote.predict_proba(rows),
                          "predict": vote.predict(rows)})
    put("ensemble.json", {"cases": cases})


def metric_values():
    rng = seeded("metrics")
    n = 50
    label = rng.integers(0, 2, n)
    p = np.clip(label * 0.3 + rng.random(n) * 0.7, 0, 1)
    ties = np.round(p, 1)
    ends = ties.copy()
    ends[[0, 3]] = 1 - label[[0, 3]]  # certain and wrong: the log loss clips
    ends[[1, 2]] = label[[1, 2]]
    weight = np.round(rng.random(n) * 3, 2)
    binary = []
    for name, q, w in (("plain", p, None), ("ties", ties, None), ("ends", ends, None),
                       ("weighted", ties, weight), ("constant", np.full(n, 0.5), None)):
        guess = (q > 0.5).astype(int)
        binary.append({
            "name": name, "labels": label, "probabilities": q, "weights": w,
            "predicted": guess,
            "accuracy": metrics.accuracy_score(label, guess, sample_weight=w),
            "log_loss": metrics.log_loss(label, q, sample_weight=w),
            "brier_score_loss": metrics.brier_score_loss(label, q, sample_weight=w),
            "roc_auc_score": metrics.roc_auc_score(label, q, sample_weight=w),
            "precision": metrics.precision_score(label, guess, sample_weight=w, zero_division=0),
            "recall": metrics.recall_score(label, guess, sample_weight=w, zero_division=0),
            "f1": metrics.f1_score(label, guess, sample_weight=w, zero_division=0),
            "confusion_matrix": metrics.confusion_matrix(label, guess)})
    many = rng.integers(0, 4, n)
    raw = rng.random((n, 4)) + np.eye(4)[many] * 0.4
    proba = raw / raw.sum(axis=1, keepdims=True)
    guess = proba.argmax(axis=1)
    truth = rng.normal(size=n) * 10
    fit = truth + rng.normal(size=n)
    put("metrics.json", {
        "binary": binary,
        "multiclass": {"labels": many, "probabilities": proba, "predicted": guess,
                       "accuracy": metrics.accuracy_score(many, guess),
                       "log_loss": metrics.log_loss(many, proba),
                       "confusion_matrix": metrics.confusion_matrix(many, guess)},
        "regression": {"truth": truth, "predicted": fit,
                       "mean_squared_error": metrics.mean_squared_error(truth, fit),
                       "mean_absolute_error": metrics.mean_absolute_error(truth, fit),
                       "r2_score": metrics.r2_score(truth, fit)}})


def run(_data):
    os.makedirs(os.path.join(HERE, "sklearn"), exist_ok=True)
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        for part in (scalers, transforms, linear, forest, ensemble, metric_values):
            part()
