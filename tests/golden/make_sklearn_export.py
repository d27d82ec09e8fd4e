"""Pipelines fitted by scikit-learn and written by tools/export_sklearn.py, with scikit-learn's answers in them.

A name that begins with `exact-` is of a case whose answers must have the very bits.

    python make_sklearn_export.py FOLDER [PART OF A NAME [SEED]]

writes other data's pipelines with more rows, for SERVE_SKLEARN_EXPORTS (see sklearn_export.rs).
"""
import os
import sys
import warnings

import numpy as np
import pandas as pd
from sklearn import ensemble, linear_model, naive_bayes, neural_network, preprocessing, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from common import HERE, NAN, fresh_dir, seeded

sys.path.insert(0, os.path.join(HERE, "..", "..", "tools"))
import export_sklearn  # noqa: E402

ROWS = 160


class Data:
    """Small data sets, drawn anew for each case."""

    def __init__(self, name):
        self.rng = seeded(name)
        self.x = self.rng.normal(size=(ROWS, 4)) * [1, 10, 0.1, 3] + [0, 5, 0, -2]
        self.score = self.x[:, 0] + self.x[:, 1] / 10 - self.x[:, 3] / 3 + self.rng.normal(size=ROWS) * 0.5
        self.two = (self.score > 0.5).astype(int)
        self.three = np.digitize(self.score, [0.2, 1.8])
        self.value = self.score * 3 + self.x[:, 2] ** 2
        self.count = self.rng.poisson(np.exp(self.score / 3))

    def gaps(self):
        x = self.x.copy()
        x[self.rng.random(x.shape) < 0.1] = NAN
        return x

    def frame(self, dtype=object):
        r = self.rng
        return pd.DataFrame({
            "age": np.where(r.random(ROWS) < 0.1, NAN, r.integers(18, 80, ROWS)),
            "colour": pd.Series(r.choice(["red", "green", "blue", "grün"], ROWS, p=[.5, .3, .15, .05]), dtype=dtype),
            "size": pd.Series(r.choice(["s", "m", "l"], ROWS), dtype=dtype),
            "floor": r.integers(0, 5, ROWS),
            "income": r.lognormal(3, 1, ROWS)})


CASES = {}


def case(name):
    def register(function):
        CASES[name] = function
        return function
    return register


def add(name, make, target, x="x"):
    """A case that fits one estimator to one of the data sets."""
    def build(data):
        rows = getattr(data, x)
        rows = rows() if callable(rows) else rows
        return make().fit(rows, getattr(data, target)), rows
    CASES[name] = build


