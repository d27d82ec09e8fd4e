"""Writes a fitted scikit-learn pipeline as a file that `serve-ctl import` reads.

    python export_sklearn.py model.joblib X.csv model.sklearn.json [--classes down,up]

X.csv holds some rows that the pipeline was made for, with a header. The same as a function:

    from export_sklearn import export
    export(pipeline, X, "model.sklearn.json")

A `.joblib` or `.pkl` file is a pickle: **loading one runs whatever code its author put there**. This program loads it, so
run it where you trained, on files that are yours. The file that it writes holds numbers and names only.

The form (`"format": "serve-sklearn"`) is described in docs/importing/sklearn.md. The file carries rows with the answers
that scikit-learn gave them, among them awkward ones; the server proves the model with them before it serves it.

Needs scikit-learn 1.4 or later and numpy; pandas where the pipeline takes data frames. Estimators are known by their
class; anything else, subclasses of scikit-learn's own included, is refused with its place in the pipeline.
"""
import argparse
import json
import math
import sys
import warnings
from collections import namedtuple

import numpy as np

VERSION = 1
DATA_ROWS = 40  # rows of X that go into the file with their answers
AWKWARD_ROWS = 110  # at most so many made ones
BAD_DATA, NO_INPUT = 65, 66  # exit statuses, as serve-ctl has them

Tensor = namedtuple("Tensor", "node width sources")
"""A node of the file, how many numbers it makes, and per number the input that it is a plain copy of, or None."""


class Unsupported(ValueError):
    """Something in the pipeline that cannot be exported, with its place."""


def listed(array):
    """Nested lists of Python numbers, as JSON has them: null for NaN, "inf" and "-inf" for infinities."""
    if isinstance(array, (list, tuple, np.ndarray)):
        return [listed(item) for item in array]
    if array is None or isinstance(array, (bool, np.bool_, int, np.integer)):
        return array if array is None else int(array)
    number = float(array)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else ("inf" if number > 0 else "-inf")


def is_missing(value):
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)) or type(value).__name__ in (
        "NAType", "NaTType")


def name_of(estimator):
    """The class of a scikit-learn estimator; of anything else, with its module."""
    kind = type(estimator)
    own = kind.__module__.partition(".")[0] == "sklearn"
    return kind.__name__ if own else f"{kind.__module__}.{kind.__qualname__}"


# ---------------------------------------------------------------------------------------------------------------------
# The inputs: columns of numbers, and columns of texts, which become positions in a vocabulary.


class Inputs:
    """The columns of X, and rows of codes turned back into what the pipeline takes."""

    def __init__(self, X, names=None):
        self.frame = X if hasattr(X, "columns") and hasattr(X, "dtypes") else None
        self.texts = {}
        if self.frame is not None:
            self.names = [str(name) for name in X.columns]
            columns = [X.iloc[:, j] for j in range(X.shape[1])]
            self.raw = [np.asarray(column.astype(object)) for column in columns]
        else:
            X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
            if X.ndim != 2:
                raise Unsupported(f"X has {X.ndim} dimensions, expected rows and columns")
            self.names = [f"x{j}" for j in range(X.shape[1])]
            self.raw = [X[:, j].astype(object) for j in range(X.shape[1])]
        if names is not None:
            if len(names) != len(self.names):
                raise Unsupported(f"X has {len(self.names)} columns, got {len(names)} feature names")
            self.names = [str(name) for name in names]
        for j, column in enumerate(self.raw):
            kinds = {self.kind(value, j) for value in column if not is_missing(value)}
            if len(kinds) > 1:
                raise Unsupported(f"column {self.names[j]!r} holds numbers and texts")
            if kinds == {"text"}:
                self.texts[j] = {}

    def kind(self, value, j):
        if isinstance(value, (str, np.str_)):
            return "text"
        if isinstance(value, (bool, np.bool_, int, float, np.integer, np.floating)):
            return "number"
        raise Unsupported(f"column {self.names[j]!r} holds a {type(value).__name__}; supported: numbers and texts")

    def code(self, j, value):
        """What stands for a value of column j; a new text gets the next position of its vocabulary."""
        if is_missing(value):
            return math.nan
        if j not in self.texts:
            return float(value)
        if not isinstance(value, (str, np.str_)):
            raise Unsupported(f"column {self.names[j]!r} holds texts, an encoder knows the category {value!r}")
        return float(self.texts[j].setdefault(str(value), len(self.texts[j])))

    def coded(self, row):
        """A row of X as codes; a text that no encoder knows is -1."""
        known = lambda j, v: float(self.texts[j].get(str(v), -1)) if j in self.texts and not is_missing(v) else None
        return [known(j, column[row]) if known(j, column[row]) is not None else self.code(j, column[row])
                for j, column in enumerate(self.raw)]

    def is_plain(self, j):
        """Whether the frame has column j as NumPy's numbers."""
        dtype = self.frame.dtypes.iloc[j]
        return isinstance(dtype, np.dtype) and dtype.kind in "iuf"

    def value(self, j, code, missing):
        if math.isnan(code):
            return missing
        if j not in self.texts:
            return code
        words = list(self.texts[j])
        return words[int(code)] if code >= 0 else "\x01 a text that nothing knows"

    def decoded(self, row, missing, flags=np.float64):
        """One row as the pipeline takes it. Numbers are float64, as they are when they come by JSON; columns of truth values
        and of pandas' own types have the type `flags`."""
        values = [self.value(j, code, missing.get(j, math.nan)) for j, code in enumerate(row)]
        if self.frame is None:
            if not self.texts:
                return np.array([values], dtype=np.float64)
            return np.array([values], dtype=object)
        import pandas as pd
        data = {}
        for j, value in enumerate(values):
            column = self.frame.columns[j]
            if j not in self.texts:
                data[column] = pd.Series([value], dtype=np.float64 if self.is_plain(j) else flags)
            elif isinstance(self.frame.dtypes.iloc[j], pd.CategoricalDtype):
                known = list(self.frame.dtypes.iloc[j].categories)
                known += [value] if isinstance(value, str) and value not in known else []
                data[column] = pd.Series(pd.Categorical([value], categories=known))
            else:
                data[column] = pd.Series([value], dtype=object)
        return pd.DataFrame(data, columns=self.frame.columns)


# ---------------------------------------------------------------------------------------------------------------------
# The graph: nodes in order, each of which uses earlier ones only.


