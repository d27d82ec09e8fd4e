"""Bodies as MLflow's clients send them: python make_mlflow_requests.py, with pandas 3.1.1 and pyarrow 26.0.1.

The first rows of lightgbm/binary/golden.csv without infinities, as Parquet files of several compressions. `bomb.parquet`
holds one text of a megabyte in every row, in a dictionary.
"""
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = 12

lines = open(os.path.join(HERE, "lightgbm/binary/golden.csv")).read().splitlines()
kept = [line for line in lines[1:] if "inf" not in line][:ROWS]
path = os.path.join(HERE, "mlflow", "requests")
os.makedirs(path, exist_ok=True)
frame = pd.DataFrame(
    [[float(cell) if cell else float("nan") for cell in line.split(",")[:30]] for line in kept],
    columns=lines[0].split(",")[:30],
)
frame["patient"] = [f"p{at}" for at in range(len(frame))]
for name, compression in [("snappy", "snappy"), ("zstd", "zstd"), ("plain", None), ("gzip", "gzip")]:
    frame.to_parquet(os.path.join(path, f"{name}.parquet"), compression=compression)
bomb = pa.table({"mean_radius": pa.array(["x" * 1_000_000] * 9_000)})
pq.write_table(bomb, os.path.join(path, "bomb.parquet"), compression="zstd", write_statistics=False)