def trees():
    small = dict(max_depth=4, random_state=0)
    many = dict(n_estimators=5, **small)
    for kind, target in (("binary", "two"), ("multiclass", "three")):
        add(f"exact-tree-{kind}", lambda: tree.DecisionTreeClassifier(**small), target)
        add(f"exact-forest-{kind}", lambda: ensemble.RandomForestClassifier(**many), target)
        add(f"exact-forest-missing-{kind}", lambda: ensemble.RandomForestClassifier(**many), target, "gaps")
        add(f"exact-extra-trees-{kind}", lambda: ensemble.ExtraTreesClassifier(**many), target)
        add(f"boosting-{kind}", lambda: ensemble.GradientBoostingClassifier(n_estimators=5, **small), target)
        add(f"histogram-{kind}", lambda: ensemble.HistGradientBoostingClassifier(max_iter=5, max_depth=4), target, "gaps")
        add(f"adaboost-{kind}", lambda: ensemble.AdaBoostClassifier(
            tree.DecisionTreeClassifier(max_depth=2), n_estimators=5, random_state=0), target)
        add(f"exact-bagging-{kind}", lambda: ensemble.BaggingClassifier(
            tree.DecisionTreeClassifier(max_depth=3), n_estimators=4, max_features=3, random_state=0), target)
    add("exact-tree-missing", lambda: tree.DecisionTreeClassifier(**small), "two", "gaps")
    add("exact-extra-tree", lambda: tree.ExtraTreeClassifier(**small), "two")
    add("exact-tree-regression", lambda: tree.DecisionTreeRegressor(**small), "value")
    add("exact-extra-tree-regression", lambda: tree.ExtraTreeRegressor(**small), "value", "gaps")
    add("exact-forest-regression", lambda: ensemble.RandomForestRegressor(**many), "value")
    add("exact-extra-trees-regression", lambda: ensemble.ExtraTreesRegressor(**many), "value", "gaps")
    add("exact-bagging-regression", lambda: ensemble.BaggingRegressor(
        tree.DecisionTreeRegressor(max_depth=3), n_estimators=4, random_state=0), "value")
    add("boosting-exponential", lambda: ensemble.GradientBoostingClassifier(
        loss="exponential", n_estimators=5, **small), "two")
    add("boosting-init", lambda: ensemble.GradientBoostingClassifier(
        init=tree.DecisionTreeClassifier(max_depth=2), n_estimators=3, **small), "two")
    add("boosting-init-multiclass", lambda: ensemble.GradientBoostingClassifier(
        init=ensemble.ExtraTreesClassifier(n_estimators=3, max_depth=3, random_state=0), n_estimators=3, **small), "three")
    add("boosting-init-zero", lambda: ensemble.GradientBoostingClassifier(init="zero", n_estimators=3, **small), "two")
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        add(f"exact-boosting-{loss}", lambda loss=loss: ensemble.GradientBoostingRegressor(
            loss=loss, n_estimators=5, **small), "value")
    add("boosting-init-regression", lambda: ensemble.GradientBoostingRegressor(
        init=ensemble.RandomForestRegressor(n_estimators=3, max_depth=3, random_state=0), n_estimators=3, **small), "value")
    for loss in ("squared_error", "absolute_error", "poisson", "gamma", "quantile"):
        more = {"quantile": 0.3} if loss == "quantile" else {}
        name = f"histogram-{loss}" if loss in ("poisson", "gamma") else f"exact-histogram-{loss}"
        CASES[name] = lambda data, loss=loss, more=more: (lambda x: (ensemble.HistGradientBoostingRegressor(
            loss=loss, max_iter=5, max_depth=4, **more).fit(x, data.count + (loss == "gamma") * 0.5), x))(data.gaps())
    add("adaboost-regression", lambda: ensemble.AdaBoostRegressor(n_estimators=6, random_state=0), "value")
    add("adaboost-linear", lambda: ensemble.AdaBoostClassifier(
        linear_model.LogisticRegression(), n_estimators=3, random_state=0), "three")
    add("bagging-linear", lambda: ensemble.BaggingClassifier(
        linear_model.LogisticRegression(), n_estimators=3, max_features=2, random_state=0), "three")
    add("bagging-votes", lambda: ensemble.BaggingClassifier(
        linear_model.RidgeClassifier(), n_estimators=5, random_state=0), "three")
    add("bagging-linear-regression", lambda: ensemble.BaggingRegressor(
        linear_model.Ridge(), n_estimators=3, random_state=0), "value")
    add("isolation-forest", lambda: ensemble.IsolationForest(n_estimators=6, max_samples=40, random_state=0), "two")

    @case("exact-forest-two-targets")
    def two_targets(data):
        y = np.column_stack([data.value, data.score])
        return ensemble.RandomForestRegressor(n_estimators=4, max_depth=4, random_state=0).fit(data.x, y), data.x

    @case("histogram-categories")
    def categories(data):
        x = np.column_stack([data.rng.integers(0, 9, ROWS) * 3.0, data.x[:, 1], data.rng.integers(0, 3, ROWS)])
        x[data.rng.random(ROWS) < 0.1, 0] = NAN
        y = (np.isin(x[:, 0], [3, 9, 15]) ^ (x[:, 1] > 5)).astype(int)
        model = ensemble.HistGradientBoostingClassifier(
            max_iter=6, max_depth=4, categorical_features=[0, 2], min_samples_leaf=5)
        return model.fit(x, y), x

    @case("histogram-categories-from-dtype")
    def from_dtype(data):
        x = data.frame().astype({"colour": "category", "size": "category"})
        x.loc[data.rng.random(ROWS) < 0.1, "colour"] = None
        y = (x["colour"].isin(["red", "blue"]) ^ (x["size"] == "m")).astype(float) + data.x[:, 2]
        model = ensemble.HistGradientBoostingRegressor(
            max_iter=6, max_depth=4, categorical_features="from_dtype", min_samples_leaf=5)
        return model.fit(x, y), x

    @case("histogram-categories-beside-flags")
    def beside_flags(data):  # the flags make objects of all columns that the model sees
        x = data.frame()[["colour", "size", "income"]].assign(flag=data.x[:, 1] > 5)
        x.loc[data.rng.random(ROWS) < 0.1, "colour"] = None
        y = (x["colour"].isin(["red", "blue"]) ^ (x["size"] == "m") ^ x["flag"]).astype(int)
        words = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=NAN)
        prepare = ColumnTransformer([("words", words, ["colour", "size"])], remainder="passthrough")
        model = ensemble.HistGradientBoostingClassifier(
            max_iter=4, max_depth=4, categorical_features=[0, 1], min_samples_leaf=5)
        return make_pipeline(prepare, model).fit(x, y), x