class Graph:
    """Writes nodes. Every method returns the tensor that its node makes."""

    def __init__(self, inputs):
        self.inputs, self.nodes, self.place = inputs, [], []
        self.refused, self.splits, self.none_is_missing = [], [], set()

    def fail(self, what):
        place = " > ".join(self.place) or "the model"
        raise Unsupported(f"{place}: {what}")

    def add(self, op, width, sources=None, text=False, **body):
        for of in ([body["of"]] if isinstance(body.get("of"), Tensor) else body.get("of", [])):
            if not text and (texts := [s for s in of.sources if s in self.inputs.texts]):
                self.fail(f"it takes numbers, and gets the texts of {self.inputs.names[texts[0]]!r}; encode them first")
        if "of" in body:
            of = body["of"]
            body["of"] = of.node if isinstance(of, Tensor) else [t.node for t in of]
        self.nodes.append({"from": " > ".join(self.place), "op": {op: body}})
        return Tensor(len(self.nodes) - 1, width, sources or [None] * width)

    def columns(self, columns):
        return self.add("columns", len(columns), list(columns), columns=list(columns))

    def constant(self, values):
        values = np.asarray(values, dtype=np.float64).ravel()
        return self.add("constant", len(values), values=listed(values))

    def take(self, x, columns):
        columns = [int(c) for c in columns]
        if columns == list(range(x.width)):
            return x
        if not columns:
            self.fail("no column is left")
        return self.add("take", len(columns), [x.sources[c] for c in columns], text=True, of=x, columns=columns)

    def concat(self, parts):
        if len(parts) == 1:
            return parts[0]
        return self.add("concat", sum(p.width for p in parts), [s for p in parts for s in p.sources], text=True,
                        of=list(parts))

    def unary(self, function, x, text=False):
        return self.add("unary", x.width, text=text, of=x, function=function)

    def binary(self, function, a, b, text=False):
        a, b = (t if isinstance(t, Tensor) else self.constant(t) for t in (a, b))
        return self.add("binary", max(a.width, b.width), text=text, of=[a, b], function=function)

    def where(self, condition, a, b, sources=None):
        a, b = (t if isinstance(t, Tensor) else self.constant(t) for t in (a, b))
        return self.add("where", max(condition.width, a.width, b.width), sources, text=True, of=[condition, a, b])

    def reduce(self, function, x):
        return self.add("reduce", 1, of=x, function=function)

    def argmax(self, x):
        return self.add("argmax", 1, of=x)

    def one_hot(self, index, count):
        return self.binary("equal", index, np.arange(count))

    def link(self, function, x, **more):
        return self.add("link", 2 if function in ("logistic", "hinge", "complement") else x.width, of=x,
                        function=function, **more)

    def scale(self, x, kind, **parameters):
        parameters = {key: listed(value) for key, value in parameters.items() if value is not None}
        return self.add("scale", x.width, of=x, kind=kind, **parameters)

    def linear(self, x, weights, intercept):
        weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        intercept = np.broadcast_to(np.asarray(intercept, dtype=np.float64).ravel(), (len(weights),))
        return self.add("linear", len(weights), of=x, weights=listed(weights), intercept=listed(intercept))

    def trees(self, x, trees, outputs, aggregation="sum", base=None, input="f32"):
        for tree in trees:
            for feature, threshold in zip(tree["feature"], tree["threshold"]):
                if feature >= 0 and x.sources[feature] is not None and isinstance(threshold, float):
                    self.splits.append((x.sources[feature], threshold))
        return self.add("trees", outputs, of=x, outputs=outputs, aggregation=aggregation, base=listed(base or []),
                        input=input, trees=trees)

    def mean(self, parts, weights=None):
        """Weighted mean, added in order, then divided."""
        weights = None if weights is None else np.asarray(weights, dtype=np.float64)
        total = None
        for i, part in enumerate(parts):
            part = part if weights is None else self.binary("mul", part, [weights[i]])
            total = part if total is None else self.binary("add", total, part)
        return self.binary("div", total, [len(parts) if weights is None else weights.sum()])

    def normalised(self, x):
        """Divided by the sum; all equal where that is 0."""
        total = self.reduce("sum", x)
        zero = self.binary("equal", total, [0.0])
        divided = self.binary("div", x, self.where(zero, [1.0], total))
        return self.where(zero, np.full(x.width, 1 / x.width), divided)

    def interpolated(self, x, xs, ys):
        """Straight lines between the points, and the ends' values beyond them."""
        if len(xs) == 1:
            return self.binary("add", self.binary("mul", x, [0.0]), [ys[0]])
        x = self.binary("max", self.binary("min", x, [xs[-1]]), [xs[0]])
        inner = np.asarray(xs[1:-1], dtype=np.float64)
        after = self.reduce("sum", self.binary("greater", x, inner)) if len(inner) else self.binary("mul", x, [0.0])
        at = np.arange(len(xs) - 1)
        slopes = (np.asarray(ys[1:]) - ys[:-1]) / (np.asarray(xs[1:]) - xs[:-1])
        low, base, slope = (self.encode(after, [(at, [[v] for v in values], [math.nan])])
                            for values in (xs[:-1], ys[:-1], slopes))
        return self.binary("add", self.binary("mul", slope, self.binary("sub", x, low)), base)

    def encode(self, x, tables):
        """Per column of x: keys, a row of numbers for each, and the row for anything else."""
        columns = [{"keys": listed(k), "values": listed(v), "otherwise": listed(o)} for k, v, o in tables]
        return self.add("encode", sum(len(o) for _, _, o in tables), text=True, of=x, columns=columns)

    def refuse_others(self, x, column, keys):
        """Rows whose value is none of the keys get no answer."""
        one = self.take(x, [column])
        node = self.encode(one, [(keys, [[0.0]] * len(keys), [1.0])])
        self.refused.append((node.node, x.sources[column], keys))


# ---------------------------------------------------------------------------------------------------------------------
# Estimators. Each function writes one estimator's formula, as scikit-learn has it, operation by operation.

TRANSFORM, VALUE, PROBA, DECISION = {}, {}, {}, {}


def rule(table, *names):
    def register(function):
        table.update({name: function for name in names})
        return function
    return register


def run(g, table, estimator, x, what):
    name = name_of(estimator)
    g.place.append(name)
    if name not in table:
        known = ", ".join(sorted(table))
        g.fail(f"{name} is not supported here as {what}; supported: {known}")
    result = table[name](g, estimator, x)
    g.place.pop()
    return result


def transform(g, estimator, x):
    if estimator is None or isinstance(estimator, str):
        return x if estimator in (None, "passthrough") else g.fail(f"{estimator!r} is no transformer")
    if name_of(estimator) in PASSES_SUPPORT:
        return g.take(x, np.flatnonzero(estimator.get_support()))
    return run(g, TRANSFORM, estimator, x, "a transformer")


def value(g, estimator, x):
    return run(g, VALUE, estimator, x, "a regressor")


def proba(g, estimator, x):
    return run(g, PROBA, estimator, x, "a classifier with predict_proba")


def decision(g, estimator, x):
    return run(g, DECISION, estimator, x, "a classifier with decision_function")


def has_proba(estimator):
    """Whether it has predict_proba, as scikit-learn tells it."""
    return hasattr(estimator, "predict_proba")


def hard(g, estimator, x):
    """1 for the class that `predict` answers, 0 for the others."""
    estimator_name = name_of(estimator)
    if estimator_name in HARD:
        return run(g, HARD, estimator, x, "a classifier")
    if has_proba(estimator):
        p = proba(g, estimator, x)
        return g.one_hot(g.argmax(p), p.width)
    d = decision(g, estimator, x)
    return g.link("hinge", d) if d.width == 1 else g.one_hot(g.argmax(d), d.width)


HARD = {}
PASSES_SUPPORT = {"SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect",
                  "SelectFromModel", "VarianceThreshold", "RFE", "RFECV", "SequentialFeatureSelector"}


def sorted_classes(estimator):
    return len(estimator.classes_)


# --- composition


def pipeline_prefix(g, pipeline, x):
    for name, step in pipeline.steps[:-1]:
        g.place.append(name)
        x = transform(g, step, x)
        g.place.pop()
    return pipeline.steps[-1][1], x


def through_pipeline(function):
    def rule(g, pipeline, x):
        last, x = pipeline_prefix(g, pipeline, x)
        g.place.append(pipeline.steps[-1][0])
        result = function(g, last, x)
        g.place.pop()
        return result
    return rule


def through_search(function):
    return lambda g, search, x: function(g, search.best_estimator_, x)


for _table, _function in ((TRANSFORM, transform), (VALUE, value), (PROBA, proba), (DECISION, decision), (HARD, hard)):
    _table["Pipeline"] = through_pipeline(_function)
    for _search in ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"):
        _table[_search] = through_search(_function)


def weighed(g, part, name, weights):
    weight = (weights or {}).get(name)
    return part if weight is None else g.binary("mul", part, [weight])


@rule(TRANSFORM, "ColumnTransformer")
def column_transformer(g, est, x):
    parts = []
    for name, step, _ in est.transformers_:
        columns = [int(c) for c in est._transformer_to_input_indices[name]]
        if (isinstance(step, str) and step == "drop") or not columns:
            continue
        g.place.append(name)
        part = transform(g, step, g.take(x, columns))
        parts.append(weighed(g, part, name, est.transformer_weights))
        g.place.pop()
    return g.concat(parts) if parts else g.fail("no column is left")


@rule(TRANSFORM, "FeatureUnion")
def feature_union(g, est, x):
    parts = []
    for name, step in est.transformer_list:
        if isinstance(step, str) and step == "drop":
            continue
        g.place.append(name)
        parts.append(weighed(g, transform(g, step, x), name, est.transformer_weights))
        g.place.pop()
    return g.concat(parts)


# --- transformers


@rule(TRANSFORM, "StandardScaler")
def standard_scaler(g, est, x):
    return g.scale(x, "standard", center=est.mean_ if est.with_mean else None, scale=est.scale_ if est.with_std else None)


