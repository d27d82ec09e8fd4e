"""Cases that no exporter gives here: every comparison, aggregation and transform of tree ensembles, onnxruntime's rules
for two classes, the newer `TreeEnsemble`, doubles, and the forms that hummingbird gives trees (written by hand)."""
import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

F, D, I, S = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
ML = "ai.onnx.ml"


def model(nodes, inputs, outputs, constants=(), opsets=((ML, 3), ("", 17))):
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants]
    graph = helper.make_graph(list(nodes), "g", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(*o) for o in outputs], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets])
    made.ir_version = 9
    return made


def node(op, inputs, outputs, domain="", **attrs):
    return helper.make_node(op, inputs, outputs, domain=domain, **attrs)


def tree_attributes(rng, kind, trees=4, width=3, classes=1, modes=("BRANCH_LEQ",), tracks=None, ids=None,
                    negative=True, depth=2):
    """Random full trees; `ids`: the classes that each leaf has weights of."""
    a = {k: [] for k in ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values",
                         "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true")}
    w = {k: [] for k in ("ids", "nodeids", "treeids", "weights")}
    inner = 2 ** depth - 1
    for t in range(trees):
        for n in range(2 ** (depth + 1) - 1):
            leaf = n >= inner
            a["nodes_treeids"].append(t)
            a["nodes_nodeids"].append(n)
            a["nodes_featureids"].append(0 if leaf else int(rng.integers(width)))
            a["nodes_modes"].append("LEAF" if leaf else str(rng.choice(modes)))
            a["nodes_values"].append(0.0 if leaf else float(np.float32(rng.choice([-1, -0.5, 0, 0.5, 1, 0.1]))))
            a["nodes_truenodeids"].append(0 if leaf else 2 * n + 1)
            a["nodes_falsenodeids"].append(0 if leaf else 2 * n + 2)
            a["nodes_missing_value_tracks_true"].append(int(tracks is not None and not leaf and rng.random() < tracks))
            if leaf:
                for c in ids if ids is not None else [int(rng.integers(classes))]:
                    w["ids"].append(c)
                    w["nodeids"].append(n)
                    w["treeids"].append(t)
                    value = rng.normal() if negative else rng.uniform(0, 0.3)
                    w["weights"].append(float(np.float32(value)))
    a.update({f"{kind}_{k}": v for k, v in w.items()})
    if tracks is None:
        del a["nodes_missing_value_tracks_true"]
    return a


def rows_of(rng, width=3, count=18):
    grid = [-1.0, -0.5, 0.0, -0.0, 0.5, 1.0, float(np.float32(0.1)), 0.1, math.nan, math.inf, -math.inf, 2.0,
            float(np.nextafter(np.float32(0.5), np.float32(0))), float(np.nextafter(np.float32(0.5), np.float32(1))),
            1e-45, -1e-45]
    return [[float(rng.choice(grid)) for _ in range(width)] for _ in range(count)]


def regressor(case, seeded, name, elem=F, out=None, extra=None, **more):
    rng = seeded(name)
    attrs = tree_attributes(rng, "target", **more)
    attrs.update(extra or {})
    if elem == D:
        for key in ("nodes_values", "target_weights"):
            values = np.array(attrs.pop(key)) * (1 + 1e-12)
            attrs[f"{key}_as_tensor"] = numpy_helper.from_array(values, key)
    targets = attrs.setdefault("n_targets", more.get("classes", 1))
    made = model([node("TreeEnsembleRegressor", ["X"], ["Y"], ML, **attrs)], [("X", elem, [None, 3])],
                 [("Y", F, [None, targets])])
    case(name, made, rows_of(rng), name)


def classifier(case, seeded, name, elem=F, extra=None, strings=None, labels=2, **more):
    rng = seeded(name)
    attrs = tree_attributes(rng, "class", classes=labels, **more)
    attrs.update(extra or {})
    attrs.update({"classlabels_strings": strings} if strings else {"classlabels_int64s": list(range(labels))})
    if elem == D:
        for key in ("nodes_values", "class_weights"):
            values = np.array(attrs.pop(key)) * (1 + 1e-12)
            attrs[f"{key}_as_tensor"] = numpy_helper.from_array(values, key)
    made = model([node("TreeEnsembleClassifier", ["X"], ["L", "P"], ML, **attrs)], [("X", elem, [None, 3])],
                 [("L", S if strings else I, [None]), ("P", F, [None, labels])])
    case(name, made, rows_of(rng, count=8 if "binary" in name else 18), name)