def linear():
    for kind, target in (("binary", "two"), ("multiclass", "three")):
        add(f"logistic-{kind}", lambda: linear_model.LogisticRegression(max_iter=300), target)
        add(f"ridge-classifier-{kind}", lambda: linear_model.RidgeClassifier(), target)
        add(f"linear-svc-{kind}", lambda: svm.LinearSVC(max_iter=5000, random_state=0), target)
        add(f"sgd-hinge-{kind}", lambda: linear_model.SGDClassifier(random_state=0), target)
        add(f"sgd-log-{kind}", lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0), target)
        add(f"sgd-huber-{kind}", lambda: linear_model.SGDClassifier(loss="modified_huber", random_state=0), target)
        add(f"lda-{kind}", lambda: LinearDiscriminantAnalysis(), target)
        add(f"gaussian-nb-{kind}", lambda: naive_bayes.GaussianNB(), target)
        add(f"mlp-{kind}", lambda: neural_network.MLPClassifier((5,), max_iter=40, random_state=0), target)
        add(f"svc-{kind}", lambda: svm.SVC(), target)
        add(f"svc-poly-{kind}", lambda: make_pipeline(
            preprocessing.StandardScaler(), svm.SVC(kernel="poly", coef0=1.0)), target)
        add(f"nu-svc-sigmoid-{kind}", lambda: make_pipeline(
            preprocessing.StandardScaler(), svm.NuSVC(nu=0.2, kernel="sigmoid", gamma=0.1)), target)
        add(f"svc-linear-{kind}", lambda: svm.SVC(kernel="linear"), target)
        add(f"svc-probability-{kind}", lambda: svm.SVC(probability=True, random_state=0), target)
    add("svc-break-ties", lambda: svm.SVC(break_ties=True), "three")
    add("logistic-liblinear", lambda: linear_model.LogisticRegression(solver="liblinear"), "two")
    add("perceptron", lambda: linear_model.Perceptron(random_state=0), "three")
    for name, make in (("linear", linear_model.LinearRegression), ("ridge", linear_model.Ridge),
                       ("lasso", lambda: linear_model.Lasso(alpha=0.05)),
                       ("elastic-net", lambda: linear_model.ElasticNet(alpha=0.05)),
                       ("bayesian-ridge", linear_model.BayesianRidge), ("huber", linear_model.HuberRegressor),
                       ("linear-svr", lambda: svm.LinearSVR(max_iter=5000, random_state=0)), ("svr", svm.SVR),
                       ("nu-svr-linear", lambda: svm.NuSVR(kernel="linear")),
                       ("sgd", lambda: make_pipeline(
                           preprocessing.StandardScaler(), linear_model.SGDRegressor(random_state=0)))):
        add(f"{name}-regression", make, "value")
    for name, make in (("poisson", linear_model.PoissonRegressor), ("tweedie", lambda: linear_model.TweedieRegressor(
            power=1.5, link="log")), ("tweedie-identity", lambda: linear_model.TweedieRegressor(power=0))):
        add(f"{name}-regression", make, "count")
    CASES["gamma-regression"] = lambda d: (linear_model.GammaRegressor().fit(d.x, d.count + 0.5), d.x)
    CASES["linear-two-targets"] = lambda d: (
        linear_model.LinearRegression().fit(d.x, np.column_stack([d.value, d.score])), d.x)
    for activation in ("identity", "logistic", "tanh", "relu"):
        add(f"mlp-regression-{activation}", lambda activation=activation: make_pipeline(
            preprocessing.StandardScaler(), neural_network.MLPRegressor(
                hidden_layer_sizes=(6, 4), activation=activation, max_iter=40, random_state=0)), "value")
    for name, make in (("multinomial", naive_bayes.MultinomialNB), ("complement", naive_bayes.ComplementNB)):
        CASES[f"{name}-nb"] = lambda d, make=make: (make().fit(np.abs(d.x), d.three), np.abs(d.x))
    add("bernoulli-nb", lambda: naive_bayes.BernoulliNB(binarize=0.5), "three")


