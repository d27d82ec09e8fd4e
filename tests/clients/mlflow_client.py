"""MLflow's own client, and KServe's V1, against a running server: `python mlflow_client.py http://127.0.0.1:8000 [MODEL]`.

The server has the model of tests/golden/lightgbm/binary as MODEL, `cells` if not said, and as its default model. Needs
`pip install mlflow-skinny pandas requests pyarrow` (mlflow-skinny 3.5.1 was tried), and for KServe's part `kserve`, which is
skipped where it is not installed. Exits with 0 when the answers are LightGBM's, and with 77 (skipped) without MLflow.
"""

import asyncio
import io
import os
import sys
from urllib.parse import urlsplit

try:
    import numpy as np
    import pandas as pd
    import requests
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
except ImportError as error:
    print(f"skipped mlflow: {error}")
    sys.exit(77)

server = sys.argv[1].rstrip("/")
model = sys.argv[2] if len(sys.argv) > 2 else "cells"
golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/lightgbm/binary/golden.csv")
table = pd.read_csv(golden, float_precision="round_trip")
rows, expected = table.iloc[:, :30], table.iloc[:, 31:].to_numpy()


def close(got, expected=expected):
    assert np.shape(got) == expected.shape, (np.shape(got), expected.shape)
    assert np.abs(np.array(got) - expected).max() <= 1e-12


host, port = urlsplit(server).hostname, urlsplit(server).port
for at in [port, f"{port}/models/{model}"]:
    client = ScoringServerClient(host, at)
    client.wait_server_ready(timeout=10)
    close(client.invoke(rows).get_predictions(predictions_format="ndarray"))
    close(client.invoke(rows[rows.columns[::-1]], params={"unused": 1}).get_predictions())
    close(client.invoke(rows.to_numpy()).get_predictions())
    close(client.invoke({"instances": rows.to_dict(orient="records")}).get_predictions())
    try:
        client.invoke({"inputs": [[1]], "instances": [[1]]})
        raise AssertionError("two fields were taken")
    except Exception as error:
        assert "exactly one of the input fields" in str(error) and "error code 400" in str(error), error
print("mlflow: version", ScoringServerClient(host, port).get_version())

for kind, body in [
    ("text/csv", rows.to_csv().encode()),
    ("text/csv; charset=utf-8", rows.to_csv(index=False, na_rep="NaN").encode()),
]:
    close(requests.post(f"{server}/invocations", data=body, headers={"Content-Type": kind}).json()["predictions"])
for compression in ["snappy", "zstd", None]:
    file = io.BytesIO()
    rows.to_parquet(file, compression=compression)
    reply = requests.post(
        f"{server}/invocations",
        data=file.getvalue(),
        headers={"Content-Type": "application/vnd.apache.parquet"},
    )
    assert reply.status_code == 200, reply.text
    # NaN and infinities are in the file; its answers are LightGBM's all the same.
    close(reply.json()["predictions"])
print(f"mlflow: {len(rows)} rows in JSON, CSV and Parquet are LightGBM's")

try:
    from kserve import InferenceRESTClient, RESTConfig
except ImportError as error:
    print(f"skipped kserve: {error}")
    sys.exit(0)


async def kserve():
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_model_ready(server, model)
    finite = np.isfinite(rows.to_numpy()).all(axis=1)
    data = {"instances": rows[finite].to_numpy().tolist()}
    answer = await client.infer(server, data, model_name=model)
    close(answer["predictions"], expected[finite])
    explained = await client.explain(server, data, model_name=model)
    assert len(explained["explanations"]) == finite.sum()


asyncio.run(kserve())
print("kserve: V1 predictions are LightGBM's")
