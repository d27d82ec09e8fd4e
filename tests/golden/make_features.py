"""Makes tests/golden/features/: raw rows, declarations, and the features that pandas and TA-Lib's definitions give, for
an invented history with every kind of gap, and (`days*`) for the real days of examples/data, which are made whole and
written every 37th.

    python3 -m venv .venv && .venv/bin/pip install numpy==2.4.6 pandas==3.1.1 TA-Lib==0.8.2 && .venv/bin/python tests/golden/make_features.py

The vocabulary of serve-features must agree (crates/serve-features/tests/it/golden.rs). Where our definition differs from
pandas' on purpose (windows of time are never shortened, a missing value in a window makes it missing), the difference is
made here, beside the pandas call. Wilder's indicators are written out, and checked against TA-Lib where nothing is missing.
"""

import math
import pathlib
import random

import numpy as np
import pandas as pd
import talib

OUT = pathlib.Path(__file__).parent / "features"
DAYS = pathlib.Path(__file__).parents[2] / "examples/data"
SYMBOL = "BTC/USD"


def raw():
    """120 hourly candles with gaps in time and in values, and 90 scores at odd moments."""
    rng = random.Random(7)
    price, when, candles = 100.0, pd.Timestamp("2024-02-27T20:00:00Z"), []
    for i in range(120):
        when += pd.Timedelta(hours=rng.choice([1, 1, 1, 1, 2, 5]))
        start, price = price, price * math.exp(rng.gauss(0, 0.02))
        high = max(start, price) * (1 + rng.random() * 0.01)
        low = min(start, price) * (1 - rng.random() * 0.01)
        volume = 0.0 if i in (15, 60) else rng.expovariate(1 / 50)
        candles.append((when, *(round(x, 4) for x in (start, high, low, price, volume))))
    prices = pd.DataFrame(candles, columns=["timestamp", "open", "high", "low", "close", "volume"])
    prices.loc[[40, 41, 77], "close"] = np.nan
    # Prices that stand still, where deviations are 0.
    prices.loc[90:97, "open"] = 101.1
    moments = sorted(rng.sample(range(15, 120 * 90, 7), 90))
    first = prices.timestamp[0] - pd.Timedelta(hours=3)
    scores = pd.DataFrame({
        "timestamp": [first + pd.Timedelta(minutes=m) for m in moments],
        "score": [round(rng.uniform(-1, 1), 4) for _ in moments],
    })
    scores.loc[[10, 50, 51], "score"] = np.nan
    return prices.set_index("timestamp"), scores.set_index("timestamp")


def over_time(x, width, f):
    """A window of time: pandas' rows (t - width, t], but missing unless an older row is there and nothing is missing."""
    width = pd.Timedelta(width)
    rolled = f(x.rolling(width))
    missing = x.isna().astype(float).rolling(width).sum() > 0
    short = x.index[0] > x.index - width
    return rolled.mask(missing | short)


def wilder(values, n):
    """The mean of the first n, then (avg * (n - 1) + x) / n; a missing value begins anew."""
    out, seed, average = [], [], None
    for x in values:
        if math.isnan(x):
            seed, average = [], None
        elif average is not None:
            average = (average * (n - 1) + x) / n
        else:
            seed.append(x)
            if len(seed) == n:
                average = sum(seed) / n
        out.append(math.nan if average is None else average)
    return np.array(out)


def rsi(x, n):
    change = x.diff()
    gain = wilder(change.where(change.isna() | (change > 0), 0.0), n)
    loss = wilder((-change).where(change.isna() | (change < 0), 0.0), n)
    return pd.Series(np.where(gain + loss == 0, 0.0, 100 * gain / (gain + loss)), index=x.index)


def atr(high, low, close, n):
    before = close.shift(1)
    ranges = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1, skipna=False)
    return pd.Series(wilder(ranges, n), index=close.index)


def ema(x, span):
    return x.ewm(span=span, adjust=False).mean()


def ratio(x, y):
    """As `/`, but missing where y is 0."""
    return x / y.mask(y == 0)


