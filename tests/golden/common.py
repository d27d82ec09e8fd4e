"""Writes, reads back and checks golden cases; builds the awkward input rows."""
import csv
import json
import math
import os
import shutil
import zlib

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
Z = float(np.float32(1e-35))  # LightGBM's kZeroThreshold, 1.0000000180025095e-35
INF = math.inf
NAN = math.nan


def seeded(name):
    """A generator seeded by a case's name, so cases do not disturb each other."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def fresh_dir(*parts):
    path = os.path.join(HERE, *parts)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def write_json(path, value, allow_nan=False):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(value, f, indent=1, ensure_ascii=False, allow_nan=allow_nan)
        f.write("\n")


def cell(value):
    """One CSV cell: empty for NaN, otherwise the f64 text that reads back the same."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    value = float(value)
    return "" if math.isnan(value) else repr(value)


def write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(header)
        out.writerows([cell(v) for v in row] for row in rows)


def read_csv(path, n_features):
    """(names, inputs, label-or-value column, probability columns or None), as f64."""
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))
    header = rows[0]
    data = np.array([[float(c) if c else NAN for c in r] for r in rows[1:]], dtype=np.float64)
    proba = data[:, n_features + 1:]
    return header[:n_features], data[:, :n_features], data[:, n_features], \
        proba if proba.shape[1] else None


def golden_columns(task, values):
    """(predict, probabilities) from what the library returned for this task."""
    if task == "regression":
        return values, None
    if task == "binary":
        one = np.ones(1, dtype=values.dtype)
        proba = np.column_stack([one - values, values])
    else:
        proba = values
    return np.argmax(proba, axis=1), proba


def write_case(path, names, inputs, values, raw, case):
    """golden.csv and case.json of one model; the model file is there already."""
    predict, proba = golden_columns(case["task"], values)
    header = [*names, "predict"]
    columns = [list(inputs[:, j]) for j in range(inputs.shape[1])] + [list(predict)]
    if proba is not None:
        classes = case["classes"]
        assert len(classes) == proba.shape[1], (classes, proba.shape)
        header += [f"predict_proba:{c}" for c in classes]
        columns += [list(proba[:, k]) for k in range(proba.shape[1])]
    write_csv(os.path.join(path, "golden.csv"), header, zip(*columns))
    exact = [float(v) for v in raw[:20]] if raw.ndim == 1 else \
        [[float(v) for v in r] for r in raw[:20]]
    write_json(os.path.join(path, "case.json"), {**case, "rows": len(inputs), "raw_score": exact})


def check_case(path, predict):
    """Reads golden.csv back; `predict` (the reloaded library) must give it bit for bit."""
    with open(os.path.join(path, "case.json"), encoding="utf-8") as f:
        case = json.load(f)
    names, inputs, label, proba = read_csv(os.path.join(path, "golden.csv"), case["n_features"])
    values, raw = predict(inputs)
    want, want_proba = golden_columns(case["task"], values)
    kind = values.dtype
    same(np.asarray(label).astype(want.dtype), want, path)
    if want_proba is not None:
        same(proba.astype(kind), want_proba, path)
        assert np.array_equal(proba.astype(kind).astype(np.float64), proba.astype(kind))
    same(np.array(case["raw_score"], dtype=np.float64), raw[:20].astype(np.float64), path)
    return names, inputs


def same(a, b, path):
    """Equal bit for bit, so -0.0 is not 0.0."""
    assert a.shape == b.shape and a.dtype == b.dtype, (path, a.shape, b.shape, a.dtype, b.dtype)
    assert a.tobytes() == np.ascontiguousarray(b).tobytes(), path


def with_column(rows, col, value):
    out = rows.copy()
    out[:, col] = value
    return out


def telling_rows(raw, pool, col, values):
    """Copies of the pool row on which these values of one column differ most, one per value."""
    scores = np.stack([raw(with_column(pool, col, v)).reshape(len(pool), -1) for v in values])
    distinct = [len({scores[i, r].tobytes() for i in range(len(values))})
                for r in range(len(pool))]
    best = int(np.argmax(distinct))
    return np.stack([with_column(pool[best:best + 1], col, v)[0] for v in values])


def around(threshold, f32):
    """A threshold, its neighbours and, where inputs become f32, values that round onto it."""
    t = float(threshold)
    if not f32:
        return [t, float(np.nextafter(t, INF)), float(np.nextafter(t, -INF))]
    t32 = np.float32(t)
    down = float(np.nextafter(t32, np.float32(-INF)))
    up = float(np.nextafter(t32, np.float32(INF)))
    t = float(t32)
    half = (t + down) / 2  # exact in f64; rounds to even
    return [t, down, up, t - abs(t) * 1e-12, t + abs(t) * 1e-12, half,
            float(np.nextafter(half, INF)), float(np.nextafter(half, -INF))]


def awkward_rows(raw, pool, thresholds, cats, rng, f32=False, n_thresholds=12, n_cat=36):
    """Rows at thresholds, near zero, missing, extreme and, in category columns, out of range.

    thresholds: {column: thresholds in the model}; cats: {column: number of categories}.
    """
    width = pool.shape[1]
    used = sorted(thresholds)
    out = []
    pairs = [(c, t) for c in used for t in sorted(set(thresholds[c]))]
    zeros = [p for p in pairs if abs(p[1]) < 1e-30]
    pick = [pairs[i] for i in rng.permutation(len(pairs))]
    for col, t in (zeros[:3] + [p for p in pick if p not in zeros])[:n_thresholds]:
        out.append(telling_rows(raw, pool, col, around(t, f32)))
    for col in (used + [c for c in range(width) if c not in used])[:64]:  # NaN in each column
        middle = float(np.nanmedian(pool[:, col]))
        out.append(telling_rows(raw, pool, col, [NAN, middle if len(cats) else 0.0])[:1])
    near_zero = [c for c, _ in zeros] + [c for c in used if c not in {c for c, _ in zeros}]
    tiny = [0.0, -0.0, 1e-36, -1e-36]
    if f32:
        tiny += [1e-40, -1e-40, 1e-46, -1e-46, Z, -Z]
    else:
        tiny += [Z, -Z, np.nextafter(Z, 1), np.nextafter(Z, 0), np.nextafter(-Z, -1),
                 np.nextafter(-Z, 0)]
    for col in list(dict.fromkeys(near_zero))[:3]:
        out.append(telling_rows(raw, pool, col, [float(v) for v in tiny]))
    big = [3e38, -3e38, 1.7e7] if f32 else [INF, -INF, 1e300, -1e300, 1.7976931348623157e308]
    for col in used[:3]:
        out.append(telling_rows(raw, pool, col, big))
    whole = [NAN, 0.0, -0.0, 1e-36, -1.0, 1e9, -1e9] + ([3e38] if f32 else [INF, -INF, 1e300])
    out.append(np.array([[v] * width for v in whole]))
    for col, n in cats.items():
        known = [float(v) for v in
                 (range(n) if n <= n_cat else sorted(rng.choice(n, n_cat, replace=False)))]
        odd = [1.9, 0.9, 1.9999999999, 2.0000000001, -0.5, -0.9999, -1.0, -1.5, -3e9, NAN,
               31.0, 32.0, 33.0, 63.0, 64.0, float(n), n + 1000.0, 65535.0, 3e9, 2147483647.0,
               2147483648.0, 4294967297.0, 16777215.0, 16777216.0, 1e20]
        if not f32:
            odd += [INF, -INF, 1e300]
        out.append(telling_rows(raw, pool, col, known + odd))
    return np.concatenate(out)
