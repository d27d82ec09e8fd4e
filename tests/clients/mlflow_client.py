"""MLflow's own client against a running server: `python mlflow_client.py http://127.0.0.1:8000 [MODEL]`.

The server has the model of tests/golden/lightgbm/binary as MODEL, `cells` if not said. Needs
what requirements-mlflow.txt names. Exits with 0 when the answers are LightGBM's.
"""

import io
import json
import os
import sys
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import requests
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

server = sys.argv[1].rstrip("/")
model = sys.argv[2] if len(sys.argv) > 2 else "cells"
golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/lightgbm/binary/golden.csv")
table = pd.read_csv(golden, float_precision="round_trip")
rows, expected = table.iloc[:, :30], table.iloc[:, 31:].to_numpy()


def close(got, expected=expected):
    assert np.shape(got) == expected.shape, (np.shape(got), expected.shape)
    assert np.abs(np.array(got) - expected).max() <= 1e-12


host, port = urlsplit(server).hostname, urlsplit(server).port
# The server's own paths are the default model's.
default = requests.get(f"{server}/model/info", timeout=10).json().get("name") == model
for at in [port, f"{port}/models/{model}"] if default else [f"{port}/models/{model}"]:
    client = ScoringServerClient(host, at)
    client.wait_server_ready(timeout=10)
    close(client.invoke(rows).get_predictions(predictions_format="ndarray"))
    close(client.invoke(rows[rows.columns[::-1]], params={"unused": 1}).get_predictions())
    close(client.invoke(rows.to_numpy()).get_predictions())

def post(body, kind="application/json"):
    path = f"{server}/models/{model}/invocations"
    return requests.post(path, data=body, headers={"Content-Type": kind}, timeout=10)


# What the client itself does not send: it cannot unpack a dict.
finite = np.isfinite(rows.to_numpy()).all(axis=1)
records = json.dumps({"instances": rows[finite].to_dict(orient="records")})
close(post(records).json()["predictions"], expected[finite])
two = post(json.dumps({"inputs": [[1]], "instances": [[1]]}))
assert two.status_code == 400 and "exactly one of the input fields" in two.json()["message"], two.text
print("mlflow: version", ScoringServerClient(host, port).get_version())

for kind, body in [
    ("text/csv", rows.to_csv().encode()),
    ("text/csv; charset=utf-8", rows.to_csv(index=False, na_rep="NaN").encode()),
]:
    close(post(body, kind).json()["predictions"])
for compression in ["snappy", "zstd", None]:
    file = io.BytesIO()
    rows.to_parquet(file, compression=compression)
    reply = post(file.getvalue(), "application/vnd.apache.parquet")
    assert reply.status_code == 200, reply.text
    # NaN and infinities are in the file; its answers are LightGBM's all the same.
    close(reply.json()["predictions"])
print(f"mlflow: {len(rows)} rows in JSON, CSV and Parquet are LightGBM's")