def prepared():
    last = lambda *steps: make_pipeline(*steps, linear_model.LogisticRegression(max_iter=500))
    p = preprocessing
    for name, step in (
            ("standard", p.StandardScaler()), ("standard-mean", p.StandardScaler(with_std=False)),
            ("min-max", p.MinMaxScaler((-1, 2))), ("min-max-clip", p.MinMaxScaler(clip=True)),
            ("max-abs", p.MaxAbsScaler()), ("robust", p.RobustScaler()), ("l1", p.Normalizer("l1")),
            ("l2", p.Normalizer()), ("max", p.Normalizer("max")), ("polynomial", p.PolynomialFeatures(2)),
            ("polynomial-3", p.PolynomialFeatures(3, include_bias=False, interaction_only=True)),
            ("bins", p.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")),
            ("bins-ordinal", p.KBinsDiscretizer(3, encode="ordinal", strategy="uniform")),
            ("binarizer", p.Binarizer(threshold=0.5)), ("yeo-johnson", p.PowerTransformer()),
            ("quantile", p.QuantileTransformer(n_quantiles=20)), ("pca", PCA(2)), ("pca-whiten", PCA(3, whiten=True)),
            ("svd", TruncatedSVD(2, random_state=0)), ("k-best", SelectKBest(k=2)),
            ("from-model", SelectFromModel(tree.DecisionTreeClassifier(random_state=0))),
            ("union", FeatureUnion([("pca", PCA(2)), ("all", "passthrough"), ("scaled", p.StandardScaler())],
                                   transformer_weights={"pca": 0.5})),
            ("function", p.FunctionTransformer(np.tanh)), ("square", p.FunctionTransformer(np.square)),
            ("imputer", SimpleImputer()), ("imputer-indicator", SimpleImputer(strategy="median", add_indicator=True)),
            ("imputer-constant", SimpleImputer(strategy="constant", fill_value=-1)),
            ("indicator", FeatureUnion([("i", MissingIndicator()), ("m", SimpleImputer())]))):
        data = "gaps" if "i" == name[0] else "x"
        add(f"prepare-{name}", lambda step=step: last(step), "three", data)

    def positive(name, step):
        CASES[name] = lambda d: (last(step).fit(np.exp(d.x / 5), d.two), np.exp(d.x / 5))
    positive("prepare-box-cox", p.PowerTransformer("box-cox", standardize=False))
    positive("prepare-log1p", p.FunctionTransformer(np.log1p))

    @case("prepare-quantile-ties")
    def ties(d):
        x = d.rng.integers(0, 4, (ROWS, 3)).astype(float)
        return last(p.QuantileTransformer(n_quantiles=30)).fit(x, d.two), x

    @case("prepare-standard-forest")
    def standard_forest(d):
        return make_pipeline(p.StandardScaler(), ensemble.RandomForestClassifier(
            n_estimators=4, max_depth=4, random_state=0)).fit(d.x, d.three), d.x

    def columns(name, encoder, dtype=object, model=None, imputer=None):
        def build(d):
            x = d.frame(dtype)
            if imputer is not None:
                x.loc[d.rng.random(ROWS) < 0.1, "size"] = None if dtype is object else NAN
            words = make_pipeline(imputer, encoder) if imputer is not None else encoder
            prepare = ColumnTransformer([
                ("words", words, ["colour", "size"]), ("numbers", make_pipeline(SimpleImputer(), p.StandardScaler()),
                                                       ["age", "income"]), ("floor", "passthrough", ["floor"])])
            last = linear_model.LogisticRegression(max_iter=500) if model is None else model
            return make_pipeline(prepare, last).fit(x, d.three), x
        CASES[name] = build
    columns("columns-one-hot", p.OneHotEncoder())
    columns("columns-one-hot-ignore", p.OneHotEncoder(handle_unknown="ignore"), "str")
    columns("columns-one-hot-drop", p.OneHotEncoder(drop="first", sparse_output=False), "category")
    columns("columns-one-hot-if-binary", p.OneHotEncoder(drop="if_binary", handle_unknown="ignore"))
    columns("columns-one-hot-infrequent", p.OneHotEncoder(min_frequency=12, handle_unknown="infrequent_if_exist"))
    columns("columns-one-hot-imputed", p.OneHotEncoder(handle_unknown="ignore"), "str",
            imputer=SimpleImputer(strategy="most_frequent"))
    columns("columns-one-hot-none", p.OneHotEncoder(handle_unknown="ignore"),
            imputer=SimpleImputer(strategy="constant", fill_value="none", missing_values=None))
    columns("columns-ordinal", p.OrdinalEncoder())
    columns("columns-ordinal-unknown", p.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-7), "str",
            ensemble.RandomForestClassifier(n_estimators=3, max_depth=4, random_state=0))
    columns("columns-target", p.TargetEncoder(random_state=0))
    columns("columns-forest", p.OneHotEncoder(handle_unknown="ignore"), "str",
            ensemble.GradientBoostingClassifier(n_estimators=3, max_depth=3, random_state=0))

    @case("columns-missing-category")
    def missing_category(d):
        x = d.frame("str")
        x.loc[d.rng.random(ROWS) < 0.1, "colour"] = NAN
        x = x[["colour", "size"]]
        return make_pipeline(p.OrdinalEncoder(encoded_missing_value=-1), ensemble.RandomForestClassifier(
            n_estimators=3, max_depth=4, random_state=0)).fit(x, d.two), x

    @case("columns-numbers-as-categories")
    def numbers(d):
        x = np.column_stack([d.rng.integers(0, 4, ROWS), d.rng.choice([0.5, -2.25, 10], ROWS), d.x[:, 0]])
        prepare = ColumnTransformer([("hot", p.OneHotEncoder(), [0, 1])], remainder=p.StandardScaler())
        return make_pipeline(prepare, linear_model.Ridge()).fit(x, d.value), x

    @case("columns-remainder-drop")
    def remainder(d):
        x = d.frame().drop(columns="age")
        prepare = ColumnTransformer([("hot", p.OneHotEncoder(), ["size"])], remainder="drop")
        return make_pipeline(prepare, tree.DecisionTreeClassifier(max_depth=3, random_state=0)).fit(
            x, d.two), x


