"""NVIDIA's tritonclient over HTTP: `python tritonclient_client.py http://127.0.0.1:8000` of the server that `run` starts."""

import asyncio
import sys
import time

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

import golden

HOST = sys.argv[1].split("//", 1)[1].rstrip("/")
NAMES, ROWS, LABELS, SCORES = golden.cells()


def tensor(name, array, datatype, binary=True):
    given = triton.InferInput(name, list(array.shape), datatype)
    return given.set_data_from_numpy(array, binary_data=binary)


def check(result, labels=LABELS, scores=SCORES):
    assert np.array_equal(result.as_numpy("predict")[:, 0].astype(float), labels)
    assert np.abs(result.as_numpy("predict_proba") - scores).max() <= 1e-12


def refused(status, words, call, *args, **named):
    try:
        call(*args, **named)
    except InferenceServerException as error:
        assert (error.status(), words in error.message()) == (status, True), error
    else:
        raise AssertionError(f"{words} was answered")


def describe(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("cells") and client.is_model_ready("cells", "v1")
    assert not client.is_model_ready("nope")
    extensions = client.get_server_metadata()["extensions"]
    assert {"binary_tensor_data", "classification", "model_repository", "statistics"} <= set(extensions)
    metadata, config = client.get_model_metadata("cells"), client.get_model_config("cells", "v1")
    assert metadata["inputs"][0]["shape"] == [-1, 30] and metadata["versions"] == ["v1"]
    assert config["input"][0]["dims"] == [30] and config["input"][0]["data_type"] == "TYPE_FP64"
    assert config["max_batch_size"] > 1
    refused("404", "Request for unknown model", client.get_model_metadata, "nope")
    refused("404", "Request for unknown model", client.get_model_config, "cells", "v9")


def infer(client):
    matrix = tensor("input", ROWS, "FP64")
    check(client.infer("cells", [matrix], request_id="x"))
    assert client.infer("cells", [matrix], request_id="x").get_response()["id"] == "x"
    check(client.infer("cells", [matrix], model_version="v1", priority=1, timeout=20_000_000))
    for packing in ("gzip", "deflate"):
        check(client.infer("cells", [matrix], request_compression_algorithm=packing))
        check(client.infer("cells", [matrix], response_compression_algorithm=packing))
    wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in ("predict", "predict_proba")]
    check(client.infer("cells", [matrix], outputs=wanted, response_compression_algorithm="gzip"))
    mixed = [triton.InferRequestedOutput("predict"), wanted[1]]
    check(client.infer("cells", [matrix], outputs=mixed))
    finite = np.isfinite(ROWS).all(axis=1)
    check(
        client.infer("cells", [tensor("input", ROWS[finite], "FP64", binary=False)], outputs=wanted),
        LABELS[finite],
        SCORES[finite],
    )
    single = client.infer("cells", [tensor("input", ROWS[:5].astype(np.float32), "FP32")])
    again = client.infer("cells", [tensor("input", ROWS[:5].astype(np.float32).astype(float), "FP64")])
    assert np.array_equal(single.as_numpy("predict_proba"), again.as_numpy("predict_proba"))
    half = client.infer("cells", [tensor("input", ROWS[:5].astype(np.float16), "FP16")])
    again = client.infer("cells", [tensor("input", ROWS[:5].astype(np.float16).astype(float), "FP64")])
    assert np.array_equal(half.as_numpy("predict_proba"), again.as_numpy("predict_proba"))
    columns = [tensor(name, ROWS[:, [at]], "FP64") for at, name in enumerate(NAMES)]
    check(client.infer("cells", columns))
    refused("400", "30", client.infer, "cells", [tensor("input", ROWS[:, :7].copy(), "FP64")])
    refused("404", "Request for unknown model", client.infer, "nope", [matrix])
    refused("408", "deadline", client.infer, "cells", [matrix], timeout=1)


