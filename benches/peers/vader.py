"""VADER's scores of headlines by the Python package, beside `cargo bench -p serve-benches --bench vader`.

    python3 -m venv .venv && .venv/bin/pip install vaderSentiment==3.3.2 && .venv/bin/python benches/peers/vader.py
"""
import pathlib
import statistics
import time

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

ROUNDS, REPETITIONS = 9, 20
headlines = (pathlib.Path(__file__).parent.parent / "data/headlines.txt").read_text("utf-8").splitlines()
analyzer = SentimentIntensityAnalyzer()


def once():
    start = time.process_time_ns()
    for _ in range(REPETITIONS):
        for text in headlines:
            analyzer.polarity_scores(text)
    return (time.process_time_ns() - start) / REPETITIONS / len(headlines)


once()
times = [once() for _ in range(ROUNDS)]
print(f"{len(headlines)} headlines: {statistics.median(times):,.0f} ns each ({min(times):,.0f} to {max(times):,.0f})")