def day_mean(x):
    return x.groupby(x.index.floor("D")).expanding().mean().droplevel(0)


def check_against_talib(p):
    def same(ours, theirs):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)

    same(rsi(p.open, 14), talib.RSI(p.open, 14))
    same(rsi(p.high, 5), talib.RSI(p.high, 5))
    same(atr(p.high, p.low, p.open, 14), talib.ATR(p.high, p.low, p.open, 14))
    upper, _, lower = talib.BBANDS(p.open, 20, 2, 2, 0)
    same(p.open.rolling(20).mean() + 2 * p.open.rolling(20).std(ddof=0), upper)
    same(p.open.rolling(20).mean() - 2 * p.open.rolling(20).std(ddof=0), lower)


def running_std(rolled, ddof=1):
    return rolled.std(ddof=ddof)


def own_std(rolled, ddof=1):
    """Of each window by itself: the running one keeps rounding errors of rows that have left (1e-8 where it should be 0)."""
    return rolled.apply(lambda x: 0.0 if (x == x[0]).all() else x.std(ddof=ddof), raw=True)


def features(p, s, limits, unit, middle, std):
    """Expression and expected column, by the feature's name. Scores are the column `s.name` of the source `news`; windows
    of time count in `unit`; prices lie around `middle`, and
    `std` is the deviation of a rolling object."""
    joined = lambda column: as_of(p, column, *limits)
    o, c, v = p.open, p.close, p.volume
    t = p.index.to_series()
    score = f"news.{s.name}"
    hours = lambda n: pd.Timedelta(f"{n}{unit}".replace("d", "D"))
    low, high = middle * 0.95, middle * 1.05
    out = {
        "lag_3": ("lag(close, 3)", c.shift(3)),
        "diff_2": ("diff(close, 2)", c.diff(2)),
        "return_1": ("return(close, 1)", c.pct_change(1, fill_method=None)),
        "return_volume": ("return(volume, 1)", v.pct_change(1, fill_method=None)),
        "log_return_5": ("log_return(close, 5)", np.log(c / c.shift(5))),
        "mean_7": ("rolling_mean(close, 7)", c.rolling(7).mean()),
        "std_7": ("rolling_std(close, 7)", std(c.rolling(7))),
        "std_flat": ("rolling_std(open, 4)", std(o.rolling(4))),
        "min_5": ("rolling_min(close, 5)", c.rolling(5).min()),
        "max_5": ("rolling_max(close, 5)", c.rolling(5).max()),
        "median_6": ("rolling_median(close, 6)", c.rolling(6).median()),
        "sum_4": ("rolling_sum(volume, 4)", v.rolling(4).sum()),
        "quantile_9": ("rolling_quantile(close, 9, 0.3)", c.rolling(9).quantile(0.3, interpolation="linear")),
        "mean_6h": (f"rolling_mean(close, 6{unit})", over_time(c, hours(6), lambda r: r.mean())),
        "std_1d": (f"rolling_std(open, 24{unit})", over_time(o, hours(24), std)),
        "max_90m": ("rolling_max(open, 90m)", over_time(o, "90min", lambda r: r.max())),
        "ema_10": ("ema(close, 10)", ema(c, 10)),
        "zscore_20": ("zscore(close, 20)", (c - c.rolling(20).mean()) / std(c.rolling(20))),
        "zscore_flat": ("zscore(open, 4)", (o - o.rolling(4).mean()) / std(o.rolling(4))),
        "rsi_14": ("rsi(open, 14)", rsi(o, 14)),
        "rsi_gap": ("rsi(close, 5)", rsi(c, 5)),
        "macd": ("macd(close, 12, 26)", ema(c, 12) - ema(c, 26)),
        "macd_signal": ("macd_signal(close, 12, 26, 9)", ema(ema(c, 12) - ema(c, 26), 9)),
        "upper": ("bollinger_upper(open, 20, 2)", o.rolling(20).mean() + 2 * std(o.rolling(20), 0)),
        "lower": ("bollinger_lower(open, 20, 2.5)", o.rolling(20).mean() - 2.5 * std(o.rolling(20), 0)),
        "atr_14": ("atr(high, low, open, 14)", atr(p.high, p.low, o, 14)),
        "atr_gap": ("atr(high, low, close, 5)", atr(p.high, p.low, c, 5)),
        "hour": ("hour(timestamp)", t.dt.hour),
        "day_of_week": ("day_of_week(timestamp)", t.dt.day_of_week),
        "day_of_month": ("day_of_month(timestamp)", t.dt.day),
        "month": ("month(timestamp)", t.dt.month),
        "log": ("log(volume)", np.log(v)),
        "log1p": ("log1p(volume)", np.log1p(v)),
        "sqrt": ("sqrt(close - open)", np.sqrt(c - o)),
        "abs": ("abs(close - open)", (c - o).abs()),
        "min": (f"min(open, close, {middle})", np.minimum(np.minimum(o, c), middle)),
        "max": ("max(open, close)", np.maximum(o, c)),
        "clip": (f"clip(close, {low}, {high / 100}e2)", c.clip(low, high / 100 * 1e2)),
        "ratio": ("close / rolling_mean(close, 7) - 1", c / c.rolling(7).mean() - 1),
        "range": ("-(low - high) / (open + 2 * close)", -(p.low - p.high) / (o + 2 * c)),
        "mood": (score, joined(s)),
        "mood_mean_3": (f"rolling_mean({score}, 3)", joined(s.rolling(3).mean())),
        "mood_1d": (f"rolling_mean({score}, 24{unit})", joined(over_time(s, hours(24), lambda r: r.mean()))),
        "mood_change": (f"{score} - lag({score}, 1)", joined(s.diff(1))),
        "mood_and_price": (f"return(open, 1) * {score}", o.pct_change(1) * joined(s)),
        "mood_times_price": (f"rolling_sum(open * {score}, 3)", (o * joined(s)).rolling(3).sum()),
        "mood_hour": ("hour(news.timestamp)", joined(s.index.to_series().dt.hour)),
        "count_5": ("rolling_count(close, 5)", c.notna().astype(float).rolling(5).sum()),
        "count_7": (f"rolling_count(close, 7{unit})", over_time(c.notna().astype(float), hours(7), lambda r: r.sum())),
        "mood_count": (f"rolling_count({score}, 30{unit})", joined(over_time(s.notna().astype(float), hours(30), lambda r: r.sum()))),
        "volume_ratio_5": ("volume_ratio(volume, 5)", ratio(v, v.rolling(5).mean())),
        "volume_ratio_9": (f"volume_ratio(volume, 9{unit})", ratio(v, over_time(v, hours(9), lambda r: r.mean()))),
        "min_9": (f"rolling_min(close, 9{unit})", over_time(c, hours(9), lambda r: r.min())),
        "median_8": (f"rolling_median(open, 8{unit})", over_time(o, hours(8), lambda r: r.median())),
        "quantile_1": ("rolling_quantile(volume, 3, 1)", v.rolling(3).quantile(1.0)),
        "quantile_mood": (f"rolling_quantile({score}, 8, 0.05)", joined(s.rolling(8).quantile(0.05))),
        "mood_std_6": (f"rolling_std({score}, 6)", joined(std(s.rolling(6)))),
        "zscore_30": (f"zscore(high, 30{unit})", (p.high - over_time(p.high, hours(30), lambda r: r.mean())) / over_time(p.high, hours(30), std)),
        "upper_12": (f"bollinger_upper(low, 12{unit}, 1.5)", over_time(p.low, hours(12), lambda r: r.mean()) + 1.5 * over_time(p.low, hours(12), lambda r: std(r, 0))),
        "day_mean": ("day_mean(close)", day_mean(c)),
        "day_mood": (f"day_mean({score})", joined(day_mean(s))),
        "ratio_xy": ("min(ratio(open, volume), 3)", np.minimum(ratio(o, v), 3)),
        "difference": ("difference(high, low)", p.high - p.low),
        "coalesce": ("coalesce(close, open, 1)", c.fillna(o).fillna(1)),
        "coalesce_mood": (f"coalesce({score}, lag(close, 2), -1)", joined(s).fillna(c.shift(2)).fillna(-1)),
        "exp": ("exp(log_return(close, 2) * 10)", np.exp(np.log(c / c.shift(2)) * 10)),
        "sign": ("sign(close - open)", np.sign(c - o)),
        "sign_volume": ("sign(volume)", np.sign(v)),
        "log_mood": (f"log({score})", np.log(joined(s))),
        "log_mood_change": (f"log_return({score}, 1)", joined(np.log(s / s.shift(1)))),
        "mood_return": (f"return({score}, 2)", joined(s.pct_change(2, fill_method=None))),
        "minute": ("minute(news.timestamp)", joined(s.index.to_series().dt.minute)),
        "is_weekend": ("is_weekend(timestamp)", (t.dt.day_of_week >= 5).astype(float)),
        "day_of_year": ("day_of_year(timestamp)", t.dt.day_of_year),
        "week_of_year": ("week_of_year(timestamp)", t.dt.isocalendar().week.astype(float)),
        "quarter": ("quarter(timestamp)", t.dt.quarter),
        "year": ("year(timestamp)", t.dt.year),
    }
    return out


