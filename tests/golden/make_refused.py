"""Model files a careful reader must refuse: kinds it does not serve, and broken files."""
import copy
import json
import os
import pickle
import re
import struct

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression

from common import fresh_dir, seeded, write_json
from make_lightgbm import BASE as LGB_BASE, categorical
from make_xgboost import BASE as XGB_BASE

LGB_SMALL = {**LGB_BASE, "num_leaves": 4}
XGB_SMALL = {**XGB_BASE, "max_depth": 2}


def put(library, name, kind, why, content, file):
    """One refused file; kind is 'unsupported' (sound, the library loads it) or 'broken'."""
    path = fresh_dir(library + "-refused", name)
    data = content if isinstance(content, bytes) else content.encode()
    with open(os.path.join(path, file), "wb") as f:
        f.write(data)
    write_json(os.path.join(path, "case.json"),
               {"library": library, "kind": kind, "file": file, "why": why})
    return os.path.join(path, file)


class LightgbmText:
    """A model text taken apart, to be put together with one thing wrong and the rest right."""

    def __init__(self, text):
        head, rest = text.split("Tree=0\n", 1)
        body, self.tail = ("Tree=0\n" + rest).split("end of trees", 1)
        self.head = head
        self.trees = re.split(r"(?=^Tree=)", body, flags=re.M)[1:]
        assert self.text() == text

    def text(self, head=None, trees=None):
        head, trees = head or self.head, trees if trees is not None else self.trees
        sizes = " ".join(str(len(t.encode())) for t in trees)
        return re.sub(r"tree_sizes=.*", "tree_sizes=" + sizes, head) + "".join(trees) \
            + "end of trees" + self.tail

    def with_line(self, key, change, tree=1):
        """`change` takes and gives the list of values of one line of one tree."""
        old = re.search(rf"^{key}=(.*)$", self.trees[tree], flags=re.M)
        assert old, key
        new = f"{key}={' '.join(str(v) for v in change(old.group(1).split()))}"
        trees = list(self.trees)
        trees[tree] = trees[tree].replace(old.group(0), new, 1)
        assert trees != self.trees, key
        return self.text(trees=trees)

    def with_head(self, old, new):
        assert old in self.head
        return self.text(head=self.head.replace(old, new, 1))