@rule(TRANSFORM, "RobustScaler")
def robust_scaler(g, est, x):
    return g.scale(x, "robust", center=est.center_ if est.with_centering else None,
                   scale=est.scale_ if est.with_scaling else None)


@rule(TRANSFORM, "MaxAbsScaler")
def max_abs_scaler(g, est, x):
    return g.scale(x, "max_abs", scale=est.scale_, clip=[-1.0, 1.0] if getattr(est, "clip", False) else None)


@rule(TRANSFORM, "MinMaxScaler")
def min_max_scaler(g, est, x):
    return g.scale(x, "min_max", scale=est.scale_, min=est.min_, clip=list(est.feature_range) if est.clip else None)


@rule(TRANSFORM, "Normalizer")
def normalizer(g, est, x):
    size = g.unary("abs", x)
    if est.norm == "l2":
        norm = g.unary("sqrt", g.reduce("sum", g.binary("mul", x, x)))
    else:
        norm = g.reduce("sum" if est.norm == "l1" else "max", size)
    return g.binary("div", x, g.where(g.binary("equal", norm, [0.0]), [1.0], norm))


def missing_mask(g, missing_values, x):
    """1 where a value is the imputer's missing one."""
    if is_missing(missing_values):
        for source in x.sources:
            if source in g.inputs.texts and missing_values is None:
                g.none_is_missing.add(source)
        return g.unary("is_nan", x, text=True)
    if isinstance(missing_values, str):
        g.fail(f"missing_values={missing_values!r} is not supported; supported: NaN, None and numbers")
    return g.binary("equal", x, [float(missing_values)])


@rule(TRANSFORM, "SimpleImputer")
def simple_imputer(g, est, x):
    mask = missing_mask(g, est.missing_values, x)
    fill = [g.inputs.code(source, v) if source in g.inputs.texts else (math.nan if is_missing(v) else float(v))
            for source, v in zip(x.sources, est.statistics_)]
    kept = [j for j, v in enumerate(fill) if est.keep_empty_features or not math.isnan(v)]
    sources = [s if s in g.inputs.texts else None for s in x.sources]
    filled = g.take(g.where(mask, fill, x, sources), kept)
    if not est.add_indicator or len(est.indicator_.features_) == 0:
        return filled
    return g.concat([filled, g.take(mask, est.indicator_.features_)])


@rule(TRANSFORM, "MissingIndicator")
def missing_indicator(g, est, x):
    return g.take(missing_mask(g, est.missing_values, x), est.features_)


def example(g, est, x, columns):
    """Columns of raw values in the form that the encoder was fitted on. Numbers beside flags can have come as objects."""
    objects = [source in g.inputs.texts or known.dtype == object for source, known in zip(x.sources, est.categories_)]
    if hasattr(est, "feature_names_in_"):
        import pandas as pd
        return pd.DataFrame({name: pd.Series(column, dtype=object if objects[j] else None)
                             for j, (name, column) in enumerate(zip(est.feature_names_in_, columns))})
    return np.array(columns, dtype=object if any(objects) else np.float64).T


@rule(TRANSFORM, "OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
def table_encoder(g, est, x):
    """These encoders answer each category with fixed numbers: ask for all of them, and for an unknown one."""
    def answer(columns):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = est.transform(example(g, est, x, columns))
        return np.asarray(out.toarray() if hasattr(out, "toarray") else out, dtype=np.float64)

    first = [categories[0] for categories in est.categories_]
    widths = block_widths(est)
    order = list(np.cumsum([0] + widths))
    tables = []
    for j, categories in enumerate(est.categories_):
        source = x.sources[j]
        text = source in g.inputs.texts
        if not text and any(isinstance(c, str) for c in categories):
            g.fail(f"column {j} holds the texts {list(categories)[:3]!r}, which do not come from an input as they are")
        code = lambda c: g.inputs.code(source, c) if text else (math.nan if is_missing(c) else float(c))
        if text and any(c is None for c in categories):
            g.none_is_missing.add(source)
        keys = [code(c) for c in categories]
        blocks = answer([list(categories) if i == j else [first[i]] * len(categories) for i in range(len(first))])
        other = "\x01 unknown" if text else max([k for k in keys if not math.isnan(k)], default=0.0) + 1.2345
        try:
            otherwise = answer([[other if i == j else first[i]] for i in range(len(first))])[0]
        except ValueError:
            otherwise = np.full(blocks.shape[1], math.nan)
            g.refuse_others(x, j, keys)
        block = slice(order[j], order[j + 1])
        tables.append((keys, blocks[:, block], otherwise[block]))
    return without_empty(g, x, tables)


def block_widths(est):
    if type(est).__name__ == "OneHotEncoder":
        return [int(w) for w in est._n_features_outs]
    if type(est).__name__ == "TargetEncoder" and est.target_type_ == "multiclass":
        return [len(est.classes_)] * len(est.categories_)
    return [1] * len(est.categories_)


def without_empty(g, x, tables):
    kept = [j for j, (_, _, otherwise) in enumerate(tables) if len(otherwise)]
    if not kept:
        g.fail("no column is left")
    return g.encode(g.take(x, kept), [tables[j] for j in kept])


@rule(TRANSFORM, "PolynomialFeatures")
def polynomial_features(g, est, x):
    by_degree = {}
    for powers in est.powers_:
        terms = [j for j, power in enumerate(powers) for _ in range(power)]
        by_degree.setdefault(len(terms), []).append(terms)
    parts = []
    for degree, combinations in sorted(by_degree.items()):
        if degree == 0:
            parts.append(g.constant([1.0]))
            continue
        product = g.take(x, [terms[-1] for terms in combinations])
        for place in range(degree - 2, -1, -1):
            product = g.binary("mul", product, g.take(x, [terms[place] for terms in combinations]))
        parts.append(product)
    return g.concat(parts)


@rule(TRANSFORM, "KBinsDiscretizer")
def k_bins(g, est, x):
    parts = []
    for j, edges in enumerate(est.bin_edges_):
        inner, column = edges[1:-1], g.take(x, [j])
        bin_of = (g.reduce("sum", g.binary("greater_or_equal", column, inner)) if len(inner)
                  else g.binary("mul", column, [0.0]))
        parts.append(bin_of if est.encode == "ordinal" else g.one_hot(bin_of, len(edges) - 1))
    return g.concat(parts)


@rule(TRANSFORM, "Binarizer")
def binarizer(g, est, x):
    return g.binary("greater", x, [float(est.threshold)])


@rule(TRANSFORM, "PowerTransformer")
def power_transformer(g, est, x):
    parts = [power_column(g, est.method, g.take(x, [j]), float(lam)) for j, lam in enumerate(est.lambdas_)]
    out = g.concat(parts)
    return transform(g, est._scaler, out) if est.standardize else out


def power_column(g, method, x, lam):
    near = lambda a, b: abs(a - b) < np.spacing(1.0)
    power = lambda log, p: g.binary("div", g.unary("expm1", g.binary("mul", log, [p])), [p])
    if method == "box-cox":
        log = g.unary("log", x)
        return log if lam == 0 else power(log, lam)
    above = g.unary("log1p", g.binary("max", x, [0.0]))
    below = g.unary("log1p", g.unary("neg", g.binary("min", x, [0.0])))
    above = above if near(lam, 0) else power(above, lam)
    below = g.unary("neg", below if near(lam, 2) else power(below, 2 - lam))
    return g.where(g.binary("greater_or_equal", x, [0.0]), above, below)


@rule(TRANSFORM, "QuantileTransformer")
def quantile_transformer(g, est, x):
    if est.output_distribution != "uniform":
        g.fail("output_distribution='normal' is not supported; supported: 'uniform'")
    parts, references = [], est.references_
    for j in range(x.width):
        column, points = g.take(x, [j]), est.quantiles_[:, j]
        up = steps(g, column, points, references)
        down = steps(g, g.unary("neg", column), -points[::-1], -references[::-1])
        middle = g.binary("mul", g.binary("sub", up, down), [0.5])
        middle = g.where(g.binary("equal", column, [points[-1]]), [1.0], middle)
        parts.append(g.where(g.binary("equal", column, [points[0]]), [0.0], middle))
    return g.concat(parts)


def steps(g, x, xs, ys):
    """np.interp where points may coincide: of equal ones the last counts."""
    kept = [i for i in range(len(xs)) if i + 1 == len(xs) or xs[i] != xs[i + 1]]
    first = ys[0]
    if len(kept) == 1:
        flat = g.binary("add", g.binary("mul", x, [0.0]), [ys[-1]])
        return g.where(g.binary("less", x, [xs[0]]), [first], flat)
    lows = np.asarray(xs)[kept[:-1]], np.asarray(ys)[kept[:-1]]
    after = g.reduce("sum", g.binary("greater_or_equal", x, np.asarray(xs)[kept[1:]]))
    at = np.arange(len(kept))
    slopes = [(ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k]) for k in kept[:-1]] + [0.0]
    xs_low, ys_low = list(lows[0]) + [xs[-1]], list(lows[1]) + [ys[-1]]
    low, base, slope = (g.encode(after, [(at, [[v] for v in values], [math.nan])])
                        for values in (xs_low, ys_low, slopes))
    line = g.binary("add", g.binary("mul", slope, g.binary("sub", x, low)), base)
    line = g.where(g.binary("greater_or_equal", x, [xs[-1]]), [ys[-1]], line)
    return g.where(g.binary("less", x, [xs[0]]), [first], line)


