"""Building a declared feature set over a history: ours beside polars and pandas, the same expressions over the same rows.

    python3 -m venv .venv && .venv/bin/pip install numpy==2.4.6 pandas==3.1.1 polars==2.1.0 PyYAML==6.0.3
    cargo build --release -p serve-benches --bin features-compare
    .venv/bin/python benches/peers/features.py target/release/features-compare [--rows 1000000] [--reps 5]
        [--declarations models/features.yaml] [--set vader] [--work target/features] [--only REGEX]

One thread each, in turns, CPU seconds of the build alone; medians over the repetitions. The rows are invented: candles a
minute apart and a score beside each. An expression is read as Python, whose grammar holds it but for `return`, and becomes
an expression of either library, so that nobody writes 56 features three times. Parts that read one source run on its
rows; then the newest row that is visible is joined. polars runs one lazy plan per build, and shares common parts by itself;
with pandas equal parts are computed once.
"""
import argparse
import ast
import json
import os
import re
import statistics
import subprocess
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import polars as pl  # noqa: E402
import yaml  # noqa: E402

START = "2019-01-01"
# Delays of the two sources, and the age up to which a score is joined, as the set declares them.
LIMITS = (pd.Timedelta("1D"), pd.Timedelta("1D")), pd.Timedelta("3D")
PRICES = ("open", "high", "low", "close", "volume")


def rows(n):
    """Columns of n candles and of the score beside each."""
    rng = np.random.default_rng(5)
    close = 20000 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    start = np.concatenate([[20000], close[:-1]])
    spread = np.abs(rng.normal(0, 5e-4, (2, n)))
    high, low = np.maximum(start, close) * (1 + spread[0]), np.minimum(start, close) * (1 - spread[1])
    cents = {"open": start, "high": high, "low": low, "close": close}
    columns = {name: np.round(x, 2) for name, x in cents.items()}
    columns["volume"] = np.round(rng.exponential(50, n), 3)
    columns["score"] = np.round(np.clip(rng.normal(0.1, 0.5, n), -1, 1), 4)
    return columns


class Pandas:
    """The functions over pandas' series."""

    def lag(self, x, n):
        return x.shift(n)

    def diff(self, x, n):
        return x.diff(n)

    def return_(self, x, n):
        return x.pct_change(n, fill_method=None)

    def log_return(self, x, n):
        return np.log(x / x.shift(n))

    def rolling(self, x, n, what):
        return getattr(x.rolling(n), what)()

    def bollinger(self, x, n, k):
        return x.rolling(n).mean() + k * x.rolling(n).std(ddof=0)

    def ema(self, x, span):
        return x.ewm(span=span, adjust=False).mean()

    def wilder(self, x, n):
        """The mean of the first n, which stands at row n since the first row has no change; then smoothed."""
        seeded = x.copy()
        seeded.iloc[:n] = np.nan
        seeded.iloc[n] = x.iloc[1:n + 1].mean()
        return seeded.ewm(alpha=1 / n, adjust=False).mean()

    def rsi(self, x, n):
        change = x.diff()
        gain, loss = self.wilder(change.clip(lower=0), n), self.wilder((-change).clip(lower=0), n)
        return 100 * gain / (gain + loss)

    def atr(self, high, low, close, n):
        before = close.shift(1)
        ranges = np.maximum(np.maximum(high - low, (high - before).abs()), (low - before).abs())
        return self.wilder(ranges, n)

    def max(self, x, y):
        return np.maximum(x, y)

    def day_of_week(self, t):
        return t.dt.day_of_week

    def month(self, t):
        return t.dt.month


