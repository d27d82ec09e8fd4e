"""ONNX files of fitted pipelines with onnxruntime's answers (one thread), one folder per case.

Run with the packages of requirements-onnx.txt:  python make_onnx.py [--out DIR] [--only NAME] [--seed TEXT]
`case.json` has the rows (null is NaN, texts are texts) and for each the scores that the file's outputs give, as f32
written shortly; a row that onnxruntime refuses has null for its scores. Another `--seed` gives other data for the same
list of models; compare them with SERVE_ONNX_CASES=DIR cargo test -p serve-formats --test formats onnx.
"""
import argparse
import json
import math
import os
import shutil
import warnings
import zlib

import numpy as np
import onnxruntime as ort

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "onnx")
F32 = np.float32
FAILED = []


def seeded(name):
    return np.random.default_rng(zlib.crc32((name + SEED).encode()))


def session(blob):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(blob, options, providers=["CPUExecutionProvider"])


def short(value):
    """A score as JSON: the shortest text that reads back as the same number of its type."""
    if not np.isfinite(value):
        return {"nan": None}.get(str(value), str(value))
    return float(str(value)) if isinstance(value, F32) else float(value)


def cell(value):
    if isinstance(value, str):
        return value
    value = float(value)
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def feed_of(sess, rows):
    """The inputs of a session from rows of cells, column after column."""
    feed, at = {}, 0
    for i in sess.get_inputs():
        width = i.shape[1] if len(i.shape) > 1 else 1
        block = [row[at:at + width] for row in rows]
        at += width
        kinds = {"tensor(float)": F32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
                 "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(string)": object}
        if i.type == "tensor(float)":
            block = np.array(block, dtype=np.float64).astype(F32)
        block = np.array(block, dtype=kinds[i.type])
        feed[i.name] = block if len(i.shape) > 1 else block.reshape(-1)
    return feed


def answers(sess, rows):
    """(scores, labels) per row; None where onnxruntime refuses the row."""
    scores, labels = [], []
    for row in rows:
        try:
            got = sess.run(None, feed_of(sess, [row]))
        except Exception:  # noqa: BLE001
            scores.append(None)
            labels.append(None)
            continue
        label = next((g for g in got if isinstance(g, np.ndarray) and g.dtype.kind in "iOUb"), None)
        score = next((g for g in got if isinstance(g, list)), None)
        if score is None:
            floats = [(o.name, g) for o, g in zip(sess.get_outputs(), got)
                      if isinstance(g, np.ndarray) and g.dtype.kind == "f"]
            named = [g for n, g in floats if "prob" in n.lower()] or [g for _, g in floats]
            score = named[0].reshape(-1) if named else None
            if label is not None and len(floats) > 1 and all(g.ndim == 1 for _, g in floats):
                score = np.concatenate([g for _, g in floats])  # zipmap="columns"
        else:
            score = [F32(v) for v in score[0].values()]
        scores.append([] if score is None else [short(v) for v in score])
        labels.append(None if label is None else str(label.reshape(-1)[0]))
    return scores, labels


def case(name, model, rows, notes, tolerance=1e-5, **more):
    """Writes one case. `rows`: lists of cells in the order of the inputs."""
    blob = model if isinstance(model, bytes) else model.SerializeToString()
    path = os.path.join(OUT, name)
    shutil.rmtree(path, ignore_errors=True)
    sess = session(blob)
    os.makedirs(path)
    rows = [list(row) for row in rows]
    scores, labels = answers(sess, rows)
    with open(os.path.join(path, "model.onnx"), "wb") as f:
        f.write(blob)
    rows = [[cell(v) for v in row] for row in rows]
    body = {"notes": notes, "tolerance": tolerance, **more, "rows": rows, "scores": scores, "labels": labels}
    with open(os.path.join(path, "case.json"), "w", encoding="utf-8", newline="\n") as f:
        lines = [f" {json.dumps(k)}: " + (json.dumps(v) if k not in ("rows", "scores") else
                 "[\n  " + ",\n  ".join(json.dumps(r) for r in v) + "\n ]") for k, v in body.items()]
        f.write("{\n" + ",\n".join(lines) + "\n}\n")


def attempt(make, name, *args, **kwargs):
    if ONLY and ONLY not in name:
        return
    try:
        make(name, *args, **kwargs)
    except Exception as error:  # noqa: BLE001
        FAILED.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:160]}")