def tree_forms(case, attempt, seeded):
    every = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
    for mode in every:
        short = mode[7:].lower()
        attempt(lambda n, m=mode: regressor(case, seeded, n, modes=(m,)), f"form-mode-{short}")
        attempt(lambda n, m=mode: regressor(case, seeded, n, modes=(m,), tracks=0.5), f"form-mode-{short}-tracks")
    attempt(lambda n: regressor(case, seeded, n, modes=every, tracks=0.3, trees=12), "form-modes-mixed")
    attempt(lambda n: regressor(case, seeded, n, modes=every, tracks=0.3, elem=D), "form-modes-double")
    for agg in ("SUM", "AVERAGE", "MIN", "MAX"):
        attempt(lambda n, g=agg: regressor(case, seeded, n, extra={"aggregate_function": g, "base_values": [0.25]}),
                f"form-{agg.lower()}-base")
        attempt(lambda n, g=agg: regressor(case, seeded, n, classes=3, trees=6, extra={
            "aggregate_function": g, "base_values": [0.5, -0.25, 0.1]}), f"form-{agg.lower()}-three-targets")
    for post in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        p = {"post_transform": post}
        attempt(lambda n, p=p: regressor(case, seeded, n, extra=p), f"form-regressor-{post.lower()}")
        attempt(lambda n, p=p: regressor(case, seeded, n, classes=3, trees=6, extra=p), f"form-targets-{post.lower()}")
    for post in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        for base in ([], [0.2], [0.2, -0.3]):
            for which, ids in (("first", [0]), ("second", [1]), ("both", [0, 1])):
                for negative in (True, False):
                    name = f"form-binary-{post.lower()}-{which}-base{len(base)}-{'mixed' if negative else 'positive'}"
                    extra = {"post_transform": post, **({"base_values": base} if base else {})}
                    attempt(lambda n, e=extra, i=ids, g=negative: classifier(
                        case, seeded, n, extra=e, ids=i, negative=g, depth=1, trees=3), name)
        attempt(lambda n, p=post: classifier(case, seeded, n, labels=3, trees=6, extra={
            "post_transform": p, "base_values": [0.1, 0.2, -0.3]}), f"form-three-classes-{post.lower()}")
    attempt(lambda n: classifier(case, seeded, n, labels=3, ids=[0, 1, 2], strings=["a", "b", "c"]),
            "form-several-weights-strings")
    attempt(lambda n: classifier(case, seeded, n, elem=D, labels=3, ids=[0, 1, 2]), "form-classifier-double")
    attempt(lambda n: classifier(case, seeded, n, elem=D, ids=[0], extra={"post_transform": "LOGISTIC"}),
            "form-binary-double")


def ensemble5(case, name, seeded, elem=F, modes=(0, 1, 2, 3, 4, 5, 6), targets=2, agg=1, post=0, tracks=0.3):
    rng = seeded(name)
    kind = np.float64 if elem == D else np.float32
    a = {k: [] for k in ("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs",
                         "nodes_falseleafs", "nodes_missing_value_tracks_true", "tree_roots", "leaf_targetids")}
    splits, chosen, weights, members = [], [], [], []

    def leaf():
        a["leaf_targetids"].append(int(rng.integers(targets)))
        weights.append(rng.normal())
        return len(weights) - 1
    for _ in range(6):
        root = len(splits)
        a["tree_roots"].append(root)
        for place in range(3):
            mode = int(rng.choice(modes))
            chosen.append(mode)
            a["nodes_featureids"].append(int(rng.integers(3)))
            splits.append(float(rng.choice([-1, -0.5, 0, 0.5, 1, 0.1])))
            if mode == 6:
                members += [*rng.choice([-1, 0, 1, 2, 3], 3, replace=False), math.nan]
            a["nodes_missing_value_tracks_true"].append(int(rng.random() < tracks))
            if place == 0:
                a["nodes_truenodeids"].append(root + 1)
                a["nodes_falsenodeids"].append(root + 2)
            else:
                a["nodes_truenodeids"].append(leaf())
                a["nodes_falsenodeids"].append(leaf())
            for key in ("nodes_trueleafs", "nodes_falseleafs"):
                a[key].append(int(place > 0))
    tensor = lambda n, v, k=kind: helper.make_tensor(n, helper.np_dtype_to_tensor_dtype(np.dtype(k)), [len(v)],
                                                     np.array(v, dtype=k))
    a["nodes_splits"] = tensor("s", splits)
    a["leaf_weights"] = tensor("w", weights)
    a["nodes_modes"] = tensor("m", chosen, np.uint8)
    if members:
        a["membership_values"] = tensor("v", members)
    made = model([node("TreeEnsemble", ["X"], ["Y"], ML, n_targets=targets, aggregate_function=agg,
                       post_transform=post, **a)], [("X", elem, [None, 3])], [("Y", elem, [None, targets])],
                 opsets=((ML, 5), ("", 21)))
    rows = rows_of(rng, count=30)
    if 6 in modes:  # onnxruntime drops fractions where it asks for members, which the standard does not
        rows = [[x if not math.isfinite(x) else float(round(x)) for x in row] for row in rows]
    case(name, made, rows, name)