UNARY = {np.log1p: "log1p", np.expm1: "expm1", np.log: "log", np.exp: "exp", np.sqrt: "sqrt", np.absolute: "abs",
         np.fabs: "abs", np.negative: "neg", np.sign: "sign", np.floor: "floor", np.ceil: "ceil", np.rint: "round",
         np.sin: "sin", np.cos: "cos", np.tanh: "tanh", np.reciprocal: "reciprocal"}


def function(g, func, x):
    if func is None:
        return x
    try:
        known = UNARY.get(func)
    except TypeError:
        known = None
    if known:
        return g.unary(known, x)
    if func is np.square:
        return g.binary("mul", x, x)
    names = ", ".join(sorted(ufunc.__name__ for ufunc in [*UNARY, np.square]))
    return g.fail(f"the function {getattr(func, '__qualname__', func)!r} is not supported; supported: NumPy's {names}")


@rule(TRANSFORM, "FunctionTransformer")
def function_transformer(g, est, x):
    checks = getattr(est.func, "func", None)
    if getattr(checks, "__name__", "") == "check_array" and est.kw_args is None:
        return x  # HistGradientBoosting's own
    if est.kw_args:
        g.fail("kw_args are not supported")
    return function(g, est.func, x)


@rule(TRANSFORM, "PCA", "IncrementalPCA")
def pca(g, est, x):
    out = g.linear(x, est.components_, -(est.mean_.reshape(1, -1) @ est.components_.T).ravel())
    if not est.whiten:
        return out
    scale = np.sqrt(est.explained_variance_)
    return g.binary("div", out, np.where(scale < np.finfo(scale.dtype).eps, np.finfo(scale.dtype).eps, scale))


@rule(TRANSFORM, "TruncatedSVD")
def truncated_svd(g, est, x):
    return g.linear(x, est.components_, np.zeros(len(est.components_)))


@rule(TRANSFORM, "LinearDiscriminantAnalysis")
def lda_transform(g, est, x):
    weights = est.scalings_[:, :est._max_components].T
    x = g.binary("sub", x, est.xbar_) if est.solver == "svd" else x
    return g.linear(x, weights, np.zeros(len(weights)))


# --- linear models


@rule(VALUE, "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "Lars",
      "LarsCV", "ElasticNet", "ElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "MultiTaskElasticNet",
      "MultiTaskElasticNetCV", "BayesianRidge", "ARDRegression", "HuberRegressor", "TheilSenRegressor",
      "QuantileRegressor", "SGDRegressor", "LinearSVR", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV",
      "PassiveAggressiveRegressor")
def linear_value(g, est, x):
    return g.linear(x, est.coef_, est.intercept_)


@rule(VALUE, "PoissonRegressor", "GammaRegressor", "TweedieRegressor")
def glm(g, est, x):
    out = g.linear(x, est.coef_, est.intercept_)
    link = type(est._base_loss.link).__name__
    if link == "IdentityLink":
        return out
    return g.link("exp", out) if link == "LogLink" else g.fail(f"its link {link} is not supported")


@rule(DECISION, "LogisticRegression", "LogisticRegressionCV", "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier",
      "LinearSVC", "Perceptron", "PassiveAggressiveClassifier", "LinearDiscriminantAnalysis")
def linear_decision(g, est, x):
    return g.linear(x, est.coef_, est.intercept_)


def one_vs_rest(g, decision):
    return g.link("logistic", decision) if decision.width == 1 else g.normalised(g.unary("sigmoid", decision))


@rule(PROBA, "LogisticRegression", "LogisticRegressionCV")
def logistic_regression(g, est, x):
    d = linear_decision(g, est, x)
    if d.width == 1:
        if getattr(est, "multi_class", None) == "multinomial":
            g.fail("multi_class='multinomial' with two classes is not supported")
        return g.link("logistic", d)
    ovr = est.solver == "liblinear" or getattr(est, "multi_class", None) == "ovr"
    return one_vs_rest(g, d) if ovr else g.link("softmax", d)


@rule(PROBA, "SGDClassifier")
def sgd_classifier(g, est, x):
    d = linear_decision(g, est, x)
    if est.loss == "log_loss":
        return one_vs_rest(g, d)
    clipped = g.binary("max", g.binary("min", d, [1.0]), [-1.0])
    p = g.binary("div", g.binary("add", clipped, [1.0]), [2.0])
    return g.link("complement", p) if d.width == 1 else g.normalised(p)


@rule(PROBA, "LinearDiscriminantAnalysis")
def lda(g, est, x):
    d = linear_decision(g, est, x)
    return g.link("logistic", d) if d.width == 1 else g.link("softmax", d)


# --- naive Bayes


@rule(PROBA, "GaussianNB")
def gaussian_nb(g, est, x):
    parts = []
    for k in range(len(est.classes_)):
        away = g.binary("sub", x, est.theta_[k])
        away = g.reduce("sum", g.binary("div", g.binary("mul", away, away), est.var_[k]))
        start = -0.5 * np.sum(np.log(2.0 * np.pi * est.var_[k]))
        likelihood = g.binary("sub", [start], g.binary("mul", away, [0.5]))
        parts.append(g.binary("add", likelihood, [np.log(est.class_prior_[k])]))
    return g.link("softmax", g.concat(parts))


@rule(PROBA, "MultinomialNB", "ComplementNB")
def multinomial_nb(g, est, x):
    prior = est.class_log_prior_ if type(est).__name__ == "MultinomialNB" or len(est.classes_) == 1 else 0.0
    return g.link("softmax", g.linear(x, est.feature_log_prob_, prior))


@rule(PROBA, "BernoulliNB")
def bernoulli_nb(g, est, x):
    x = x if est.binarize is None else g.binary("greater", x, [float(est.binarize)])
    absent = np.log(1 - np.exp(est.feature_log_prob_))
    return g.link("softmax", g.linear(x, est.feature_log_prob_ - absent, est.class_log_prior_ + absent.sum(axis=1)))


# --- trees


def tree_arrays(est, leaf, columns=None):
    """One tree. `leaf` turns the values of a node into what the leaf adds."""
    t = est.tree_
    split = t.children_left >= 0
    weight, impurity = t.weighted_n_node_samples, t.impurity
    left, right = t.children_left, t.children_right
    gain = np.where(split, weight * impurity - weight[left] * impurity[left] - weight[right] * impurity[right], 0.0)
    feature = t.feature if columns is None else np.asarray(columns)[np.where(split, t.feature, 0)]
    missing = getattr(t, "missing_go_to_left", np.zeros(t.node_count))
    return {"left": listed(np.where(split, left, -1)), "right": listed(np.where(split, right, -1)),
            "feature": listed(np.where(split, feature, -1)),
            "threshold": [listed(v) if s else 0 for s, v in zip(split, t.threshold)],
            "missing_left": listed(np.where(split, missing, 0)),
            "leaves": [leaf(node, t.value[node]) for node in np.flatnonzero(~split)],
            "cover": listed(weight), "gain": listed(np.maximum(gain, 0.0))}