def thresholds(model):
    """(feature, value) of all tree nodes of a file."""
    import onnx
    found = []
    for node in model.graph.node:
        a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        if "nodes_featureids" in a and "nodes_values" in a:
            found += [(f, v) for f, v, m in zip(a["nodes_featureids"], a["nodes_values"], a["nodes_modes"])
                      if m != b"LEAF"]
    return found


def numeric_rows(X, rng, model=None, missing=True, count=14):
    X = np.asarray(X, dtype=np.float64)
    base = X[rng.permutation(len(X))[:count]]
    out = [list(r) for r in base.astype(F32).astype(np.float64)]
    width = X.shape[1]

    def changed(col, value):
        row = list(out[int(rng.integers(0, min(count, len(X))))])
        row[col] = value
        out.append(row)
    if model is not None:
        found = thresholds(model)
        for i in rng.permutation(len(found))[:6]:
            f, v = found[i]
            if f < width:
                for value in (v, np.nextafter(F32(v), F32(np.inf)), np.nextafter(F32(v), F32(-np.inf)),
                              float(v) * (1 + 1e-9)):
                    changed(f, float(value))
    specials = [0.0, -0.0, 1e-42, 1e30, -1e30] + ([math.nan, math.inf, -math.inf] if missing else [])
    for value in specials:
        changed(int(rng.integers(0, width)), value)
    if missing:
        for col in range(min(width, 6)):
            changed(col, math.nan)
        out.append([math.nan] * width)
    return out


def data(rng, classes=3, width=5, n=160, regression=False):
    X = rng.normal(size=(n, width)) * rng.uniform(0.5, 3, size=width) + rng.normal(size=width)
    X = X.astype(F32)
    raw = X @ rng.normal(size=(width, max(classes, 1))) + rng.normal(size=(n, max(classes, 1))) \
        + np.sin(X[:, :1]) * 2
    return X, (raw[:, 0] if regression else raw.argmax(1))


def sk(name, model, classes=3, regression=False, positive=False, missing=False, double=False, zipmap=False,
       labels=None, notes="", targets=1, counts=False, options=None, opset=None, X=None, y=None, tolerance=1e-5):
    from skl2onnx import to_onnx
    rng = seeded(name)
    if X is None:
        X, y = data(rng, classes=classes, regression=regression)
    if positive:
        X = np.abs(X)
    if counts:
        y = np.abs(y)
    if targets > 1:
        y = np.column_stack([y * (i + 1) + X[:, i] for i in range(targets)])
    if labels:
        y = np.array(labels)[y]
    fitted = X.copy()
    if missing == "fit":
        fitted[rng.random(X.shape) < 0.1] = np.nan
    model.fit(fitted, y)
    start = X[:1].astype(np.float64) if double else X[:1]
    chosen = {} if regression else {"zipmap": zipmap}
    chosen.update(options or {})
    try:
        onx = to_onnx(model, start, options=chosen or None, target_opset=opset)
    except NameError:
        onx = to_onnx(model, start, target_opset=opset)
    case(name, onx, numeric_rows(X, rng, onx, bool(missing)), notes or type(model).__name__,
         tolerance=tolerance)


def lists_for_arrays():
    """skl2onnx 1.20 hands arrays of scikit-learn 1.9 on, which onnx 1.23 refuses as attributes."""
    from skl2onnx.common._container import ModelComponentContainer
    add_node = ModelComponentContainer.add_node

    def patched(self, *args, **attrs):
        attrs = {k: v.ravel().tolist() if isinstance(v, np.ndarray) else v for k, v in attrs.items()}
        plain = lambda x: int(x) if isinstance(x, (bool, np.bool_, np.integer)) else x
        attrs = {k: [plain(x) for x in v] if isinstance(v, list) else v for k, v in attrs.items()}
        return add_node(self, *args, **attrs)
    ModelComponentContainer.add_node = patched