def texts(client):
    columns, labels, scores = golden.shop()
    column = lambda name, values, binary: tensor(  # noqa: E731
        name, values.reshape(-1, 1), "BYTES" if values.dtype == object else "FP64", binary
    )
    for binary in (lambda at: True, lambda at: False, lambda at: at % 2 == 0):
        inputs = [column(name, values, binary(at)) for at, (name, values) in enumerate(columns.items())]
        check(client.infer("shop", inputs), labels, scores)


def classify(client):
    for binary in (True, False):
        wanted = triton.InferRequestedOutput("predict_proba", binary_data=binary, class_count=2)
        ranked = client.infer("cells", [tensor("input", ROWS, "FP64")], outputs=[wanted]).as_numpy("predict_proba")
        assert ranked.shape == (len(ROWS), 2)
        for best, scores in zip(ranked[:, 0], SCORES):
            best = best.decode() if isinstance(best, bytes) else best
            value, index, label = best.split(":")
            assert int(index) == scores.argmax() and label == str(scores.argmax())
            assert abs(float(value) - scores.max()) <= 1e-12


def count(client):
    [before] = client.get_inference_statistics("cells", "v1")["model_stats"]
    client.infer("cells", [tensor("input", ROWS[:3], "FP64")])
    refused("400", "30", client.infer, "cells", [tensor("input", ROWS[:, :7].copy(), "FP64")])
    [after] = client.get_inference_statistics("cells")["model_stats"]
    grown = lambda *path: value(after, path) - value(before, path)  # noqa: E731
    assert (grown("inference_count"), grown("execution_count")) == (3, 1)
    for what in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        expected = 1
        assert grown("inference_stats", what, "count") == expected, what
    assert grown("inference_stats", "compute_infer", "ns") > 0 and grown("inference_stats", "success", "ns") > 0
    assert after["last_inference"] > 1_600_000_000_000
    assert any(batch["batch_size"] == 3 for batch in after["batch_stats"])
    everything = client.get_inference_statistics()["model_stats"]
    assert {entry["name"] for entry in everything} >= {"cells", "shop"}


def value(entry, path):
    for key in path:
        entry = entry[key]
    return entry


def repository(client):
    state = lambda: {  # noqa: E731
        (entry["name"], entry["version"]): entry["state"] for entry in client.get_model_repository_index()
    }
    client.load_model("shop")
    assert state()["shop", "v1"] == "READY"
    client.unload_model("shop")
    # A request that has just been answered may still hold it.
    while (now := state()["shop", "v1"]) == "UNLOADING":
        time.sleep(0.01)
    assert now == "UNAVAILABLE" and not client.is_model_ready("shop"), now
    client.load_model("shop")
    assert state()["shop", "v1"] == "READY" and client.is_model_ready("shop")
    refused("404", "Request for unknown model", client.load_model, "nope")
    refused("404", "Request for unknown model", client.unload_model, "nope")


def later(client):
    requests = [client.async_infer("cells", [tensor("input", ROWS[at : at + 1], "FP64")]) for at in range(20)]
    for at, request in enumerate(requests):
        check(request.get_result(), LABELS[[at]], SCORES[[at]])


async def awaited():
    async with triton_aio.InferenceServerClient(HOST) as client:
        # aiohttp asks for gzip, and this client unpacks nothing but answers of infer.
        assert (await client.get_model_metadata("cells"))["name"] == "cells"
        assert len(await client.get_model_repository_index()) > 5
        matrix = tensor("input", ROWS, "FP64")
        results = await asyncio.gather(*(client.infer("cells", [matrix]) for _ in range(4)))
        for result in results:
            check(result)
        check(await client.infer("cells", [matrix], response_compression_algorithm="deflate"))


with triton.InferenceServerClient(HOST, concurrency=4) as client:
    for part in (describe, infer, texts, classify, count, repository, later):
        part(client)
        print(f"tritonclient: {part.__name__}")
asyncio.run(awaited())
print("tritonclient: awaited")