def shares(count):
    """A leaf's class shares. Those of one that was fitted before scikit-learn 1.3 are counts."""
    def leaf(_, values):
        row = values[0, :count]
        total = row.sum()
        return listed(row if abs(total - 1.0) < 1e-6 or total == 0 else row / total)
    return leaf


def outputs_of(_, values):
    return listed(values[:, 0])


def single_output(g, est):
    if getattr(est, "n_outputs_", 1) != 1:
        g.fail("classifiers with several outputs are not supported")


@rule(PROBA, "DecisionTreeClassifier", "ExtraTreeClassifier")
def tree_classifier(g, est, x):
    single_output(g, est)
    return g.trees(x, [tree_arrays(est, shares(len(est.classes_)))], len(est.classes_))


@rule(VALUE, "DecisionTreeRegressor", "ExtraTreeRegressor")
def tree_regressor(g, est, x):
    return g.trees(x, [tree_arrays(est, outputs_of)], est.n_outputs_)


@rule(PROBA, "RandomForestClassifier", "ExtraTreesClassifier")
def forest_classifier(g, est, x):
    single_output(g, est)
    trees = [tree_arrays(tree, shares(len(est.classes_))) for tree in est.estimators_]
    return g.trees(x, trees, len(est.classes_), "average")


@rule(VALUE, "RandomForestRegressor", "ExtraTreesRegressor")
def forest_regressor(g, est, x):
    return g.trees(x, [tree_arrays(tree, outputs_of) for tree in est.estimators_], est.n_outputs_, "average")


def stage_trees(est):
    """Gradient boosting's trees, one a class and stage, with the learning rate multiplied in as the predictor does."""
    trees = []
    for stage in est.estimators_:
        for k, tree in enumerate(stage):
            arrays = tree_arrays(tree, lambda _, values: float(est.learning_rate * values[0, 0]))
            trees.append({**arrays, "output": k})
    return trees


IN_DOUBLE = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor",
             "RandomForestClassifier", "RandomForestRegressor")


def boosted(g, est, x):
    """The raw scores of gradient boosting."""
    trees, outputs = stage_trees(est), est.estimators_.shape[1]
    init = est.init_
    if isinstance(init, str) or type(init).__name__ in ("DummyClassifier", "DummyRegressor"):
        base = est._raw_predict_init(np.zeros((1, est.n_features_in_), dtype=np.float32))[0]
        return g.trees(x, trees, outputs, base=[float(v) for v in base])
    g.place.append("init")
    if name_of(init) not in IN_DOUBLE:
        g.fail(f"{name_of(init)} computes in float32 there, which is not supported; supported: " + ", ".join(IN_DOUBLE))
    x32 = g.unary("single", x)  # what the start sees is rounded, as what the trees see
    start = value(g, init, x32) if type(est).__name__ == "GradientBoostingRegressor" else linked(g, est, proba(g, init, x32))
    g.place.pop()
    # Trees are added to the start one after the other; as one sum behind it the last bit may differ.
    return g.binary("add", start, g.trees(x, trees, outputs))


def linked(g, est, p):
    """The raw scores that the loss gives to probabilities."""
    eps = np.finfo(np.float64).eps
    if p.width == 2:
        p = g.take(p, [1])
    p = g.binary("min", g.binary("max", p, [eps]), [1 - eps])
    if p.width > 1:
        log = g.unary("log", p)
        return g.binary("sub", log, g.binary("div", g.reduce("sum", log), [p.width]))
    logit = g.unary("log", g.binary("div", p, g.binary("sub", [1.0], p)))
    return logit if est.loss == "log_loss" else g.binary("mul", logit, [0.5])


DECISION["GradientBoostingClassifier"] = boosted
VALUE["GradientBoostingRegressor"] = boosted


@rule(PROBA, "GradientBoostingClassifier")
def boosting_classifier(g, est, x):
    raw = boosted(g, est, x)
    if raw.width > 1:
        return g.link("softmax", raw)
    return g.link("logistic", raw, **({"scale": 2.0} if est.loss == "exponential" else {}))


def bit_set(words, known=None):
    """Eight 32-bit words as the list of categories, or those known that are not in them."""
    members = [32 * i + bit for i, word in enumerate(words) for bit in range(32) if int(word) >> bit & 1]
    return members if known is None else sorted(set(known) - set(members))


def histogram_tree(predictor, output, known):
    """A tree of HistGradientBoosting. A category that training did not see goes where missing ones go."""
    nodes, leaf = predictor.nodes, predictor.nodes["is_leaf"].astype(bool)
    left, right = nodes["left"].astype(int), nodes["right"].astype(int)
    threshold, missing = [], nodes["missing_go_to_left"].astype(int).tolist()
    for i, node in enumerate(nodes):
        if leaf[i]:
            threshold.append(0)
        elif not node["is_categorical"]:
            threshold.append(listed(node["num_threshold"]))
        elif not missing[i]:
            threshold.append({"in": bit_set(predictor.raw_left_cat_bitsets[node["bitset_idx"]])})
        else:  # left is everything but what is known to go right
            words = predictor.raw_left_cat_bitsets[node["bitset_idx"]]
            threshold.append({"in": bit_set(words, known[int(node["feature_idx"])])})
            left[i], right[i], missing[i] = right[i], left[i], 0
    at = lambda array: listed(np.where(leaf, -1, array))
    return {"left": at(left), "right": at(right), "feature": at(nodes["feature_idx"].astype(int)), "threshold": threshold,
            "missing_left": [0 if is_leaf else m for is_leaf, m in zip(leaf, missing)], "output": output,
            "leaves": listed(nodes["value"][leaf].astype(np.float64)), "cover": listed(nodes["count"].astype(np.float64)),
            "gain": listed(np.maximum(np.where(leaf, 0.0, nodes["gain"].astype(np.float64)), 0.0))}


def histogram_boosted(g, est, x):
    known = {}
    if getattr(est, "_preprocessor", None) is not None:
        x = transform(g, est._preprocessor, x)
    if est.is_categorical_ is not None:
        remapped = np.flatnonzero(est._is_categorical_remapped)
        mapper = est._bin_mapper
        known = {int(f): [int(c) for c in mapper.bin_thresholds_[f]] for f in remapped}
    trees = [histogram_tree(p, k, known) for stage in est._predictors for k, p in enumerate(stage)]
    base = [float(v) for v in np.ravel(est._baseline_prediction)]
    return g.trees(x, trees, est.n_trees_per_iteration_, base=base, input="f64")


DECISION["HistGradientBoostingClassifier"] = histogram_boosted


@rule(HARD, "HistGradientBoostingClassifier")
def histogram_hard(g, est, x):
    raw = histogram_boosted(g, est, x)
    return g.link("hinge", raw) if raw.width == 1 else g.one_hot(g.argmax(raw), raw.width)


@rule(PROBA, "HistGradientBoostingClassifier")
def histogram_classifier(g, est, x):
    raw = histogram_boosted(g, est, x)
    return g.link("softmax" if raw.width > 1 else "logistic", raw)


@rule(VALUE, "HistGradientBoostingRegressor")
def histogram_regressor(g, est, x):
    raw = histogram_boosted(g, est, x)
    link = type(est._loss.link).__name__
    if link == "IdentityLink":
        return raw
    return g.link("exp", raw) if link == "LogLink" else g.fail(f"its link {link} is not supported")


# --- ensembles


PLAIN_TREES = {"DecisionTreeClassifier", "ExtraTreeClassifier", "DecisionTreeRegressor", "ExtraTreeRegressor"}


def subset(g, x, features):
    return x if features is None else g.take(x, features)


@rule(PROBA, "BaggingClassifier")
def bagging_classifier(g, est, x):
    count = len(est.classes_)
    whole = all(len(m.classes_) == count for m in est.estimators_)
    members = list(zip(est.estimators_, est.estimators_features_))
    if whole and all(name_of(m) in PLAIN_TREES for m, _ in members):
        return g.trees(x, [tree_arrays(m, shares(count), f) for m, f in members], count, "average")
    parts = []
    for i, (member, features) in enumerate(members):
        g.place.append(f"estimators_[{i}]")
        xs = subset(g, x, features)
        part = proba(g, member, xs) if has_proba(member) else hard(g, member, xs)
        if part.width != count:
            spread = np.zeros((count, part.width))
            spread[np.asarray(member.classes_, dtype=int), np.arange(part.width)] = 1.0
            part = g.linear(part, spread, np.zeros(count))
        parts.append(part)
        g.place.pop()
    return g.mean(parts)