def combined():
    lr, nb = linear_model.LogisticRegression(), naive_bayes.GaussianNB()
    forest = ensemble.RandomForestClassifier(n_estimators=3, max_depth=3, random_state=0)
    both = [("lr", lr), ("forest", forest), ("nb", nb)]
    for kind, target in (("binary", "two"), ("multiclass", "three")):
        add(f"voting-soft-{kind}", lambda: ensemble.VotingClassifier(both, voting="soft"), target)
        add(f"voting-weights-{kind}", lambda: ensemble.VotingClassifier(both, voting="soft", weights=[1, 2, 0.5]), target)
        add(f"voting-hard-{kind}", lambda: ensemble.VotingClassifier(both, weights=[1, 1.5, 1]), target)
        add(f"stacking-{kind}", lambda: ensemble.StackingClassifier(both, lr, cv=3), target)
        add(f"stacking-passthrough-{kind}", lambda: ensemble.StackingClassifier(
            [*both, ("svc", svm.SVC())], forest, cv=3, passthrough=True), target)
        add(f"stacking-predict-{kind}", lambda: ensemble.StackingClassifier(
            both, lr, cv=3, stack_method="predict"), target)
        add(f"calibrated-sigmoid-{kind}", lambda: CalibratedClassifierCV(forest, cv=2), target)
        add(f"calibrated-isotonic-{kind}", lambda: CalibratedClassifierCV(
            linear_model.RidgeClassifier(), method="isotonic", cv=2), target)
        add(f"calibrated-svc-{kind}", lambda: CalibratedClassifierCV(svm.SVC(), cv=2, ensemble=False), target)
        add(f"one-vs-rest-{kind}", lambda: OneVsRestClassifier(lr), target)
    values = [("ridge", linear_model.Ridge()), ("tree", tree.DecisionTreeRegressor(max_depth=3, random_state=0))]
    add("voting-regression", lambda: ensemble.VotingRegressor(values), "value")
    add("voting-regression-weights", lambda: ensemble.VotingRegressor(values, weights=[1, 3]), "value")
    add("stacking-regression", lambda: ensemble.StackingRegressor(values, linear_model.Ridge(), cv=3), "value")
    add("search", lambda: GridSearchCV(Pipeline([("s", preprocessing.StandardScaler()), ("m", lr)]),
                                       {"m__C": [0.1, 1]}, cv=2), "two")
    CASES["target-log"] = lambda d: (TransformedTargetRegressor(
        linear_model.LinearRegression(), func=np.log1p, inverse_func=np.expm1).fit(d.x, d.count), d.x)
    CASES["target-scaled"] = lambda d: (TransformedTargetRegressor(
        linear_model.Ridge(), transformer=preprocessing.StandardScaler()).fit(d.x, d.value), d.x)
    CASES["target-min-max"] = lambda d: (TransformedTargetRegressor(
        svm.SVR(), transformer=preprocessing.MinMaxScaler()).fit(d.x, d.value), d.x)
    CASES["multi-output"] = lambda d: (MultiOutputRegressor(ensemble.GradientBoostingRegressor(
        n_estimators=2, random_state=0)).fit(d.x, np.column_stack([d.value, d.score])), d.x)
    CASES["isotonic"] = lambda d: (IsotonicRegression(out_of_bounds="clip").fit(d.x[:, 0], d.value), d.x[:, :1])

    @case("text-labels")
    def text_labels(d):
        y = np.array(["bas", "haut", "très haut"])[d.three]
        return make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()).fit(d.x, y), d.x


def write(folder, only=None, seed=""):
    for part in (trees, linear, prepared, combined):
        part()
    failed = []
    for name, build in sorted(CASES.items()):
        if only and only not in name:
            continue
        try:
            model, x = build(Data(name + seed))
            export_sklearn.export(model, x, os.path.join(folder, f"{name}.json"))
        except Exception as error:  # every case that fails is told
            failed.append(f"{name}: {type(error).__name__}: {error}")
    assert not failed, "\n".join(failed)


def run(_data):
    warnings.simplefilter("ignore")
    export_sklearn.DATA_ROWS, export_sklearn.AWKWARD_ROWS = 12, 40
    with np.errstate(all="ignore"):
        write(fresh_dir("sklearn-export"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        write(*sys.argv[1:])