def sklearn_cases():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.datasets import load_iris
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.ensemble import (AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor,
                                  ExtraTreesClassifier, ExtraTreesRegressor, GradientBoostingClassifier,
                                  GradientBoostingRegressor, HistGradientBoostingClassifier,
                                  HistGradientBoostingRegressor, IsolationForest, RandomForestClassifier,
                                  RandomForestRegressor, StackingClassifier, StackingRegressor,
                                  VotingClassifier, VotingRegressor)
    from sklearn.feature_selection import SelectKBest
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import (ElasticNet, Lasso, LinearRegression, LogisticRegression, Perceptron, Ridge,
                                      RidgeClassifier, SGDClassifier, SGDRegressor, PoissonRegressor)
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import FeatureUnion, make_pipeline
    from sklearn.preprocessing import (Binarizer, KBinsDiscretizer, MaxAbsScaler, MinMaxScaler, Normalizer,
                                       PolynomialFeatures, PowerTransformer, RobustScaler, StandardScaler)
    from sklearn.svm import NuSVC, NuSVR, OneClassSVM, SVC, SVR, LinearSVC, LinearSVR
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    t = lambda *a, **k: attempt(sk, *a, **k)
    rs = {"random_state": 0}
    iris = load_iris(return_X_y=True)
    iris = iris[0].astype(F32), iris[1]
    forest = {"n_estimators": 5, "max_depth": 4, **rs}
    t("tree-classifier", DecisionTreeClassifier(max_depth=4, **rs), missing=True)
    t("tree-binary-labels", DecisionTreeClassifier(max_depth=4, **rs), classes=2, labels=["no", "yes"], missing=True)
    t("tree-regressor", DecisionTreeRegressor(max_depth=4, **rs), regression=True, missing=True)
    t("tree-regressor-two-targets", DecisionTreeRegressor(max_depth=3, **rs), regression=True, targets=2, missing=True)
    t("forest-classifier", RandomForestClassifier(**forest), missing=True)
    t("forest-binary", RandomForestClassifier(**forest), classes=2, missing=True, zipmap=True)
    t("forest-missing-fit", RandomForestClassifier(**forest), classes=2, missing="fit")
    t("forest-regressor", RandomForestRegressor(**forest), regression=True, missing=True)
    t("forest-double", RandomForestRegressor(**forest), regression=True, double=True, missing=True)
    t("forest-classifier-double", RandomForestClassifier(**forest), double=True, missing=True)
    t("extra-trees-classifier", ExtraTreesClassifier(**forest), missing=True)
    t("extra-trees-regressor", ExtraTreesRegressor(**forest), regression=True, missing=True)
    t("gradient-boosting-binary", GradientBoostingClassifier(n_estimators=8, **rs), classes=2, missing=True)
    t("gradient-boosting-multiclass", GradientBoostingClassifier(n_estimators=4, **rs), missing=True)
    t("gradient-boosting-regressor", GradientBoostingRegressor(n_estimators=8, **rs), regression=True, missing=True)
    t("hist-binary", HistGradientBoostingClassifier(max_iter=6, **rs), classes=2, missing="fit")
    t("hist-multiclass", HistGradientBoostingClassifier(max_iter=4, **rs), missing="fit")
    t("hist-regressor", HistGradientBoostingRegressor(max_iter=6, **rs), regression=True, missing="fit")
    t("adaboost-classifier", AdaBoostClassifier(n_estimators=4, **rs), missing=True)
    t("adaboost-binary", AdaBoostClassifier(n_estimators=4, **rs), classes=2, missing=True)
    t("adaboost-regressor", AdaBoostRegressor(n_estimators=4, **rs), regression=True)
    t("bagging-trees", BaggingClassifier(n_estimators=4, **rs), missing=True)
    t("bagging-regressor", BaggingRegressor(n_estimators=4, **rs), regression=True)
    t("isolation-forest", IsolationForest(n_estimators=5, **rs), regression=True, opset={"": 18, "ai.onnx.ml": 3})
    t("logistic-binary", LogisticRegression(), classes=2, missing=True)
    t("logistic-binary-labels", LogisticRegression(), classes=2, labels=["a", "b"], zipmap=True)
    t("logistic-multinomial", LogisticRegression(), missing=True)
    t("logistic-one-vs-rest", OneVsRestClassifier(LogisticRegression()))
    t("logistic-raw", LogisticRegression(), options={"raw_scores": True})
    t("linear-regression", LinearRegression(), regression=True, missing=True)
    t("linear-two-targets", LinearRegression(), regression=True, targets=2)
    t("ridge", Ridge(), regression=True)
    t("ridge-double", Ridge(), regression=True, double=True)
    t("lasso", Lasso(0.1), regression=True)
    t("elastic-net", ElasticNet(0.1), regression=True)
    t("sgd-regressor", SGDRegressor(**rs), regression=True)
    t("sgd-log", SGDClassifier(loss="log_loss", **rs))
    t("sgd-binary", SGDClassifier(**rs), classes=2)
    t("sgd-modified-huber", SGDClassifier(loss="modified_huber", **rs))
    t("perceptron", Perceptron(**rs))
    t("ridge-classifier", RidgeClassifier())
    t("ridge-classifier-binary", RidgeClassifier(), classes=2)
    t("poisson", PoissonRegressor(), regression=True, counts=True)
    t("linear-svc", LinearSVC(**rs))
    t("linear-svc-binary", LinearSVC(**rs), classes=2)
    t("linear-svr", LinearSVR(**rs), regression=True)
    for kernel in ("linear", "rbf", "poly", "sigmoid"):
        t(f"svc-{kernel}-probability", SVC(kernel=kernel, probability=True, **rs))
        t(f"svc-{kernel}", SVC(kernel=kernel, **rs))
        t(f"svc-{kernel}-binary", SVC(kernel=kernel, **rs), classes=2)
        t(f"svr-{kernel}", SVR(kernel=kernel), regression=True, tolerance=5e-5)
    t("svc-binary-probability", SVC(probability=True, **rs), classes=2, labels=["n", "p"])
    t("svc-ovo", SVC(decision_function_shape="ovo", **rs))
    t("svc-four-classes", SVC(probability=True, **rs), classes=4)
    # The rows that an import samples lie far from these support vectors.
    t("svc-scaled-iris", make_pipeline(StandardScaler(), SVC(probability=True, **rs)), X=iris[0], y=iris[1])
    t("columns-logistic", LogisticRegression(), zipmap="columns")
    t("columns-forest-texts", RandomForestClassifier(**forest), zipmap="columns", missing=True,
      labels=["b", "a probable", "c d"])
    t("columns-binary", LogisticRegression(), classes=2, zipmap="columns")
    t("columns-svc", SVC(probability=True, **rs), zipmap="columns")
    t("nu-svc", NuSVC(nu=0.2, probability=True, **rs))
    t("nu-svc-raw", NuSVC(nu=0.2, **rs))
    t("nu-svr", NuSVR(), regression=True)
    t("one-class-svm", OneClassSVM(), regression=True)
    t("gaussian-nb", GaussianNB())
    t("gaussian-nb-binary", GaussianNB(), classes=2)
    t("bernoulli-nb", BernoulliNB())
    t("multinomial-nb", MultinomialNB(), positive=True)
    t("complement-nb", ComplementNB(), positive=True)
    for act in ("relu", "tanh", "logistic", "identity"):
        t(f"mlp-classifier-{act}", MLPClassifier((6, 4), activation=act, max_iter=40, **rs))
        t(f"mlp-regressor-{act}", MLPRegressor(hidden_layer_sizes=(6,), activation=act, max_iter=40, **rs), regression=True)
    t("mlp-binary", MLPClassifier((5,), max_iter=40, **rs), classes=2)
    lr, dt = LogisticRegression(), DecisionTreeClassifier(max_depth=3, **rs)
    t("voting-soft", VotingClassifier([("a", lr), ("b", dt)], voting="soft", flatten_transform=False))
    t("voting-soft-weights", VotingClassifier([("a", lr), ("b", dt)], voting="soft", weights=np.array([1, 3]),
                                              flatten_transform=False), classes=2)
    t("voting-hard", VotingClassifier([("a", lr), ("b", dt), ("c", GaussianNB())], voting="hard",
                                      flatten_transform=False))
    t("voting-regressor", VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=3, **rs))]),
      regression=True)
    t("stacking", StackingClassifier([("a", lr), ("b", dt)]))
    t("stacking-binary-passthrough", StackingClassifier([("a", lr), ("b", dt)], passthrough=True), classes=2)
    t("stacking-regressor", StackingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=3, **rs))]),
      regression=True)
    t("calibrated-sigmoid", CalibratedClassifierCV(GaussianNB(), cv=2))
    t("calibrated-binary", CalibratedClassifierCV(dt, cv=2), classes=2)
    t("calibrated-isotonic", CalibratedClassifierCV(lr, cv=2, method="isotonic"))
    for name, step in {
        "standard": StandardScaler(), "min-max": MinMaxScaler(clip=True), "robust": RobustScaler(),
        "max-abs": MaxAbsScaler(), "l1": Normalizer("l1"), "l2": Normalizer("l2"), "max": Normalizer("max"),
        "polynomial": PolynomialFeatures(2), "interaction": PolynomialFeatures(3, interaction_only=True),
        "binarizer": Binarizer(threshold=0.2), "pca": PCA(3), "svd": TruncatedSVD(3),
        "select": SelectKBest(k=3), "power": PowerTransformer(), "yeo-johnson-raw": PowerTransformer(standardize=False),
        "kbins-ordinal": KBinsDiscretizer(4, encode="ordinal"),
        "kbins-onehot": KBinsDiscretizer(4, encode="onehot-dense"),
        "imputer-mean": SimpleImputer(), "imputer-median": SimpleImputer(strategy="median"),
        "imputer-constant": SimpleImputer(strategy="constant", fill_value=-1.0),
        "imputer-zero": SimpleImputer(missing_values=0.0),
        "union": FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]),
    }.items():
        fit = "fit" if "imputer" in name and name != "imputer-zero" else False
        t(f"pipeline-{name}", make_pipeline(step, LogisticRegression(max_iter=300)), missing=fit)
    t("pipeline-scaler-forest", make_pipeline(StandardScaler(), RandomForestClassifier(**forest)), missing=True)
    t("pipeline-opset-9", make_pipeline(StandardScaler(), LogisticRegression()), opset={"": 9, "ai.onnx.ml": 1})
    t("pipeline-opset-11-mlp", MLPClassifier((4,), max_iter=30, **rs), opset={"": 11, "ai.onnx.ml": 1})
    t("transformed-target", TransformedTargetRegressor(Ridge()), regression=True)