class Polars(Pandas):
    """The same over polars' expressions, where they are called differently."""

    def return_(self, x, n):
        return x.pct_change(n)

    def log_return(self, x, n):
        return (x / x.shift(n)).log()

    def rolling(self, x, n, what):
        return getattr(x, f"rolling_{what}")(n)

    def bollinger(self, x, n, k):
        return x.rolling_mean(n) + k * x.rolling_std(n, ddof=0)

    def ema(self, x, span):
        return x.ewm_mean(span=span, adjust=False)

    def wilder(self, x, n):
        row = pl.int_range(pl.len())
        seed = pl.when(row == n).then(x.slice(1, n).mean())
        return pl.when(row > n).then(x).otherwise(seed).ewm_mean(alpha=1 / n, adjust=False)

    def rsi(self, x, n):
        change = x.diff()
        gain, loss = self.wilder(change.clip(lower_bound=0), n), self.wilder((-change).clip(lower_bound=0), n)
        return 100 * gain / (gain + loss)

    def atr(self, high, low, close, n):
        before = close.shift(1)
        return self.wilder(pl.max_horizontal(high - low, (high - before).abs(), (low - before).abs()), n)

    def max(self, x, y):
        return pl.max_horizontal(x, pl.lit(y))

    def day_of_week(self, t):
        return t.dt.weekday() - 1

    def month(self, t):
        return t.dt.month()


class Reader:
    """An expression's text as an expression of a library: what `value` gives, and the source that it reads."""

    def __init__(self, library, column, join):
        self.library, self.column, self.join = library, column, join
        self.seen = {}

    def feature(self, text):
        tree = ast.parse(re.sub(r"\breturn\(", "return_(", text), mode="eval").body
        return self.at_first(self.value(tree))

    def value(self, tree):
        text = ast.unparse(tree)
        if text not in self.seen:
            self.seen[text] = self.made(tree, text)
        return self.seen[text]

    def made(self, tree, text):
        """The value, its source (0 the first, 1 the second, None for a number), and its text."""
        match tree:
            case ast.Constant(x):
                return x, None, text
            case ast.UnaryOp(ast.USub(), x):
                x, source, _ = self.value(x)
                return -x, source, text
            case ast.Name(name):
                return self.column(0, name), 0, text
            case ast.Attribute(_, name):
                return self.column(1, name), 1, text
            case ast.BinOp(left, operator, right):
                (left, right), source = self.meeting([left, right])
                return self.operator(operator, left, right), source, text
            case ast.Call(ast.Name(name), arguments):
                arguments, source = self.meeting(arguments)
                return self.call(name, arguments), source, text

    def meeting(self, trees):
        values = [self.value(tree) for tree in trees]
        sources = {source for _, source, _ in values if source is not None}
        if len(sources) > 1:
            return [self.at_first(value) for value in values], 0
        return [value for value, _, _ in values], next(iter(sources), None)

    def at_first(self, made):
        value, source, text = made
        return self.join(value, text) if source == 1 else value

    def operator(self, operator, a, b):
        return {ast.Add: lambda: a + b, ast.Sub: lambda: a - b, ast.Mult: lambda: a * b, ast.Div: lambda: a / b}[type(operator)]()

    def call(self, name, given):
        library = self.library
        if name.startswith("rolling_"):
            return library.rolling(*given, name.removeprefix("rolling_"))
        match name:
            case "zscore":
                x, n = given
                return (x - library.rolling(x, n, "mean")) / library.rolling(x, n, "std")
            case "bollinger_upper":
                return library.bollinger(*given)
            case "bollinger_lower":
                return library.bollinger(given[0], given[1], -given[2])
            case "macd":
                return library.ema(given[0], given[1]) - library.ema(given[0], given[2])
            case "macd_signal":
                return library.ema(self.call("macd", given[:3]), given[3])
        return getattr(library, name)(*given)


def with_pandas(columns, moments, features, limits):
    delay, max_age = limits
    prices = pd.DataFrame({name: columns[name] for name in PRICES}, index=moments)
    scores = pd.Series(columns["score"], index=moments)
    timestamp = prices.index.to_series()
    visible, row = (moments + delay[1]).rename("t"), np.arange(len(moments))

    def build():
        seen = pd.merge_asof(pd.DataFrame(index=moments + delay[0]), pd.DataFrame({"row": row}, index=visible),
                             left_index=True, right_index=True, tolerance=max_age).row.to_numpy()
        present, places = ~np.isnan(seen), np.nan_to_num(seen).astype(np.int64)

        def join(series, _):
            values = series.to_numpy()[places]
            return pd.Series(np.where(present, values, np.nan), index=moments)

        def column(source, name):
            return scores if source == 1 else timestamp if name == "timestamp" else prices[name]

        reader = Reader(Pandas(), column, join)
        return {name: reader.feature(text) for name, text in features.items()}

    return build


