"""Remakes every golden file of this folder: python make.py [--data btc-daily.csv]"""
import argparse
import os
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # sums in one order; must precede numpy

warnings.filterwarnings("ignore")

from common import HERE  # noqa: E402


PARTS = ["catboost", "lightgbm", "xgboost", "refused", "sklearn", "sklearn_export", "shap"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.path.join(HERE, "../../examples/data/btc-daily.csv"),
                        help="the daily bitcoin file (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS,
                        help="remake one part")
    args = parser.parse_args()
    if not os.path.exists(args.data):
        parser.error(f"no such file: {args.data}")
    for part in PARTS:
        if args.only in (None, part):
            print(part, flush=True)
            module = __import__("make_" + part)
            module.run(args.data)


if __name__ == "__main__":
    main()