def ensemble_forms(case, attempt, seeded):
    one = lambda n, **k: ensemble5(case, n, seeded, **k)
    attempt(one, "form-ensemble5")
    attempt(one, "form-ensemble5-double", elem=D)
    attempt(one, "form-ensemble5-leq", modes=(0,), targets=1)
    attempt(one, "form-ensemble5-member", modes=(6,), targets=1, tracks=0.5)
    attempt(one, "form-ensemble5-average", modes=(0, 3), agg=0)
    attempt(one, "form-ensemble5-min", modes=(1, 2), agg=2)
    attempt(one, "form-ensemble5-max", modes=(1, 2), agg=3)


def hummingbird_forms(case, attempt, seeded):
    """Two trees of depth 2 as matrix products (GEMM) and as steps of gathers (TreeTraversal)."""
    def gemm(name):
        rng = seeded(name)
        feats = np.zeros((6, 4), np.float32)
        feats[np.arange(6), rng.integers(0, 4, 6)] = 1
        bias = rng.normal(size=(6, 1)).astype(np.float32)
        paths = np.zeros((2, 4, 3), np.float32)
        paths[:] = [[1, 1, 0], [1, -1, 0], [-1, 0, 1], [-1, 0, -1]]
        counts = np.array([2, 1, 1, 0], np.float32).reshape(1, 4, 1).repeat(2, 0)
        leaves = rng.dirichlet([1, 1, 1], (2, 4)).transpose(0, 2, 1).astype(np.float32)
        made = model([
            node("Transpose", ["X"], ["xt"], perm=[1, 0]), node("MatMul", ["feats", "xt"], ["x1"]),
            node("LessOrEqual", ["x1", "bias"], ["c1"]), node("Cast", ["c1"], ["f1"], to=F),
            node("Reshape", ["f1", "s1"], ["r1"]), node("MatMul", ["paths", "r1"], ["x2"]),
            node("Equal", ["x2", "counts"], ["c2"]), node("Cast", ["c2"], ["f2"], to=F),
            node("MatMul", ["leaves", "f2"], ["x3"]), node("ReduceMean", ["x3"], ["m"], axes=[0], keepdims=0),
            node("Transpose", ["m"], ["probabilities"], perm=[1, 0]),
            node("ArgMax", ["probabilities"], ["best"], axis=1, keepdims=0),
            node("Gather", ["classes", "best"], ["label"], axis=0)],
            [("X", F, [None, 4])], [("label", I, [None]), ("probabilities", F, [None, 3])],
            [("feats", feats), ("bias", bias), ("s1", np.array([2, 3, -1])), ("paths", paths), ("counts", counts),
             ("leaves", leaves), ("classes", np.array([3, 5, 8]))])
        case(name, made, rows_of(rng, 4), "hummingbird's GEMM form, by hand")

    def traversal(name):
        rng = seeded(name)
        lefts = np.array([1, 3, 5, 3, 4, 5, 6] * 2)
        lefts[7:] += 7
        rights = np.array([2, 4, 6, 3, 4, 5, 6] * 2)
        rights[7:] += 7
        feats = rng.integers(0, 4, 14)
        values = rng.normal(size=14).astype(np.float32)
        leaf = rng.normal(size=(14, 1)).astype(np.float32)
        nodes, at = [node("Shape", ["X"], ["shape"]), node("Gather", ["shape", "zero"], ["n"], axis=0),
                      node("Concat", ["n", "two"], ["nt"], axis=0), node("Expand", ["roots", "nt"], ["i0"])], "i0"
        for step in range(2):
            k = str(step)
            nodes += [node("Reshape", [at, "flat"], ["j" + k]), node("Gather", ["feats", "j" + k], ["g" + k], axis=0),
                      node("Reshape", ["g" + k, "wide"], ["h" + k]),
                      node("GatherElements", ["X", "h" + k], ["x" + k], axis=1),
                      node("Gather", ["values", "j" + k], ["t" + k], axis=0), node("Reshape", ["t" + k, "wide"], ["u" + k]),
                      node("Less", ["u" + k, "x" + k], ["o" + k]), node("Gather", ["lefts", "j" + k], ["l" + k], axis=0),
                      node("Gather", ["rights", "j" + k], ["r" + k], axis=0),
                      node("Reshape", ["l" + k, "wide"], ["m" + k]), node("Reshape", ["r" + k, "wide"], ["q" + k]),
                      node("Where", ["o" + k, "q" + k, "m" + k], [f"i{step + 1}"])]
            at = f"i{step + 1}"
        nodes += [node("Reshape", [at, "flat"], ["last"]), node("Gather", ["leaf", "last"], ["v"], axis=0),
                  node("Reshape", ["v", "deep"], ["w"]), node("ReduceSum", ["w", "one"], ["variable"], keepdims=0)]
        made = model(nodes, [("X", F, [None, 4])], [("variable", F, [None, 1])],
                     [("zero", np.array([0])), ("two", np.array([2])), ("roots", np.array([[0, 7]])),
                      ("flat", np.array([-1])), ("wide", np.array([-1, 2])), ("deep", np.array([-1, 2, 1])),
                      ("feats", feats), ("values", values), ("lefts", lefts), ("rights", rights), ("leaf", leaf),
                      ("one", np.array([1]))])
        case(name, made, rows_of(rng, 4), "hummingbird's TreeTraversal form, by hand")
    attempt(gemm, "form-hummingbird-gemm")
    attempt(traversal, "form-hummingbird-traversal")