def mixed(name, model, notes, unknown=True):
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    rng = seeded(name)
    n = 200
    frame = pd.DataFrame({
        "age": rng.normal(40, 12, n).astype(F32), "income": rng.lognormal(3, 1, n).astype(F32),
        "colour": rng.choice(["red", "green", "blue"], n), "size": rng.choice(["s", "m", "l"], n),
        "rooms": rng.integers(1, 5, n).astype(np.int64)})
    y = (frame.age + 10 * (frame.colour == "red") + 3 * frame.rooms + rng.normal(0, 5, n) > 52).astype(int)
    fitted = frame.copy()
    fitted.loc[::11, "age"] = np.nan
    model.fit(fitted, y)
    kinds = [("age", FloatTensorType([None, 1])), ("income", FloatTensorType([None, 1])),
             ("colour", StringTensorType([None, 1])), ("size", StringTensorType([None, 1])),
             ("rooms", Int64TensorType([None, 1]))]
    onx = to_onnx(model, initial_types=kinds, options={"zipmap": False})
    rows = [list(r) for r in frame.iloc[:20].itertuples(index=False)]
    for at, value in [(0, math.nan), (1, 1e20), (0, -5.0), (4, 9), (2, "violet"), (3, "xl"), (2, "")]:
        row = list(rows[int(rng.integers(0, 20))])
        row[at] = value
        rows.append(row)
    used = {i.name for i in session(onx.SerializeToString()).get_inputs()}
    names = ["age", "income", "colour", "size", "rooms"]
    keep = [i for i, c in enumerate(names) if c in used]
    case(name, onx, [[r[i] for i in keep] for r in rows], notes)


