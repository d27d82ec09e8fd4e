"""Makes tests/golden/features/: raw rows, declarations, and the features that pandas and TA-Lib's definitions give.

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
SYMBOL = "BTC/USD"
DELAY, MAX_AGE = "30min", "6h"


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


def check_against_talib(p):
    def same(ours, theirs):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)

    same(rsi(p.open, 14), talib.RSI(p.open, 14))
    same(rsi(p.high, 5), talib.RSI(p.high, 5))
    same(atr(p.high, p.low, p.open, 14), talib.ATR(p.high, p.low, p.open, 14))
    upper, _, lower = talib.BBANDS(p.open, 20, 2, 2, 0)
    same(p.open.rolling(20).mean() + 2 * p.open.rolling(20).std(ddof=0), upper)
    same(p.open.rolling(20).mean() - 2 * p.open.rolling(20).std(ddof=0), lower)


def features(p, s):
    """Expression and expected column, by the feature's name."""
    joined = lambda column: as_of(p, column)
    o, c, v = p.open, p.close, p.volume
    t = p.index.to_series()
    out = {
        "lag_3": ("lag(close, 3)", c.shift(3)),
        "diff_2": ("diff(close, 2)", c.diff(2)),
        "return_1": ("return(close, 1)", c.pct_change(1, fill_method=None)),
        "return_volume": ("return(volume, 1)", v.pct_change(1, fill_method=None)),
        "log_return_5": ("log_return(close, 5)", np.log(c / c.shift(5))),
        "mean_7": ("rolling_mean(close, 7)", c.rolling(7).mean()),
        "std_7": ("rolling_std(close, 7)", c.rolling(7).std()),
        "std_flat": ("rolling_std(open, 4)", o.rolling(4).std()),
        "min_5": ("rolling_min(close, 5)", c.rolling(5).min()),
        "max_5": ("rolling_max(close, 5)", c.rolling(5).max()),
        "median_6": ("rolling_median(close, 6)", c.rolling(6).median()),
        "sum_4": ("rolling_sum(volume, 4)", v.rolling(4).sum()),
        "quantile_9": ("rolling_quantile(close, 9, 0.3)", c.rolling(9).quantile(0.3, interpolation="linear")),
        "mean_6h": ("rolling_mean(close, 6h)", over_time(c, "6h", lambda r: r.mean())),
        "std_1d": ("rolling_std(open, 1d)", over_time(o, "24h", lambda r: r.std())),
        "max_90m": ("rolling_max(open, 90m)", over_time(o, "90min", lambda r: r.max())),
        "ema_10": ("ema(close, 10)", ema(c, 10)),
        "zscore_20": ("zscore(close, 20)", (c - c.rolling(20).mean()) / c.rolling(20).std()),
        "zscore_flat": ("zscore(open, 4)", (o - o.rolling(4).mean()) / o.rolling(4).std()),
        "rsi_14": ("rsi(open, 14)", rsi(o, 14)),
        "rsi_gap": ("rsi(close, 5)", rsi(c, 5)),
        "macd": ("macd(close, 12, 26)", ema(c, 12) - ema(c, 26)),
        "macd_signal": ("macd_signal(close, 12, 26, 9)", ema(ema(c, 12) - ema(c, 26), 9)),
        "upper": ("bollinger_upper(open, 20, 2)", o.rolling(20).mean() + 2 * o.rolling(20).std(ddof=0)),
        "lower": ("bollinger_lower(open, 20, 2.5)", o.rolling(20).mean() - 2.5 * o.rolling(20).std(ddof=0)),
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
        "min": ("min(open, close, 100)", np.minimum(np.minimum(o, c), 100)),
        "max": ("max(open, close)", np.maximum(o, c)),
        "clip": ("clip(close, 95, 1.05e2)", c.clip(95, 105)),
        "ratio": ("close / rolling_mean(close, 7) - 1", c / c.rolling(7).mean() - 1),
        "range": ("-(low - high) / (open + 2 * close)", -(p.low - p.high) / (o + 2 * c)),
        "mood": ("news.score", joined(s.score)),
        "mood_mean_3": ("rolling_mean(news.score, 3)", joined(s.score.rolling(3).mean())),
        "mood_1d": ("rolling_mean(news.score, 1d)", joined(over_time(s.score, "24h", lambda r: r.mean()))),
        "mood_change": ("news.score - lag(news.score, 1)", joined(s.score.diff(1))),
        "mood_and_price": ("return(open, 1) * news.score", o.pct_change(1) * joined(s.score)),
        "mood_times_price": ("rolling_sum(open * news.score, 3)", (o * joined(s.score)).rolling(3).sum()),
        "mood_hour": ("hour(news.timestamp)", joined(s.index.to_series().dt.hour)),
    }
    return out


def as_of(p, column):
    """The newest score that is visible at a candle, and not older than the limit since it became so."""
    right = column.rename("value").to_frame()
    right.index = right.index + pd.Timedelta(DELAY)
    left = pd.DataFrame(index=p.index)
    joined = pd.merge_asof(left, right, left_index=True, right_index=True, tolerance=pd.Timedelta(MAX_AGE))
    return joined.value


def main():
    prices, scores = raw()
    with np.errstate(all="ignore"):
        check_against_talib(prices)
        made = features(prices, scores)
    about = f"# made by tests/golden/make_features.py with pandas {pd.__version__}, numpy {np.__version__}, TA-Lib {talib.__version__}\n"
    OUT.mkdir(exist_ok=True)

    def write(name, frame, key, lead):
        frame = frame.replace([np.inf, -np.inf], np.nan)
        frame.insert(0, "timestamp", frame.index.strftime("%Y-%m-%dT%H:%M:%SZ"))
        frame.insert(0, key, SYMBOL)
        (OUT / name).write_text(about + lead + frame.to_csv(index=False))

    write("prices.csv", prices.copy(), "symbol", "# invented prices\n")
    write("news.csv", scores.copy(), "symbol", "# invented scores\n")
    write("expected.csv", pd.DataFrame({name: column for name, (_, column) in made.items()}), "entity", "")
    lines = [
        about + "feature_sets:",
        "  golden:",
        "    entity: symbol",
        "    sources:",
        "      price: { table: price_data }",
        "      news:  { table: sentiment_data, join: as_of, max_age: 6h, delay: 30m }",
        "    features:",
    ]
    lines += [f'      {name}: "{expression}"' for name, (expression, _) in made.items()]
    (OUT / "features.yaml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
