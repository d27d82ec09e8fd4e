"""CatBoost models as JSON, awkward rows and CatBoost's own answers: catboost/<case>/{model,golden}.json.

Apart from the other parts, since rows have texts: golden.json holds "rows" (a number, a text, or null for NaN; "inf"
and "-inf" in a column of numbers are themselves) and "scores", what the wrapper's predict_proba, or predict, answered.
"""
import json
import math
import os

import numpy as np
from catboost import CatBoost, CatBoostClassifier, CatBoostRanker, CatBoostRegressor, Pool, sum_models

from common import fresh_dir, seeded, write_json

BASE = dict(verbose=0, thread_count=1, allow_writing_files=False, random_seed=7)


def numbers(rng, rows, columns, missing):
    x = rng.normal(size=(rows, columns)).astype(np.float32).astype(np.float64)
    if missing:
        x[rng.random(x.shape) < missing] = math.nan
    return x


def target(rng, x):
    x = np.nan_to_num(x, nan=0.7)
    return x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=len(x))


def awkward(rng, model, x, texts):
    """Rows on borders and beside them, missing, extreme; texts seen and unseen."""
    info = model["features_info"]
    rows = [list(row) for row in x[:30]]
    base = [list(row) for row in x[:200]]

    def change(flat, values):
        for value in values:
            row = list(base[rng.integers(len(base))])
            row[flat] = value
            rows.append(row)

    for feature in info.get("float_features") or []:
        borders = feature["borders"]
        for border in [borders[i] for i in rng.permutation(len(borders))[:4]]:
            b = np.float32(border)
            with np.errstate(over="ignore"):
                up, down = np.nextafter(b, np.float32(np.inf)), np.nextafter(b, np.float32(-np.inf))
            half = (float(b) + float(up)) / 2
            change(feature["flat_feature_index"], [float(b), float(up), float(down), half,
                                                   float(np.nextafter(half, math.inf)), float(np.nextafter(half, -math.inf)),
                                                   float(b) * (1 + 1e-12)])
        change(feature["flat_feature_index"], [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-40, -1e-40, 1e300, -1e300,
                                               3.4028234663852886e38, -3.4028234663852886e38])
    for feature in info.get("categorical_features") or []:
        change(feature["flat_feature_index"], texts + ["", "unseen", "é", "0", "-7", "x" * 150, "nan"])
    return rows


def cell(value):
    if isinstance(value, str):
        return value
    value = float(value) if not isinstance(value, (int, np.integer)) else int(value)
    return None if value != value else str(value) if abs(value) == math.inf else value


def case(name, model, x, answer, texts=(), pool=None, **about):
    folder = fresh_dir("catboost", name)
    file = os.path.join(folder, "model.json")
    model.save_model(file, format="json", pool=pool)
    with open(file, encoding="utf-8") as f:
        saved = json.load(f)
    for key in ("output_options", "training", "train_finish_time", "model_guid"):
        saved["model_info"].pop(key, None)
    for key in [key for key in saved["model_info"] if key.startswith("model")]:
        saved["model_info"].pop(key)
    with open(file, "w", encoding="utf-8") as f:
        json.dump(saved, f, separators=(",", ":"))
    reloaded = type(model)().load_model(file, format="json")
    rows = awkward(seeded(name), saved, x, list(texts))
    data = np.array(rows, dtype=object if texts else np.float64)
    scores = np.asarray(answer(model, data), dtype=np.float64).reshape(len(rows), -1)
    again = np.asarray(answer(reloaded, data), dtype=np.float64).reshape(len(rows), -1)
    # CatBoost's own reader of JSON is off by the last bit.
    assert np.allclose(scores, again, rtol=1e-13, atol=1e-15), name
    write_json_lines(os.path.join(folder, "golden.json"), {
        "catboost": __import__("catboost").__version__, "trees": int(model.tree_count_), **about,
        "rows": [[cell(v) for v in row] for row in rows], "scores": scores.tolist()})


