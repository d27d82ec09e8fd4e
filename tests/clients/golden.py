"""LightGBM's own answers for the models that `run` imports, as arrays."""

import csv
import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "lightgbm"
COLOURS = ['a "q"', "blue", "green", "red", "日本"]
SHOPS = [-30, -20, *range(-10, 370, 10)]


def read(case: str, features: int):
    """Names of the features, their values (an empty cell is NaN), labels and probabilities."""
    with open(GOLDEN / case / "golden.csv", newline="") as file:
        names, *rows = csv.reader(file)
    table = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
    return names[:features], table[:, :features], table[:, features], table[:, features + 1 :]


def cells():
    return read("binary", 30)


def shop():
    """As `cells`, but of rows whose colour and shop are known, as texts and numbers: size, colour, shop, price."""
    names, rows, labels, scores = read("binary-pandas", 4)
    known = [
        at
        for at, row in enumerate(rows)
        if np.isfinite(row).all() and row[1] in range(len(COLOURS)) and row[2] in range(len(SHOPS))
    ]
    rows, labels, scores = rows[known], labels[known], scores[known]
    columns = {
        "size": rows[:, 0],
        "colour": np.array([COLOURS[int(code)] for code in rows[:, 1]], dtype=object),
        "shop": np.array([float(SHOPS[int(code)]) for code in rows[:, 2]]),
        "price": rows[:, 3],
    }
    assert list(columns) == names and len(known) > 20
    return columns, labels, scores