@rule(VALUE, "BaggingRegressor")
def bagging_regressor(g, est, x):
    members = list(zip(est.estimators_, est.estimators_features_))
    if all(name_of(m) in PLAIN_TREES for m, _ in members):
        trees = [tree_arrays(m, outputs_of, f) for m, f in members]
        return g.trees(x, trees, est.estimators_[0].n_outputs_, "average")
    return g.mean([value(g, m, subset(g, x, f)) for m, f in members])


@rule(DECISION, "AdaBoostClassifier")
def ada_boost_decision(g, est, x):
    """SAMME: each member adds its weight to its class and takes a share of it from the others."""
    count, total = len(est.classes_), est.estimator_weights_.sum()
    members = list(zip(est.estimators_, est.estimator_weights_))
    if all(name_of(m) in PLAIN_TREES and len(m.classes_) == count for m, _ in members):
        def vote(weight):
            def leaf(_, values):
                row = np.full(count, -1 / (count - 1) * weight)
                row[np.argmax(values[0, :count])] = weight
                return listed(row)
            return leaf
        summed = g.trees(x, [tree_arrays(m, vote(w)) for m, w in members], count)
    else:
        summed = None
        for member, weight in members:
            if len(member.classes_) != count:
                g.fail("a member that saw a part of the classes is not supported")
            part = g.where(hard(g, member, x), np.full(count, weight), np.full(count, -1 / (count - 1) * weight))
            summed = part if summed is None else g.binary("add", summed, part)
    summed = g.binary("div", summed, [total])
    return summed if count > 2 else g.reduce("sum", g.binary("mul", summed, [-1.0, 1.0]))


@rule(PROBA, "AdaBoostClassifier")
def ada_boost_classifier(g, est, x):
    if getattr(est, "algorithm", "SAMME") == "SAMME.R":
        g.fail("algorithm='SAMME.R' is not supported; supported: 'SAMME'")
    d = ada_boost_decision(g, est, x)
    if d.width > 1:
        return g.link("softmax", g.binary("div", d, [d.width - 1]))
    both = g.concat([g.unary("neg", d), d])
    return g.link("softmax", g.binary("div", both, [2.0]))


@rule(VALUE, "AdaBoostRegressor")
def ada_boost_regressor(g, est, x):
    parts = g.concat([value(g, member, x) for member in est.estimators_])
    return g.add("weighted_median", 1, of=parts, weights=listed(est.estimator_weights_[:parts.width]))


def members_of(g, est, function, x):
    names = [name for name, member in est.estimators if not (isinstance(member, str) and member == "drop")]
    parts = []
    for name, member in zip(names, est.estimators_):
        g.place.append(name)
        parts.append(function(g, member, x))
        g.place.pop()
    return parts


@rule(PROBA, "VotingClassifier")
def voting_classifier(g, est, x):
    return g.mean(members_of(g, est, proba, x), est._weights_not_none)


@rule(HARD, "VotingClassifier")
def hard_voting(g, est, x):
    if est.voting == "soft":
        p = voting_classifier(g, est, x)
        return g.one_hot(g.argmax(p), p.width)
    votes = g.mean(members_of(g, est, hard, x), est._weights_not_none)
    return g.one_hot(g.argmax(votes), votes.width)


@rule(VALUE, "VotingRegressor")
def voting_regressor(g, est, x):
    return g.mean(members_of(g, est, value, x), est._weights_not_none)


def stacked(g, est, x):
    """What the final estimator of a stack sees."""
    parts = []
    names = [name for name, member in est.estimators if not (isinstance(member, str) and member == "drop")]
    for name, member, method in zip(names, est.estimators_, est.stack_method_):
        g.place.append(name)
        if method == "predict_proba":
            part = proba(g, member, x)
            parts.append(g.take(part, [1]) if part.width == 2 else part)
        elif method == "decision_function":
            parts.append(decision(g, member, x))
        elif hasattr(member, "classes_"):
            parts.append(g.argmax(hard(g, member, x)))
        else:
            parts.append(value(g, member, x))
        g.place.pop()
    return g.concat(parts + ([x] if est.passthrough else []))


def through_stack(function):
    def rule(g, est, x):
        below = stacked(g, est, x)
        g.place.append("final_estimator_")
        result = function(g, est.final_estimator_, below)
        g.place.pop()
        return result
    return rule


for _table, _function in ((PROBA, proba), (DECISION, decision), (HARD, hard)):
    _table["StackingClassifier"] = through_stack(_function)
VALUE["StackingRegressor"] = through_stack(value)


@rule(VALUE, "TransformedTargetRegressor")
def transformed_target(g, est, x):
    g.place.append("regressor_")
    out = value(g, est.regressor_, x)
    g.place[-1] = "transformer_"
    out = inverse(g, est.transformer_, out)
    g.place.pop()
    return out


def inverse(g, est, x):
    name = name_of(est)
    if name == "FunctionTransformer":
        return function(g, est.inverse_func, x)
    if name == "MinMaxScaler":
        return g.binary("div", g.binary("sub", x, est.min_), est.scale_)
    steps = {"StandardScaler": ("scale_", "mean_", "with_std", "with_mean"),
             "RobustScaler": ("scale_", "center_", "with_scaling", "with_centering"),
             "MaxAbsScaler": ("scale_", None, None, None)}
    if name not in steps:
        g.fail(f"the inverse of {name} is not supported; supported: FunctionTransformer, MinMaxScaler, "
               + ", ".join(sorted(steps)))
    scale, centre, with_scale, with_centre = steps[name]
    if with_scale is None or getattr(est, with_scale):
        x = g.binary("mul", x, getattr(est, scale))
    return g.binary("add", x, getattr(est, centre)) if centre and getattr(est, with_centre) else x


@rule(PROBA, "OneVsRestClassifier")
def one_vs_rest_classifier(g, est, x):
    if est.multilabel_:
        g.fail("several labels a row are not supported")
    parts = [g.take(proba(g, member, x), [1]) for member in est.estimators_]
    if len(parts) == 1:
        return g.link("complement", parts[0])
    return g.link("normalize", g.concat(parts))


@rule(VALUE, "MultiOutputRegressor")
def multi_output_regressor(g, est, x):
    return g.concat([value(g, member, x) for member in est.estimators_])


# --- calibration


@rule(PROBA, "CalibratedClassifierCV")
def calibrated(g, est, x):
    parts = []
    for i, member in enumerate(est.calibrated_classifiers_):
        g.place.append(f"calibrated_classifiers_[{i}]")
        parts.append(calibrated_member(g, member, x))
        g.place.pop()
    return g.mean(parts)


def calibrated_member(g, member, x):
    base = member.estimator
    if type(base).__name__ == "FrozenEstimator":
        base = base.estimator
    count = len(member.classes)
    scores = decision(g, base, x) if hasattr(base, "decision_function") else proba(g, base, x)
    if len(base.classes_) != count:
        g.fail("a member that saw a part of the classes is not supported")
    if member.method not in ("sigmoid", "isotonic"):
        g.fail(f"method={member.method!r} is not supported; supported: 'sigmoid', 'isotonic'")
    scores = g.take(scores, [1]) if count == 2 and scores.width == 2 else scores
    parts = [calibrator(g, c, g.take(scores, [k])) for k, c in enumerate(member.calibrators)]
    out = g.link("complement", parts[0]) if count == 2 else g.normalised(g.concat(parts))
    over = g.binary("mul", g.binary("greater", out, [1.0]), g.binary("less_or_equal", out, [1.0 + 1e-5]))
    return g.where(over, [1.0], out)


def calibrator(g, est, x):
    if type(est).__name__ == "_SigmoidCalibration":
        return g.unary("sigmoid", g.unary("neg", g.binary("add", g.binary("mul", x, [est.a_]), [est.b_])))
    return isotonic(g, est, x)


