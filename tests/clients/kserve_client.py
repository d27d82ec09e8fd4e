"""KServe's InferenceRESTClient: `python kserve_client.py http://127.0.0.1:8000` of the server that `run` starts."""

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

import golden

URL = sys.argv[1].rstrip("/")
_, ROWS, LABELS, SCORES = golden.cells()


def check(response, labels=LABELS, scores=SCORES):
    got = {output.name: output.as_numpy() for output in response.outputs}
    assert np.array_equal(got["predict"][:, 0].astype(float), labels)
    assert np.abs(got["predict_proba"] - scores).max() <= 1e-12


def request(array, binary, **named):
    given = InferInput("input", list(array.shape), "FP64")
    given.set_data_from_numpy(array, binary_data=binary)
    return InferRequest("cells", [given], **named)


async def version_two(client):
    assert await client.is_server_live(URL) and await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, "cells") and not await client.is_model_ready(URL, "nope")
    check(await client.infer(URL, request(ROWS, True, request_id="x"), model_name="cells"))
    both = {"binary_data_output": True}
    check(await client.infer(URL, request(ROWS, True, parameters=both), model_name="cells"))
    wanted = [RequestedOutput("predict", {"binary_data": True}), RequestedOutput("predict_proba")]
    check(await client.infer(URL, request(ROWS, True, request_outputs=wanted), model_name="cells"))
    finite = np.isfinite(ROWS).all(axis=1)
    answer = await client.infer(URL, request(ROWS[finite], False, request_id="y"), model_name="cells")
    check(answer, LABELS[finite], SCORES[finite])
    # This client does not keep the answer's model_version.
    assert (answer.id, answer.model_name) == ("y", "cells")
    generated = await client.infer(URL, request(ROWS[finite], False), model_name="cells")
    assert generated.id
    try:
        await client.infer(URL, request(ROWS, True), model_name="nope")
    except httpx.HTTPStatusError as error:
        assert "Request for unknown model" in str(error) and error.response.status_code == 404
    else:
        raise AssertionError("an unknown model was answered")


async def version_one(client):
    finite = np.isfinite(ROWS).all(axis=1)
    answer = await client.infer(URL, {"instances": ROWS[finite].tolist()}, model_name="cells")
    assert np.abs(np.array(answer["predictions"]) - SCORES[finite]).max() <= 1e-12
    assert await client.is_model_ready(URL, "cells")


async def main():
    parts = {"v2": version_two}
    # The paths of version one stand in the list of paths once the server has them.
    if any("/v1/models" in path for path in str(httpx.get(URL).json()).split("'")):
        parts["v1"] = version_one
    for protocol, part in parts.items():
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            await part(client)
        print(f"kserve: {protocol}")


asyncio.run(main())