def lightgbm_broken(cx, score):
    x, y = load_breast_cancer(return_X_y=True)
    text = lgb.train({**LGB_SMALL, "objective": "binary"}, lgb.Dataset(x, y), 4).model_to_string()
    good = LightgbmText(text)
    cat = LightgbmText(lgb.train(
        {**LGB_SMALL, "objective": "regression", "min_data_per_group": 5, "max_cat_to_onehot": 1},
        lgb.Dataset(cx, score, categorical_feature=[1, 2, 4]), 3).model_to_string())

    def one(name, why, content):
        put("lightgbm", name, "broken", why, content, "model.txt")

    one("truncated", "cut in the middle of a tree", text[:text.index("Tree=2") + 150])
    one("truncated-between-trees", "cut after the second of four trees",
        text[:text.index("Tree=2")])
    one("truncated-header", "cut in the feature names", text[:200])
    one("empty", "an empty file", b"")
    one("not-a-model", "prose", "tree\nThis file is about oaks, not about models.\n" * 20)
    pickled = pickle.dumps(LogisticRegression().fit(x[:50, :2], y[:50]), protocol=4)
    one("pickle", "the first bytes of a scikit-learn pickle (never to be unpickled)",
        pickled[:120])
    one("random-bytes", "noise", seeded("noise").bytes(500))
    one("nul-bytes", "a model with zero bytes in a tree", text.replace("leaf_value=", "leaf_\0\0="))
    one("cyclic-children", "node 1's left child is node 0, its ancestor",
        good.with_line("left_child", lambda v: [v[0], "0", *v[2:]]))
    one("self-child", "node 0 is its own left child",
        good.with_line("left_child", lambda v: ["0", *v[1:]]))
    one("child-out-of-range", "a left child beyond the nodes",
        good.with_line("left_child", lambda v: ["99", *v[1:]]))
    one("leaf-out-of-range", "a right child is leaf 98 of 4",
        good.with_line("right_child", lambda v: [*v[:-1], "-99"]))
    one("child-not-a-number", "a child that is no number",
        good.with_line("left_child", lambda v: ["x", *v[1:]]))
    one("feature-out-of-range", "a split on feature 30 of 0..29",
        good.with_line("split_feature", lambda v: ["30", *v[1:]]))
    one("feature-negative", "a split on feature -1",
        good.with_line("split_feature", lambda v: ["-1", *v[1:]]))
    one("leaf-counts-disagree", "num_leaves=4 with three leaf values",
        good.with_line("leaf_value", lambda v: v[:-1]))
    one("node-counts-disagree", "two thresholds for three splits",
        good.with_line("threshold", lambda v: v[:-1]))
    one("num-leaves-huge", "a tree that claims 2147483647 leaves",
        good.with_line("num_leaves", lambda v: ["2147483647"]))
    one("num-leaves-negative", "a tree that claims -4 leaves",
        good.with_line("num_leaves", lambda v: ["-4"]))
    one("threshold-not-a-number", "a threshold that is no number",
        good.with_line("threshold", lambda v: ["12,5", *v[1:]]))
    one("leaf-not-a-number", "a leaf value that is no number",
        good.with_line("leaf_value", lambda v: ["0x", *v[1:]]))
    one("num-class-huge", "num_class and num_tree_per_iteration of 2000000000",
        LightgbmText(good.with_head("num_class=1\n", "num_class=2000000000\n")).with_head(
            "num_tree_per_iteration=1\n", "num_tree_per_iteration=2000000000\n"))
    one("tree-count-uneven", "three trees for each iteration, four trees",
        LightgbmText(LightgbmText(good.with_head("num_class=1\n", "num_class=3\n")).with_head(
            "num_tree_per_iteration=1\n", "num_tree_per_iteration=3\n")).with_head(
                "objective=binary sigmoid:1", "objective=multiclass num_class:3"))
    one("max-feature-idx-huge", "max_feature_idx=2147483647 with 30 names",
        good.with_head("max_feature_idx=29", "max_feature_idx=2147483647"))
    one("no-feature-names", "no feature_names line",
        re.sub(r"feature_names=.*\n", "", good.text()))
    one("unknown-objective", "objective=banana", good.with_head("objective=binary sigmoid:1",
                                                              "objective=banana"))
    one("sigmoid-not-positive", "objective=binary sigmoid:-1",
        good.with_head("sigmoid:1", "sigmoid:-1"))
    split = next(i for i, t in enumerate(cat.trees) if "num_cat=0\n" not in t)
    kinds = re.search(r"decision_type=(.*)", cat.trees[split]).group(1).split()
    one("category-set-out-of-range", "a category split points at set 50 of its tree",
        cat.with_line("threshold", lambda v: [
            "50" if int(kind) & 1 else t for t, kind in zip(v, kinds)], split))
    one("category-bits-out-of-range", "cat_boundaries reach beyond cat_threshold",
        cat.with_line("cat_boundaries", lambda v: [*v[:-1], "4000"], split))
    one("category-boundaries-descending", "cat_boundaries go down",
        cat.with_line("cat_boundaries", lambda v: ["2", "0", *v[2:]], split))