@rule(VALUE, "IsotonicRegression")
def isotonic(g, est, x):
    if est.out_of_bounds != "clip":
        g.fail(f"out_of_bounds={est.out_of_bounds!r} is not supported; supported: 'clip'")
    xs, ys = np.asarray(est.X_thresholds_, dtype=np.float64), np.asarray(est.y_thresholds_, dtype=np.float64)
    return g.interpolated(x, xs, ys)


# --- support vector machines and neural networks


def kernel(g, est, x):
    if callable(est.kernel) or est.kernel == "precomputed":
        g.fail(f"kernel={est.kernel!r} is not supported; supported: 'linear', 'poly', 'rbf', 'sigmoid'")
    vectors = np.asarray(est.support_vectors_.toarray() if est._sparse else est.support_vectors_, dtype=np.float64)
    if len(vectors) == 0:
        g.fail("it has no support vectors")
    return g.add("kernel", len(vectors), of=x, kind=est.kernel, gamma=float(est._gamma), coef0=float(est.coef0),
                 degree=float(est.degree), vectors=listed(vectors))


def pairwise(g, est, x):
    """libsvm's decision values, one for each pair of classes; above 0 speaks for the first of them."""
    dual = est._dual_coef_.toarray() if est._sparse else np.asarray(est._dual_coef_)
    ends = np.cumsum([0, *est._n_support])
    rows = []
    for i in range(len(est.classes_)):
        for j in range(i + 1, len(est.classes_)):
            row = np.zeros(dual.shape[1])
            row[ends[i]:ends[i + 1]] = dual[j - 1, ends[i]:ends[i + 1]]
            row[ends[j]:ends[j + 1]] = dual[i, ends[j]:ends[j + 1]]
            rows.append(row)
    return g.linear(kernel(g, est, x), np.array(rows), est._intercept_)


def pair_sums(count):
    """Per class, +1 in the pairs where it is first and -1 where it is second."""
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    sums = np.zeros((count, len(pairs)))
    for p, (i, j) in enumerate(pairs):
        sums[i, p], sums[j, p] = 1.0, -1.0
    return sums


def votes(g, speaks_first, count):
    sums = pair_sums(count)
    return g.linear(speaks_first, sums, (sums < 0).sum(axis=1))


@rule(DECISION, "SVC", "NuSVC")
def svc_decision(g, est, x):
    count, d = len(est.classes_), pairwise(g, est, x)
    if count == 2:
        return g.unary("neg", d)
    if est.decision_function_shape != "ovr":
        g.fail("decision_function_shape='ovo' is not supported here")
    speaks_first = g.binary("greater_or_equal", d, [0.0])
    confidence = g.linear(d, pair_sums(count), np.zeros(count))
    squeezed = g.binary("mul", g.binary("add", g.unary("abs", confidence), [1.0]), [3.0])
    return g.binary("add", votes(g, speaks_first, count), g.binary("div", confidence, squeezed))


@rule(HARD, "SVC", "NuSVC")
def svc_hard(g, est, x):
    count = len(est.classes_)
    if est.break_ties and count > 2:
        return g.one_hot(g.argmax(svc_decision(g, est, x)), count)
    speaks_first = g.binary("greater", pairwise(g, est, x), [0.0])
    return g.one_hot(g.argmax(votes(g, speaks_first, count)), count)


@rule(PROBA, "SVC", "NuSVC")
def svc_proba(g, est, x):
    d = pairwise(g, est, x)
    p = g.unary("sigmoid", g.unary("neg", g.binary("add", g.binary("mul", d, est._probA), est._probB)))
    p = g.binary("min", g.binary("max", p, [1e-7]), [1 - 1e-7])
    return g.add("coupling", len(est.classes_), of=p, classes=len(est.classes_))


@rule(VALUE, "SVR", "NuSVR")
def svr(g, est, x):
    dual = est._dual_coef_.toarray() if est._sparse else np.asarray(est._dual_coef_)
    return g.linear(kernel(g, est, x), dual, est._intercept_)


ACTIVATION = {"identity": None, "relu": "relu", "tanh": "tanh", "logistic": "sigmoid", "exp": "exp"}


def layers(g, est, x):
    for i, (weights, intercept) in enumerate(zip(est.coefs_, est.intercepts_)):
        x = g.linear(x, weights.T, intercept)
        if i + 1 < len(est.coefs_) and ACTIVATION[est.activation]:
            x = g.unary(ACTIVATION[est.activation], x)
    return x


@rule(PROBA, "MLPClassifier")
def mlp_classifier(g, est, x):
    if est.out_activation_ not in ("logistic", "softmax") or est._label_binarizer.y_type_.startswith("multilabel"):
        g.fail("several labels a row are not supported")
    out = layers(g, est, x)
    return g.link(est.out_activation_, out)


@rule(VALUE, "MLPRegressor")
def mlp_regressor(g, est, x):
    out, last = layers(g, est, x), ACTIVATION[est.out_activation_]
    return g.unary(last, out) if last else out


@rule(VALUE, "IsolationForest")
def isolation_forest(g, est, x):
    """The value of `decision_function`: below 0 is an outlier."""
    def depth(i):
        path, average = est._decision_path_lengths[i], est._average_path_length_per_tree[i]
        return lambda node, _: float(path[node] + average[node] - 1.0)
    trees = [tree_arrays(tree, depth(i), features)
             for i, (tree, features) in enumerate(zip(est.estimators_, est.estimators_features_))]
    from sklearn.ensemble._iforest import _average_path_length
    whole = float(len(est.estimators_) * _average_path_length([est._max_samples])[0])
    share = g.unary("neg", g.binary("div", g.trees(x, trees, 1), [whole]))
    power = g.binary("mul", g.binary("pow", [2.0], share), [-1.0])
    return g.binary("sub", power, [float(est.offset_)])


@rule(PROBA, "DummyClassifier")
def dummy_classifier(g, est, x):
    if est.strategy not in ("prior", "most_frequent", "constant"):
        g.fail(f"strategy={est.strategy!r} is random; supported: 'prior', 'most_frequent', 'constant'")
    zero = g.binary("mul", g.unary("is_nan", g.take(x, [0]), text=True), [0.0])
    return g.binary("add", zero, est.predict_proba(np.zeros((1, x.width)))[0])


@rule(VALUE, "DummyRegressor")
def dummy_regressor(g, est, x):
    zero = g.binary("mul", g.unary("is_nan", g.take(x, [0]), text=True), [0.0])
    return g.binary("add", zero, np.ravel(est.predict(np.zeros((1, x.width)))))


# ---------------------------------------------------------------------------------------------------------------------
# The whole: which answer, which rows prove it, which inputs may be missing.


def which_answer(model):
    """What is exported: probabilities, the class that `predict` says, or a value."""
    if hasattr(model, "classes_") or type(model).__name__.endswith("Classifier"):
        return "predict_proba" if has_proba(model) else "predict"
    last = model
    while hasattr(last, "steps") or hasattr(last, "best_estimator_"):
        last = last.steps[-1][1] if hasattr(last, "steps") else last.best_estimator_
    return "decision_function" if type(last).__name__ == "IsolationForest" else "value"


class Reference:
    """scikit-learn's own answers, one row at a time, so that one bad row does not take the others with it."""

    def __init__(self, model, inputs, answer, missing):
        self.model, self.inputs, self.answer, self.missing = model, inputs, answer, missing

    def raw(self, row):
        try:
            return self.predicted(self.inputs.decoded(row, self.missing))
        except TypeError:  # an encoder that was fitted on objects, since there are flags beside its columns
            return self.predicted(self.inputs.decoded(row, self.missing, object))

    def predicted(self, x):
        if self.answer == "predict_proba":
            return self.model.predict_proba(x)[0]
        if self.answer == "predict":
            label = self.model.predict(x)[0]
            return [float(label == c) for c in self.model.classes_]
        if self.answer == "decision_function":
            return self.model.decision_function(x)
        return np.ravel(self.model.predict(x))

    def __call__(self, row):
        """The answer, or None where scikit-learn refuses the row or answers with what is no number."""
        try:
            answer = [float(v) for v in self.raw(row)]
        except (TypeError, ValueError) as error:
            self.error = error
            return None
        return answer if all(math.isfinite(v) for v in answer) else None