def mixed_cases():
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)

    def columns(encoder, **more):
        return ColumnTransformer([("n", numbers, ["age", "income"]), ("c", encoder, ["colour", "size"]),
                                  *[(k, v, ["rooms"]) for k, v in more.items()]])
    logistic, forest = LogisticRegression(max_iter=500), RandomForestClassifier(5, max_depth=4, random_state=0)
    attempt(mixed, "mixed-onehot-ignore", make_pipeline(columns(hot, p="passthrough"), logistic), "OneHot, unknown ignored")
    attempt(mixed, "mixed-onehot-error", make_pipeline(columns(OneHotEncoder(sparse_output=False)), logistic),
            "OneHot, unknown refused")
    attempt(mixed, "mixed-onehot-drop", make_pipeline(columns(OneHotEncoder(drop="first", sparse_output=False)), logistic),
            "OneHot that drops its first category")
    attempt(mixed, "mixed-onehot-sparse", make_pipeline(columns(OneHotEncoder(handle_unknown="ignore")), logistic),
            "OneHot of scikit-learn's default, sparse")
    attempt(mixed, "mixed-ordinal", make_pipeline(columns(OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1)), forest), "OrdinalEncoder with a code for the unknown")
    attempt(mixed, "mixed-onehot-integers", make_pipeline(columns(hot, r=OneHotEncoder(
        handle_unknown="ignore", sparse_output=False)), GradientBoostingClassifier(n_estimators=5, random_state=0)),
        "OneHot of texts and integers before boosting")
    attempt(mixed, "mixed-onehot-infrequent", make_pipeline(columns(OneHotEncoder(
        min_frequency=70, handle_unknown="infrequent_if_exist", sparse_output=False)), logistic), "infrequent categories")


