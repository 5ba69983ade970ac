"""Makes a Feast project with the views of the suites and fills its online store.

Usage: feast-fill.py FOLDER ROWS, where FOLDER holds feature_store.yaml and ROWS is a JSON file:
{"join_key": name, "views": {view: {"features": {name: "int32" | "float32" | "float64"}, "columns": {name: [values]}}}}
"""

import json
import sys
from datetime import datetime, timedelta, timezone

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float32, Float64, Int32
from feast.value_type import ValueType

TYPES = {"int32": Int32, "float32": Float32, "float64": Float64}
ROWS_AT_ONCE = 2000

folder, rows_file = sys.argv[1:]
with open(rows_file) as file:
    rows = json.load(file)
store = FeatureStore(repo_path=folder)
entity = Entity(name="route", join_keys=[rows["join_key"]], value_type=ValueType.STRING)
views = [
    FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(0),
        schema=[Field(name=feature, dtype=TYPES[kind]) for feature, kind in view["features"].items()],
        source=FileSource(name=name + "_source", path=folder + "/none.parquet", timestamp_field="event_timestamp"),
    )
    for name, view in rows["views"].items()
]
pd.DataFrame({"event_timestamp": pd.to_datetime([], utc=True)}).to_parquet(folder + "/none.parquet")
store.apply([entity, *views])
now = datetime.now(timezone.utc)
for name, view in rows["views"].items():
    frame = pd.DataFrame(view["columns"])
    frame["event_timestamp"] = now
    for start in range(0, len(frame), ROWS_AT_ONCE):
        store.write_to_online_store(name, frame[start : start + ROWS_AT_ONCE])
