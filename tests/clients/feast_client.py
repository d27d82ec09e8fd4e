"""Feast's own client against a running server: `python feast_client.py http://127.0.0.1:8000` of a `serve-server --demo`.

Needs `pip install feast` (0.67 was tried). Its feature store knows a view by name and types; values come from the server.
Exits with 0 when what Feast returns is what the server says, and with 77 (skipped) where Feast is not installed.
"""

import json
import sys
import tempfile
import urllib.request

try:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64
except ImportError as error:
    print(f"skipped feast: {error}")
    sys.exit(77)

server = sys.argv[1].rstrip("/")
FEATURES = ["return_1", "mood"]


def of_server(entity: str) -> dict:
    with urllib.request.urlopen(f"{server}/features/vader/{entity}") as reply:
        features = json.load(reply)["features"]
    return {name: features[name]["value"] for name in FEATURES}


with tempfile.TemporaryDirectory() as folder:
    config = RepoConfig(
        project="demo",
        provider="local",
        registry=f"{folder}/registry.db",
        online_store={"type": "remote", "path": server},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    symbol = Entity(name="symbol", join_keys=["symbol"], value_type=ValueType.STRING)
    source = FileSource(path=f"{folder}/none.parquet", timestamp_field="timestamp")
    view = FeatureView(
        name="vader",
        entities=[symbol],
        schema=[Field(name=name, dtype=Float64) for name in FEATURES],
        source=source,
    )
    store.registry.apply_entity(symbol, "demo")
    store.registry.apply_feature_view(view, "demo")
    rows = [{"symbol": "BTC/USD"}, {"symbol": "NOPE"}]
    got = store.get_online_features(features=[f"vader:{name}" for name in FEATURES], entity_rows=rows).to_dict()

expected = of_server("BTC%2FUSD")
for name in FEATURES:
    assert got[name] == [expected[name], None], (name, got[name], expected[name])
print(f"feast: {got}")
