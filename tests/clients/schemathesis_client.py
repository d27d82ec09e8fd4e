"""schemathesis: `python schemathesis_client.py http://127.0.0.1:8000` of the server that `run` starts.

It makes requests of the OpenAPI document, good and bad ones, and must find nothing in the answers that the document does not say.
"""

import pathlib
import subprocess
import sys
import tempfile

URL = sys.argv[1].rstrip("/")
SEEDS = ["1"]

program = pathlib.Path(sys.executable).with_name("st")
with tempfile.TemporaryDirectory() as folder:
    for seed in SEEDS:
        flags = ["--max-examples", "10", "--workers", "2", "--seed", seed, "--generation-database", "none"]
        subprocess.run([program, "run", f"{URL}/openapi.json", *flags], cwd=folder, check=True)