def write_json_lines(path, value):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(json.dumps(value, allow_nan=False).replace("], [", "],\n[") + "\n")


def proba(model, x):
    return model.predict_proba(x)


def predict(model, x):
    return model.predict(x)


def exponent(model, x):
    return model.predict(x, prediction_type="Exponent")


def raw(model, x):
    return model.predict(x, prediction_type="RawFormulaVal")


def probability(model, x):
    return model.predict(x, prediction_type="Probability")


def numeric_cases():
    rng = seeded("catboost numeric")
    x = numbers(rng, 400, 4, 0.1)
    y = target(rng, x)
    whole = np.nan_to_num(x)
    positive = np.exp(y / 3)
    labels = np.array(["down", "flat", "up"])[np.digitize(y, [-0.6, 0.6])]
    small = dict(BASE, iterations=8, depth=3, border_count=16)

    def regressor(name, y=y, x=x, answer=predict, **parameters):
        case(name, CatBoostRegressor(**{**small, **parameters}).fit(x, y), x, answer,
             loss=parameters.get("loss_function", "RMSE"))

    regressor("rmse-nan-min")
    regressor("rmse-nan-max", nan_mode="Max")
    regressor("rmse-deep", depth=8, iterations=2)
    regressor("rmse-no-nan", x=whole)
    regressor("rmse-depthwise", grow_policy="Depthwise", depth=4)
    regressor("rmse-lossguide-nan-max", grow_policy="Lossguide", max_leaves=9, nan_mode="Max")
    regressor("quantile", loss_function="Quantile:alpha=0.3")
    regressor("huber", loss_function="Huber:delta=1.5")
    regressor("poisson", y=np.floor(positive), loss_function="Poisson", answer=exponent)
    regressor("tweedie", y=positive, loss_function="Tweedie:variance_power=1.4", answer=exponent)
    regressor("multi-rmse", y=np.stack([y, -y, y * y], 1), loss_function="MultiRMSE")
    regressor("uncertainty", loss_function="RMSEWithUncertainty", answer=raw)
    regressor("constant", y=np.full(len(y), 2.5), allow_const_label=True, bootstrap_type="No")
    regressor("large-bias", y=y + 1e6)

    def classifier(name, y, answer=proba, x=x, **parameters):
        model = CatBoostClassifier(**{**small, **parameters}).fit(x, y)
        case(name, model, x, answer, loss=model.get_all_params()["loss_function"],
             classes=[str(c) for c in model.classes_])

    classifier("logloss-text-labels", np.where(y > 0, "up", "down"))
    classifier("logloss-bool", y > 0.3)
    classifier("logloss-lossguide", (y > 0).astype(int), grow_policy="Lossguide", max_leaves=6)
    classifier("cross-entropy", 1 / (1 + np.exp(-y)), loss_function="CrossEntropy")
    classifier("multiclass", labels)
    classifier("multiclass-ordered", labels, class_names=["up", "flat", "down"])
    classifier("multiclass-depthwise", labels, grow_policy="Depthwise")
    classifier("multiclass-one-vs-all", labels, loss_function="MultiClassOneVsAll")
    multi = CatBoost(dict(small, loss_function="MultiLogloss")).fit(x, np.stack([y > 0, y > 1], 1).astype(int))
    case("multi-logloss", multi, x, probability, loss="MultiLogloss")
    groups = np.repeat(np.arange(40), 10)
    ranker = CatBoostRanker(**dict(small, loss_function="YetiRank"))
    case("yetirank", ranker.fit(x, np.digitize(y, [-1, 0, 1]), group_id=groups), x, predict, loss="YetiRank")

    one = CatBoostRegressor(**small).fit(x, y)
    two = CatBoostRegressor(**{**small, "random_seed": 8, "rsm": 0.5}).fit(x, -y)
    one.set_scale_and_bias(2.5, 0.125)
    case("scale-and-bias", one, x, predict, loss="RMSE")
    case("sum-models", sum_models([one, two], weights=[1.0, 0.5]), x, predict)