def as_of(p, column, delay, max_age):
    """The newest score that is visible at a candle, and not older than the limit since it became so."""
    right = column.rename("value").to_frame()
    right.index = right.index + pd.Timedelta(delay)
    left = pd.DataFrame(index=p.index)
    joined = pd.merge_asof(left, right, left_index=True, right_index=True, tolerance=pd.Timedelta(max_age))
    return joined.value


def days():
    """The real days: candles, and the score of each day's news."""
    def read(name):
        return pd.read_csv(DAYS / name, comment="#", parse_dates=["timestamp"]).set_index("timestamp").tz_localize("UTC")

    return read("price_data.csv").drop(columns="symbol").astype(float), read("sentiment_data.csv").vader


ABOUT = f"# made by tests/golden/make_features.py with pandas {pd.__version__}, numpy {np.__version__}, TA-Lib {talib.__version__}\n"


def write(name, frame, key, lead=""):
    frame = frame.replace([np.inf, -np.inf], np.nan)
    frame.insert(0, "timestamp", frame.index.strftime("%Y-%m-%dT%H:%M:%SZ"))
    frame.insert(0, key, SYMBOL)
    (OUT / name).write_text(ABOUT + lead + frame.to_csv(index=False))


def declared(name, made, price, news):
    lines = [f"  {name}:", "    entity: symbol", "    sources:", f"      price: {{ table: price_data{price} }}",
             f"      news:  {{ table: sentiment_data, join: as_of, {news} }}", "    features:"]
    return lines + [f'      {name}: "{expression}"' for name, (expression, _) in made.items()]


def columns(made):
    return pd.DataFrame({name: column for name, (_, column) in made.items()})


def main():
    OUT.mkdir(exist_ok=True)
    prices, scores = raw()
    candles, moods = days()
    with np.errstate(all="ignore"):
        check_against_talib(prices)
        check_against_talib(candles)
        made = features(prices, scores.score, ("30min", "6h"), "h", 100, running_std)
        real = features(candles, moods, ("0h", "3D"), "d", 30000, own_std)
    write("prices.csv", prices.copy(), "symbol", "# invented prices\n")
    write("news.csv", scores.copy(), "symbol", "# invented scores\n")
    write("expected.csv", columns(made), "entity")
    # Both sources are known a day later, so each day still sees its own score.
    expected = columns(real)[::37]
    expected.index = expected.index + pd.Timedelta("1D")
    write("days-expected.csv", expected, "entity")
    lines = [ABOUT + "feature_sets:", *declared("golden", made, "", "max_age: 6h, delay: 30m"),
             *declared("days", real, ", delay: 1d", "max_age: 3d, delay: 1d")]
    (OUT / "features.yaml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