def boosted(name, model, classes=2, regression=False, labels=None, missing=True, notes="", cats=None):
    from onnxmltools.convert import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    import onnxmltools  # noqa: F401
    rng = seeded(name)
    X, y = data(rng, classes=classes, regression=regression)
    if name.startswith(("lightgbm-poisson", "xgboost-poisson", "xgboost-gamma")):
        y = np.abs(y) + 0.1
    if cats:
        X[:, 0] = rng.integers(0, 6, len(X))
    if missing:
        X[rng.random(X.shape) < 0.08] = np.nan
    if labels:
        y = np.array(labels)[y]
    kw = {"categorical_feature": [0]} if cats else {}
    model.fit(X, y, **kw)
    kinds = [("input", FloatTensorType([None, X.shape[1]]))]
    convert = convert_lightgbm if "LGBM" in type(model).__name__ else convert_xgboost
    onx = convert(model, initial_types=kinds)
    case(name, onx, numeric_rows(np.nan_to_num(X), rng, onx, True), notes or type(model).__name__)


def boosting_cases():
    from lightgbm import LGBMClassifier, LGBMRegressor
    from xgboost import XGBClassifier, XGBRegressor
    lg = {"n_estimators": 6, "num_leaves": 7, "min_child_samples": 5, "verbose": -1, "n_jobs": 1, "random_state": 0}
    xg = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1, "random_state": 0}
    b = lambda *a, **k: attempt(boosted, *a, **k)
    b("lightgbm-binary", LGBMClassifier(**lg))
    b("lightgbm-multiclass", LGBMClassifier(**lg), classes=3)
    b("lightgbm-regressor", LGBMRegressor(**lg), regression=True)
    b("lightgbm-poisson", LGBMRegressor(objective="poisson", **lg), regression=True)
    b("lightgbm-dart", LGBMClassifier(boosting_type="dart", **lg))
    b("lightgbm-forest", LGBMRegressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, **lg), regression=True)
    b("lightgbm-categorical", LGBMClassifier(**lg), cats=True)
    b("lightgbm-labels", LGBMClassifier(**lg), labels=["cat", "dog"])
    b("xgboost-binary", XGBClassifier(**xg))
    b("xgboost-multiclass", XGBClassifier(**xg), classes=3)
    b("xgboost-regressor", XGBRegressor(**xg), regression=True)
    b("xgboost-poisson", XGBRegressor(objective="count:poisson", **xg), regression=True)
    b("xgboost-dart", XGBRegressor(booster="dart", **xg), regression=True)


def catboost(name, model, classes=2, regression=False):
    rng = seeded(name)
    X, y = data(rng, classes=classes, regression=regression)
    model.fit(X, y)
    path = os.path.join("/tmp", f"{name}.onnx")
    model.save_model(path, format="onnx")
    with open(path, "rb") as f:
        blob = f.read()
    import onnx
    case(name, blob, numeric_rows(X, rng, onnx.load_model_from_string(blob), False), type(model).__name__)


def catboost_cases():
    from catboost import CatBoostClassifier, CatBoostRegressor
    kw = {"iterations": 5, "depth": 3, "verbose": 0, "random_seed": 0, "allow_writing_files": False, "thread_count": 1}
    attempt(catboost, "catboost-binary", CatBoostClassifier(**kw))
    attempt(catboost, "catboost-multiclass", CatBoostClassifier(**kw), classes=3)
    attempt(catboost, "catboost-regressor", CatBoostRegressor(**kw), regression=True)


def main():
    global OUT, ONLY, SEED
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default=OUT)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", default="", help="other data and rows, to compare more than is kept")
    parser.add_argument("--skip-catboost", action="store_true")
    args = parser.parse_args()
    OUT, ONLY, SEED = args.out, args.only, args.seed
    lists_for_arrays()
    sklearn_cases()
    mixed_cases()
    boosting_cases()
    import make_onnx_forms
    make_onnx_forms.forms(case, attempt, seeded, numeric_rows)
    if not args.skip_catboost:
        catboost_cases()
    print("\n".join(["not made:", *FAILED]) if FAILED else "all made")


ONLY = SEED = ""
if __name__ == "__main__":
    main()