def category_cases():
    rng = seeded("catboost categories")
    words = [f"word {k}" + "é" * (k % 3) for k in range(50)]
    few = ["red", "green", "blue"]
    n = 900
    x = np.empty((n, 4), dtype=object)
    x[:, 0] = rng.choice(words, n)
    x[:, 1] = rng.normal(size=n).astype(np.float32).astype(np.float64)
    x[:, 2] = rng.choice(few, n)
    x[:, 3] = [int(v) for v in rng.integers(-2, 3, n)]
    y = (x[:, 1] + np.array([len(w) % 3 + words.index(w) % 5 for w in x[:, 0]]) * (x[:, 2] == "red")
         + x[:, 3].astype(float)).astype(float)
    names = ["word", "size", "colour", "step"]
    small = dict(BASE, iterations=12, depth=4, border_count=8, one_hot_max_size=64)
    texts = ["word 0", "word 1é", "word 49é", "red", "green", 1, -2, 2, 0, 7]

    def pool(y, columns=(0, 1, 2, 3)):
        return Pool(x[:, list(columns)], y, cat_features=[k for k, c in enumerate(columns) if c != 1],
                    feature_names=[names[c] for c in columns])

    train = pool(y)
    case("one-hot", CatBoostRegressor(**small).fit(train), x, predict, texts=texts, loss="RMSE")
    case("one-hot-texts", CatBoostRegressor(**small).fit(train), x, predict, texts=texts, pool=train, loss="RMSE")
    case("one-hot-lossguide", CatBoostRegressor(**dict(small, grow_policy="Lossguide")).fit(train), x, predict,
         texts=texts, loss="RMSE")
    binary = pool(np.where(y > np.median(y), "yes", "no"))
    case("one-hot-binary", CatBoostClassifier(**small).fit(binary), x, proba, texts=texts, loss="Logloss",
         classes=["no", "yes"])
    unused = CatBoostRegressor(**dict(small, iterations=1, depth=1, ignored_features=[0, 2])).fit(train)
    case("category-unused", unused, x, predict, texts=texts, loss="RMSE")
    refused = CatBoostRegressor(**dict(small, iterations=3, depth=2, one_hot_max_size=2)).fit(train)
    file = os.path.join(fresh_dir("catboost-refused", "ctr"), "model.json")
    refused.save_model(file, format="json", pool=train)
    write_json(os.path.join(os.path.dirname(file), "case.json"),
               {"file": "model.json", "why": "CTR", "kind": "unsupported"})


def text_hashes():
    """Texts of every length and CatBoost's hashes of them."""
    rng = np.random.default_rng(5)
    letters = list("abcdefghij é中0123456789-_")
    lengths = [*range(1, 70), 71, 96, 127, 128, 129, 130, 191, 192, 193, 200, 256, 300]
    texts = ["", *("".join(rng.choice(letters, n)) for n in lengths), "-1", "0", "3", "True", "nan"]
    x = np.array(list(dict.fromkeys(texts)) * 3, dtype=object).reshape(-1, 1)
    pool = Pool(x, rng.normal(size=len(x)), cat_features=[0])
    model = CatBoostRegressor(**dict(BASE, iterations=1, depth=1, one_hot_max_size=255)).fit(pool)
    folder = fresh_dir("catboost-texts")
    file = os.path.join(folder, "model.json")
    model.save_model(file, format="json", pool=pool)
    with open(file, encoding="utf-8") as f:
        hashes = json.load(f)["features_info"]["cat_features_hash"]
    os.remove(file)
    hashes.sort(key=lambda entry: (len(entry["value"].encode()), entry["value"]))
    write_json(os.path.join(folder, "hashes.json"), hashes)


def run(_data=None):
    numeric_cases()
    category_cases()
    text_hashes()


if __name__ == "__main__":
    run()