def xgboost_unsupported():
    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:300], y[:300]
    booster = xgb.train({**XGB_SMALL, "objective": "binary:hinge"},
                        xgb.DMatrix(x, label=np.column_stack([y, 1 - y]), nthread=1), 2)
    put("xgboost", "hinge-labels", "unsupported", "binary:hinge for two labels at once",
        bytes(booster.save_raw("json")), "model.json")
    ubj = bytes(xgb.train({**XGB_SMALL, "objective": "binary:logistic"},
                          xgb.DMatrix(x, label=y, nthread=1), 2).save_raw("ubj"))
    put("xgboost", "ubjson-truncated", "broken", "UBJSON cut in the middle", ubj[:len(ubj) // 2],
        "model.ubj")
    head = struct.pack("<fIiiiIII", 0.5, 30, 0, 0, 0, 1, 7, 0)
    put("xgboost", "binary-deprecated", "broken", "looks like the binary form that XGBoost 3 no "
        "longer has", b"binf" + head + bytes(108) + struct.pack("<Q", 15) + b"binary:logistic"
        + struct.pack("<Q", 6) + b"gbtree" + bytes(200), "model.json")


def xgboost_broken():
    x, y = load_wine(return_X_y=True)
    booster = xgb.train({**XGB_SMALL, "objective": "multi:softprob", "num_class": 3},
                        xgb.DMatrix(x, label=y, nthread=1), 2)
    text = bytes(booster.save_raw("json")).decode()
    good = json.loads(text)
    cx, score = categorical(seeded("xgboost-refused"), n=600)
    cat = json.loads(bytes(xgb.train(
        {**XGB_SMALL, "objective": "reg:squarederror", "max_cat_to_onehot": 1,
         "tree_method": "hist"},
        xgb.DMatrix(cx, label=score, nthread=1, feature_types=["q", "c", "c", "q", "c"]),
        2).save_raw("json")))

    def one(name, why, content):
        put("xgboost", name, "broken", why, content, "model.json")

    def edited(name, why, change, base=good):
        model = copy.deepcopy(base)
        learner = model["learner"]
        inner = learner["gradient_booster"]["model"]
        change(model, learner, inner, next(
            t for t in inner["trees"][1:] if base is good or t["categories"]))
        assert model != base, name
        one(name, why, json.dumps(model, separators=(",", ":")))

    def put_in(key, at, value):
        def change(model, learner, inner, tree):
            tree[key][at] = value
        return change

    one("truncated", "cut in the middle", text[:len(text) // 2])
    one("empty", "an empty file", b"")
    one("other-json", "sound JSON of another kind", '{"a":1}')
    one("json-list", "sound JSON, a list", "[1,2,3]")
    one("not-json", "prose", "This file is about forests, not about models.\n" * 20)
    one("deep-nesting", "20000 brackets inside each other",
        '{"learner":' + "[" * 20000 + "]" * 20000 + "}")
    one("trailing-garbage", "a model and then more", text + "}}")
    edited("cyclic", "node 1's left child is node 0, its ancestor", put_in("left_children", 1, 0))
    edited("self-child", "node 0 is its own right child", put_in("right_children", 0, 0))
    edited("child-out-of-range", "a left child beyond the nodes",
           put_in("left_children", 0, 4000))
    edited("child-negative", "a left child of -7", put_in("left_children", 0, -7))
    edited("one-child", "a node with a left child and no right one",
           put_in("right_children", 0, -1))
    edited("split-index-out-of-range", "a split on feature 13 of 0..12",
           put_in("split_indices", 0, 13))
    edited("split-index-negative", "a split on feature -1", put_in("split_indices", 0, -1))
    edited("condition-not-a-number", "a threshold that is text",
           put_in("split_conditions", 0, "high"))
    edited("arrays-differ", "one split condition fewer than nodes",
           lambda m, l, i, t: t["split_conditions"].pop())
    edited("no-nodes", "a tree without nodes", lambda m, l, i, t: t.update(
        {k: [] for k in t if isinstance(t[k], list)}))
    edited("num-nodes-huge", "num_nodes says 2147483647", lambda m, l, i, t:
           t["tree_param"].update(num_nodes="2147483647"))
    edited("num-class-huge", "num_class says 2000000000", lambda m, l, i, t:
           l["learner_model_param"].update(num_class="2000000000"))
    edited("num-trees-disagrees", "num_trees says 60 of 6", lambda m, l, i, t:
           i["gbtree_model_param"].update(num_trees="60"))
    edited("tree-id-twice", "two trees with the id 0", lambda m, l, i, t: t.update(id=0))
    edited("tree-info-out-of-range", "a tree of class 3 of 0..2",
           lambda m, l, i, t: i["tree_info"].__setitem__(1, 3))
    edited("tree-info-short", "tree_info for five of six trees",
           lambda m, l, i, t: i["tree_info"].pop())
    edited("base-score-garbage", "base_score that is no number", lambda m, l, i, t:
           l["learner_model_param"].update(base_score="half"))
    edited("base-score-count", "two base scores for three classes", lambda m, l, i, t:
           l["learner_model_param"].update(base_score="[0E0,0E0]"))
    edited("no-objective", "no objective", lambda m, l, i, t: l.pop("objective"))
    edited("unknown-objective", "objective banana", lambda m, l, i, t:
           l["objective"].update(name="banana"))
    edited("unknown-booster", "booster banana", lambda m, l, i, t:
           l["gradient_booster"].update(name="banana"))
    edited("feature-names-count", "two feature names for 13 features", lambda m, l, i, t:
           l.update(feature_names=["a", "b"]))
    edited("categories-out-of-range", "a category segment beyond the categories",
           lambda m, l, i, t: t["categories_segments"].__setitem__(0, 5000), cat)
    edited("categories-missing", "a category split without its set of categories",
           lambda m, l, i, t: t.update(categories=[], categories_nodes=[], categories_sizes=[],
                                       categories_segments=[]), cat)
    edited("category-negative", "a category of -3",
           lambda m, l, i, t: t["categories"].__setitem__(0, -3), cat)


def run(_data):
    lightgbm_broken(*categorical(seeded("lightgbm-refused"), n=600))
    xgboost_unsupported()
    xgboost_broken()