def awkward(graph, base, rng):
    """Rows that differ from one of X in one column: edges of its range, missing, and values beside thresholds."""
    inputs, rows = graph.inputs, []
    def put(j, code):
        row = list(base[int(rng.integers(len(base)))])
        row[j] = code
        rows.append(row)
    columns = range(len(inputs.names))
    for j in columns:
        put(j, math.nan)
        if j in inputs.texts:
            put(j, -1.0)
            for code in range(min(len(inputs.texts[j]), 12)):
                put(j, float(code))
            continue
        seen = [row[j] for row in base if not math.isnan(row[j])] or [0.0]
        low, high = min(seen), max(seen)
        for code in (0.0, -0.0, 5e-324, low - (high - low), high + (high - low), (low + high) / 2):
            put(j, code)
        if graph.splits:
            put(j, 3e38), put(j, -1e300)
    splits = [graph.splits[i] for i in rng.permutation(len(graph.splits))[:12]]
    near = []
    for j, threshold in splits:
        single = np.float32(threshold)
        middle = (float(single) + float(np.nextafter(single, np.float32(np.inf)))) / 2
        near += [(j, v) for v in (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf),
                                  float(np.nextafter(single, np.float32(np.inf))), middle)]
    rows = [rows[i] for i in sorted(rng.permutation(len(rows))[:AWKWARD_ROWS - len(near)])]
    for j, code in near:
        put(j, float(code))
    return rows


def golden_rows(graph, reference, sample):
    """Rows with their answers."""
    kept = [(row, answer) for row in sample if (answer := reference(row)) is not None]
    if not kept:
        raise Unsupported(f"the model answers none of the rows of X: {getattr(reference, 'error', 'no finite answer')}")
    rng = np.random.default_rng(0)
    made = awkward(graph, [row for row, _ in kept], rng)
    kept += [(row, answer) for row in made if (answer := reference(row)) is not None]
    return kept


def permits(reference, base, j, code):
    """Whether the model takes this value in column j."""
    for row in base[:3]:
        changed = list(row)
        changed[j] = code
        if reference(changed) is not None:
            return True
    return False


def features_of(graph, reference, base, used):
    features = []
    for j, name in enumerate(graph.inputs.names):
        feature = {"name": name, "required": not permits(reference, base, j, math.nan)}
        if j in graph.inputs.texts:
            words = list(graph.inputs.texts[j])
            feature["vocabulary"] = words
            if permits(reference, base, j, -1.0):
                feature["unknown"] = -1.0
        features.append(feature)
    return features


def refusals(graph, features):
    """Nodes that tell rows to refuse, but for those that the signature's vocabulary answers already."""
    nodes = []
    for node, source, keys in graph.refused:
        words = graph.inputs.texts.get(source)
        feature = features[source] if source is not None else {}
        covered = words is not None and set(range(len(words))) <= {int(k) for k in keys if not math.isnan(k)}
        missing = feature.get("required") or any(math.isnan(k) for k in keys)
        if not (covered and missing and "unknown" not in feature):
            nodes.append(node)
    return nodes


def without_unused_texts(graph, X, inputs):
    """Text columns of which no encoder knows a word do not take part; the file leaves them out."""
    return [j for j in range(len(inputs.names)) if j not in inputs.texts or inputs.texts[j]]


def labels(model, classes):
    own = [str(c) for c in model.classes_]
    if classes is not None and len(classes) != len(own):
        raise Unsupported(f"the model has the classes {own}, got {len(classes)} names")
    return [str(c) for c in classes] if classes is not None else own


def sample_of(inputs, count):
    rows = len(inputs.raw[0]) if inputs.raw else 0
    if rows == 0:
        raise Unsupported("X has no rows")
    picked = range(rows) if rows <= count else np.random.default_rng(1).permutation(rows)[:count]
    return [inputs.coded(int(row)) for row in picked]


def describe(model, X, feature_names=None, classes=None):
    """The content of the file."""
    import sklearn
    inputs = Inputs(X, feature_names)
    answer = which_answer(model)
    graph = Graph(inputs)
    start = graph.columns(range(len(inputs.names)))
    steps = {"predict_proba": proba, "predict": hard, "value": value, "decision_function": value}
    out = steps[answer](graph, model, start)
    missing = {j: None for j in graph.none_is_missing}
    reference = Reference(model, inputs, answer, missing)
    golden = golden_rows(graph, reference, sample_of(inputs, DATA_ROWS))
    features = features_of(graph, reference, [row for row, _ in golden], out)
    used = without_unused_texts(graph, X, inputs)
    renumber = {j: i for i, j in enumerate(used)}
    body = graph.nodes[0]["op"]["columns"]
    body["columns"] = [renumber.get(j, 0) for j in body["columns"]]
    classification = answer in ("predict_proba", "predict")
    task = {"classes": labels(model, classes)} if classification else {"outputs": out.width}
    return {
        "format": "serve-sklearn", "version": VERSION, "sklearn": sklearn.__version__, "model": name_of(model),
        "task": "classification" if classification else "regression", **task, "answer": answer,
        "features": [features[j] for j in used], "refuse": refusals(graph, features), "nodes": graph.nodes,
        "output": out.node,
        "golden": {"rows": listed([[row[j] for j in used] for row, _ in golden]),
                   "scores": listed([answer for _, answer in golden])},
    }


def export(pipeline, X, path, feature_names=None, classes=None):
    """Writes a fitted pipeline to `path`.

    X: some rows that the pipeline takes, a data frame or a matrix; they prove the export and tell which columns are
    texts. feature_names: the inputs' names, in order; by default the frame's columns, or x0, x1, … classes: other names
    for the classes, in the order of `classes_`. Raises `Unsupported` where something cannot be exported exactly.
    """
    import joblib
    from threadpoolctl import threadpool_limits
    one_thread = joblib.parallel_config(backend="sequential"), threadpool_limits(1)
    with warnings.catch_warnings(), np.errstate(all="ignore"), one_thread[0], one_thread[1]:
        warnings.simplefilter("ignore")
        content = describe(pipeline, X, feature_names, classes)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        write(content, file)


def write(content, file):
    """A line a node, so that two exports can be compared."""
    dump = lambda value: json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    nodes = ",\n  ".join(dump(node) for node in content["nodes"])
    lines = [f" {dump(key)}: " + (f"[\n  {nodes}\n ]" if key == "nodes" else dump(part)) for key, part in content.items()]
    file.write("{\n" + ",\n".join(lines) + "\n}\n")


def stop(code, told):
    print(told, file=sys.stderr)
    sys.exit(code)


def loaded(model_path, rows_path):
    """The pipeline, and the rows with the columns that it knows. The pickle is loaded last."""
    import joblib
    import pandas as pd
    try:
        open(model_path, "rb").close()
        rows = pd.read_csv(rows_path)
    except OSError as error:
        stop(NO_INPUT, f"{error.filename}: {error.strerror}")
    except ValueError as error:
        stop(BAD_DATA, f"{rows_path}: no CSV file: {error}")
    print(f"loading {model_path}, which runs the code in it", file=sys.stderr)
    model = joblib.load(model_path)
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return model, rows.to_numpy()
    if absent := [name for name in names if name not in rows.columns]:
        stop(BAD_DATA, f"{rows_path}: no column {absent[0]!r}, which the pipeline takes")
    return model, rows[list(names)]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0], epilog=(
        "MODEL is a pickle, and loading it runs the code that it holds: only give it files of your own."))
    parser.add_argument("model", help="fitted pipeline, saved by joblib or pickle")
    parser.add_argument("rows", help="CSV file with a header: some rows that the pipeline takes")
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--feature-names", help="names of the inputs, by commas")
    parser.add_argument("--classes", help="names of the classes, by commas, in the model's order")
    given = parser.parse_args(arguments)
    model, rows = loaded(given.model, given.rows)
    comma = lambda text: None if text is None else [part.strip() for part in text.split(",")]
    try:
        export(model, rows, given.out, comma(given.feature_names), comma(given.classes))
    except Unsupported as error:
        sys.exit(f"{given.model}: {error}")
    print(f"wrote {given.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