def with_polars(columns, moments, features, limits):
    delay, max_age = limits
    time_ = pl.Series("timestamp", moments.to_numpy().astype("datetime64[us]"))
    prices = pl.DataFrame({"timestamp": time_} | {name: columns[name] for name in PRICES})
    scores = pl.DataFrame({"news_time": time_, "score": columns["score"]})

    def build():
        joined = {}

        def join(expression, text):
            joined[text] = expression
            return pl.col(text)

        reader = Reader(Polars(), lambda source, name: pl.col("score" if source == 1 else name), join)
        made = {name: reader.feature(text) for name, text in features.items()}
        news = scores.lazy().select((pl.col("news_time") + delay[1]).alias("visible"),
                                    *(expression.alias(text) for text, expression in joined.items()))
        rows = prices.lazy().with_columns((pl.col("timestamp") + delay[0]).alias("visible"))
        plan = rows.join_asof(news, on="visible", tolerance=max_age, strategy="backward", check_sortedness=False)
        return plan.select(expression.alias(name) for name, expression in made.items()).collect()

    return build


def timed(build):
    start = time.process_time()
    made = build()
    return time.process_time() - start, made


def ours(args, files):
    command = [args.program, args.declarations, args.set, str(args.rows), *files]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["cpu_s"], np.fromfile(files[1]).reshape(-1, args.rows)


def difference(mine, theirs):
    """The greatest, relative to the larger of 1 and theirs; infinite where only one of them is missing."""
    mine, theirs = (np.where(np.isfinite(x), x, np.nan) for x in (mine, theirs))
    if (np.isnan(mine) != np.isnan(theirs)).any():
        return np.inf
    return np.nanmax(np.abs(mine - theirs) / np.maximum(1, np.abs(theirs)))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--declarations", default="models/features.yaml")
    parser.add_argument("--set", default="vader")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--work", default="target/features")
    parser.add_argument("--only", default="")
    return parser.parse_args()


def competitors(args, features):
    columns = rows(args.rows)
    moments = pd.date_range(START, periods=args.rows, freq="min", unit="us")
    files = [os.path.join(args.work, name) for name in ("rows.f64", "ours.f64")]
    np.concatenate(list(columns.values())).tofile(files[0])
    made = {name: make(columns, moments, features, LIMITS) for name, make in (("polars", with_polars), ("pandas", with_pandas))}
    runs = {"ours": lambda: ours(args, files)} | {name: lambda build=build: timed(build) for name, build in made.items()}
    return {name: run for name, run in runs.items() if re.search(args.only, name)}


def worst(features, mine, theirs):
    """The feature that differs most, and by how much."""
    differences = {name: difference(mine[i], np.asarray(theirs[name], dtype=float)) for i, name in enumerate(features)}
    name = max(differences, key=differences.get)
    return f"{differences[name]:.1e} ({name})"


def main():
    args = arguments()
    os.makedirs(args.work, exist_ok=True)
    with open(args.declarations) as file:
        features = yaml.safe_load(file)["feature_sets"][args.set]["features"]
    runs = competitors(args, features)
    times, made, names = {name: [] for name in runs}, {}, list(runs)
    for rep in range(args.reps):
        turn = rep % len(names)
        for name in names[turn:] + names[:turn]:
            seconds, made[name] = runs[name]()
            times[name].append(seconds)
    print(f"{len(features)} features, {args.rows:,} rows, {args.reps} repetitions, load {os.getloadavg()[0]:.1f}\n")
    print("| | CPU s | times ours | greatest difference to ours |\n|---|---|---|---|")
    for name, seconds in times.items():
        middle, told = statistics.median(seconds), " | |"
        if name != "ours" and "ours" in times:
            told = f" {middle / statistics.median(times['ours']):.1f} | {worst(features, made['ours'], made[name])} |"
        print(f"| {name} | {middle:.3f} |{told}")


if __name__ == "__main__":
    main()
