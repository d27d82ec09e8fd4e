"""Makes lightgbm-100x31.txt: 100 trees of 31 leaves on 30 synthetic features, the same bytes each time.

    pip install lightgbm==4.* numpy && python benches/data/make.py
"""

from pathlib import Path

import lightgbm
import numpy

rng = numpy.random.default_rng(7)
rows = rng.normal(size=(8000, 30))
odds = rows[:, :10].sum(axis=1) + rows[:, 10] * rows[:, 11] - numpy.abs(rows[:, 12]) + rng.normal(size=8000)
rows[rng.random(rows.shape) < 0.02] = numpy.nan
labels = (odds > odds.mean()).astype(int)
settings = {
    "objective": "binary", "num_leaves": 31, "min_data_in_leaf": 20, "seed": 7, "deterministic": True,
    "force_row_wise": True, "num_threads": 1, "verbose": -1,
}
names = [f"feature_{n:02}" for n in range(30)]
model = lightgbm.train(settings, lightgbm.Dataset(rows, labels, feature_name=names), num_boost_round=100)
model.save_model(Path(__file__).with_name("lightgbm-100x31.txt"))