def operator_forms(case, attempt, seeded):
    """One chain per operator that no case above has."""
    def chain(name, nodes, constants=(), opset=17, rows=None, width=3, kinds=None):
        rng = seeded(name)
        made = model(nodes, kinds or [("X", F, [None, width])], [("Y", F, None)], constants, ((ML, 3), ("", opset)))
        case(name, made, rows or rows_of(rng, width), name)

    plain = lambda n: [[float(v) for v in r] for r in seeded(n).integers(-3, 4, (30, 3))]  # NaN has no rank
    for op in ("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "LeakyRelu", "Log", "Neg", "Reciprocal", "Relu", "Round",
               "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh", "LogSoftmax"):
        attempt(lambda n, o=op: chain(n, [node(o, ["X"], ["Y"])]), f"form-{op.lower()}")
    for op in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"):
        extra = [("ax", np.array([1]))] if op == "Sum" else []
        attempt(lambda n, o=op, e=extra: chain(n, [node("Reduce" + o, ["X"] + [c for c, _ in e], ["Y"],
                **({} if e else {"axes": [1]}))], e,
                rows=plain(n) if o in ("Max", "Min") else None), f"form-reduce-{op.lower()}")
    attempt(lambda n: chain(n, [node("TopK", ["X", "k"], ["Y", "i"])], [("k", np.array([2]))], rows=plain(n)), "form-topk")
    attempt(lambda n: chain(n, [node("TopK", ["X", "k"], ["v", "i"], largest=0), node("Cast", ["i"], ["Y"], to=F)],
                            [("k", np.array([3]))], rows=plain(n)), "form-topk-smallest")
    attempt(lambda n: chain(n, [node("CumSum", ["X", "a"], ["Y"])], [("a", np.array(1))]), "form-cumsum")
    attempt(lambda n: chain(n, [node("Clip", ["X", "lo", "hi"], ["Y"])],
                            [("lo", np.float32(-0.4)), ("hi", np.float32(0.7))]), "form-clip")
    attempt(lambda n: chain(n, [node("Mod", ["X", "m"], ["Y"], fmod=1)], [("m", np.float32(0.3))]), "form-mod")
    attempt(lambda n: chain(n, [node("Gemm", ["X", "b", "c"], ["Y"], alpha=0.5, beta=2.0, transB=1)],
                            [("b", seeded(n).normal(size=(4, 3)).astype(np.float32)),
                             ("c", seeded(n).normal(size=4).astype(np.float32))]), "form-gemm")
    attempt(lambda n: chain(n, [node("BatchNormalization", ["X", "s", "b", "m", "v"], ["Y"])],
                            [(k, seeded(n + k).uniform(0.5, 2, 3).astype(np.float32)) for k in "sbmv"]), "form-batch-norm")
    attempt(lambda n: chain(n, [node("Slice", ["X", "s", "e", "a", "t"], ["y"]), node("Split", ["y"], ["p", "q"], axis=1),
                                node("Concat", ["q", "p", "X"], ["Y"], axis=-1)],
                            [("s", np.array([-1])), ("e", np.array([-100])), ("a", np.array([1])), ("t", np.array([-2]))]),
            "form-slice-split-concat")
    attempt(lambda n: chain(n, [node("Unsqueeze", ["X", "a"], ["u"]), node("Tile", ["u", "r"], ["t"]),
                                node("Transpose", ["t"], ["w"], perm=[0, 2, 1]), node("Flatten", ["w"], ["Y"])],
                            [("a", np.array([1])), ("r", np.array([1, 2, 1]))]), "form-tile-transpose")
    attempt(lambda n: chain(n, [node("Cast", ["X"], ["i"], to=I), node("OneHot", ["i", "d", "v"], ["h"]),
                                node("Reshape", ["h", "s"], ["Y"])],
                            [("d", np.array(3)), ("v", np.array([-1, 4], np.float32)), ("s", np.array([-1, 9]))],
                            rows=[[float(v) for v in r] for r in seeded(n).integers(-3, 5, (30, 3))]), "form-one-hot")
    attempt(lambda n: chain(n, [node("ArgMin", ["X"], ["i"], axis=1, select_last_index=1), node("Cast", ["i"], ["Y"], to=F)],
                            rows=[[float(v) for v in r] for r in seeded(n).integers(0, 3, (30, 3))]), "form-argmin-last")
    attempt(lambda n: chain(n, [node("FeatureVectorizer", ["A", "B"], ["v"], ML, inputdimensions=[1, 2]),
                                node("Scaler", ["v"], ["s"], ML, offset=[0.1, 0.2, 0.3], scale=[2.0, 3.0, 4.0]),
                                node("Binarizer", ["s"], ["z"], ML, threshold=0.5), node("Add", ["s", "z"], ["Y"])],
                            kinds=[("A", F, [None, 1]), ("B", F, [None, 2])]), "form-feature-vectorizer")

    def texts(name):
        made = model([node("LabelEncoder", ["A"], ["a"], ML, keys_strings=["x", "y", "z"], values_floats=[1.5, 2.5, -3.5],
                           default_float=9.0),
                      node("LabelEncoder", ["B"], ["b"], ML, keys_strings=["y", "w"], values_int64s=[7, 8], default_int64=-5),
                      node("CategoryMapper", ["A"], ["c"], ML, cats_strings=["x", "z"], cats_int64s=[4, 6], default_int64=1),
                      node("Cast", ["b"], ["bf"], to=F), node("Cast", ["c"], ["cf"], to=F),
                      node("Concat", ["a", "bf", "cf"], ["Y"], axis=1)],
                     [("A", S, [None, 1]), ("B", S, [None, 1])], [("Y", F, [None, 3])], opsets=((ML, 2), ("", 15)))
        rows = [[a, b] for a in ("x", "y", "z", "w", "?") for b in ("x", "y", "w", "")]
        case(name, made, rows, "label encoders of texts, with defaults")
    attempt(texts, "form-label-encoders")


def forms(case, attempt, seeded, numeric_rows):
    tree_forms(case, attempt, seeded)
    ensemble_forms(case, attempt, seeded)
    hummingbird_forms(case, attempt, seeded)
    operator_forms(case, attempt, seeded)
