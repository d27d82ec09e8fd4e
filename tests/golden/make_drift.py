"""Makes tests/golden/drift/cases.json: drift of one sample from another by scipy and numpy.

    venv/bin/pip install -r requirements.txt && venv/bin/python make_drift.py

Each case has a training sample (its numpy quantiles i/255 and share of missing values stand there; of 256 values the sample itself is
these quantiles), a current sample, `scipy.stats.ks_2samp` over the values present, and the population stability index over the
intervals that `numpy.quantile(…, method="inverted_cdf")` cuts at twentieths and a bin of missing values, shares raised to 1e-4.
crates/serve-core/tests/it/drift.rs must give the same within the tolerance of the case.
"""

import json
import pathlib

import numpy as np
from scipy import stats

from common import NAN, seeded

OUT = pathlib.Path(__file__).parent / "drift"


def ks(training, current):
    return float(stats.ks_2samp(training[~np.isnan(training)], current[~np.isnan(current)]).statistic)


def psi(training, current):
    cuts = np.unique(np.quantile(training[~np.isnan(training)], np.arange(1, 20) / 20, method="inverted_cdf"))

    def shares(sample):
        present = sample[~np.isnan(sample)]
        counts = np.bincount(np.searchsorted(cuts, present, side="left"), minlength=len(cuts) + 1)
        counts = np.append(counts, len(sample) - len(present))
        return np.maximum(counts / len(sample), 1e-4)

    expected, actual = shares(training), shares(current)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def case(name, training, current, tolerance):
    training, current = np.asarray(training, float), np.asarray(current, float)
    present = np.sort(training[~np.isnan(training)])
    return {
        "name": name,
        "rows": len(training),
        "null_rate": 1 - len(present) / len(training),
        "quantiles": np.quantile(present, np.arange(256) / 255).tolist(),
        "current": [None if np.isnan(x) else x for x in current.tolist()],
        "ks": ks(training, current),
        "psi": psi(training, current),
        "tolerance": tolerance,
    }


def main():
    random = seeded("drift")
    normal = random.normal(size=256)
    skewed = np.round(random.lognormal(3, 2, size=256), 3)
    large = random.normal(size=20_000)
    gaps = np.full(400, NAN)
    gaps[random.choice(400, 256, replace=False)] = random.normal(size=256)
    current = random.normal(0.4, 1.3, size=300)
    holes = np.where(random.random(300) < 0.2, NAN, current)
    exact = {"ks": 1e-12, "psi": 1e-9}
    near = {"ks": 1 / 255, "psi": 0.02}
    cases = [
        case("the same values", normal, normal, exact),
        case("moved and wider", normal, current, exact),
        case("training values themselves, some often", normal, normal[:40].tolist() * 3, exact),
        case("beyond both ends", normal, [-100, 100, 1e300, -1e300, 0], exact),
        case("one value", normal, [normal[7]] * 50, exact),
        case("skewed", skewed, skewed * 1.2, exact),
        case("missing values in both", gaps, holes, exact),
        case("missing values now", normal, holes, exact),
        case("many training rows", large, random.normal(0.1, 1, size=500), near),
        case("many training rows, the same distribution", large, random.normal(size=500), near),
        case("few training rows", normal[:60], current, {"ks": 1 / 60, "psi": 0.3}),
    ]
    OUT.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / "cases.json").write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
