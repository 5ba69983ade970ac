"""Feast's own SDK against a region: writes and reads every type through `online_store: {type: remote}`.

Environment: ANTIPODE_WRITE_URL and ANTIPODE_READ_URL (faces of two regions), FEAST_OIDC_TOKEN (a token with the right to
write). Prints one line per check and `N passed, N failed`; exits non-zero when one failed.
"""

import os
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType

WHEN = datetime(2026, 8, 1, 12, 0, 0, tzinfo=timezone.utc)
PASSED, FAILED = [], []


def check(name, got, wanted):
    (PASSED if got == wanted and type(got) is type(wanted) else FAILED).append(name)
    print(f"{'ok  ' if name in PASSED else 'FAIL'} {name}: {got!r}" + ("" if name in PASSED else f", wanted {wanted!r}"))


FIELDS = {
    "f_int32": (Int32, [-7, 2147483647]),
    "f_int64": (Int64, [9007199254740993, -9223372036854775808]),
    "f_float32": (Float32, [0.1, 3.0]),
    "f_float64": (Float64, [0.1, 1e300]),
    "f_bool": (Bool, [True, False]),
    "f_string": (String, ["grüße \U0001f600", ""]),
    "f_timestamp": (UnixTimestamp, [WHEN, WHEN - timedelta(days=1)]),
    "f_int32_list": (Array(Int32), [[1, 2], [3]]),
    "f_int64_list": (Array(Int64), [[9007199254740993], [-1, 1]]),
    "f_float32_list": (Array(Float32), [[1.0, 2.5], [0.1]]),
    "f_float64_list": (Array(Float64), [[1.0, 2.5], [0.1]]),
    "f_bool_list": (Array(Bool), [[True, False], [False]]),
    "f_string_list": (Array(String), [["a", "ü"], [""]]),
    "f_timestamp_list": (Array(UnixTimestamp), [[WHEN], [WHEN, WHEN]]),
}


def expected(name, value):
    """What a remote client reads back: JSON carries no types, so it infers them (ints, doubles, epoch seconds)."""
    if name == "f_float32":
        return float(np.float32(value))
    if name == "f_float32_list":
        return [float(np.float32(v)) for v in value]
    if name == "f_timestamp":
        return int(value.timestamp())
    if name == "f_timestamp_list":
        return [int(v.timestamp()) for v in value]
    return value


def store(url, folder):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/feature_store.yaml", "w") as file:
        file.write(
            f"project: conformance\nprovider: local\nregistry: {folder}/registry.db\n"
            f"online_store:\n  type: remote\n  path: {url}\nentity_key_serialization_version: 3\n"
            "auth:\n  type: oidc\n  token_env_var: FEAST_OIDC_TOKEN\n"
        )
    made = FeatureStore(repo_path=folder)
    subject = Entity(name="subject", join_keys=["subject_id"], value_type=ValueType.INT64)
    source = FileSource(name="nowhere", path=f"{folder}/nowhere.parquet", timestamp_field="event_timestamp")
    schema = [Field(name="subject_id", dtype=Int64)]
    schema += [Field(name=name, dtype=dtype) for name, (dtype, _) in FIELDS.items()]
    schema += [Field(name="f_bytes", dtype=Bytes)]
    view = FeatureView(name="all_types", entities=[subject], schema=schema, source=source, ttl=timedelta(0))
    made.registry.apply_entity(subject, "conformance")
    made.registry.apply_feature_view(view, "conformance")
    return made


def main():
    folder = tempfile.mkdtemp(prefix="antipode-feast-")
    writer = store(os.environ["ANTIPODE_WRITE_URL"], f"{folder}/writer")
    reader = store(os.environ["ANTIPODE_READ_URL"], f"{folder}/reader")
    # Values and nulls in frames of their own: in one column with a null, pandas itself rounds int64 to doubles.
    rows = {"subject_id": [1, 2], "event_timestamp": [WHEN] * 2, "f_bytes": [None] * 2}
    nulls = {"subject_id": [3], "event_timestamp": [WHEN], "f_bytes": [None]}
    for name, (_, values) in FIELDS.items():
        rows[name] = values
        nulls[name] = [None]
    # A frame of nulls alone the SDK does not send at all.
    nulls["f_string"] = ["only this"]
    # The SDK's remote store cannot send bytes (it raises TypeError itself): they are written over HTTP below.
    for frame in (rows, nulls):
        writer.write_to_online_store("all_types", pd.DataFrame(frame, dtype=object))
    print("written through the SDK")

    refs = [f"all_types:{name}" for name in FIELDS]
    deadline = time.time() + 20
    while True:
        answer = reader.get_online_features(features=refs, entity_rows=[{"subject_id": 1}]).to_dict()
        if answer["f_int32"][0] is not None or time.time() > deadline:
            break
        time.sleep(0.2)
    for index in (0, 1):
        answer = reader.get_online_features(features=refs, entity_rows=[{"subject_id": index + 1}]).to_dict()
        for name, (_, values) in FIELDS.items():
            check(f"{name}[{index}]", answer[name][0], expected(name, values[index]))
    nulls = reader.get_online_features(features=refs, entity_rows=[{"subject_id": 3}]).to_dict()
    for name in FIELDS:
        check(f"{name} null", nulls[name][0], "only this" if name == "f_string" else None)
    absent = reader.get_online_features(features=["all_types:f_int64"], entity_rows=[{"subject_id": 99}]).to_dict()
    check("absent entity", absent["f_int64"][0], None)
    many = reader.get_online_features(
        features=["all_types:f_int64"], entity_rows=[{"subject_id": i} for i in (2, 1, 2)], full_feature_names=True
    ).to_dict()
    check("order and repetition", many["all_types__f_int64"], [FIELDS["f_int64"][1][i] for i in (1, 0, 1)])

    import base64

    import requests

    reply = requests.post(
        f"{os.environ['ANTIPODE_WRITE_URL']}/write-to-online-store",
        json={
            "feature_view_name": "all_types",
            "df": {
                "subject_id": [4],
                "event_timestamp": ["2026-08-01 12:00:00+00:00"],
                **{name: [None] for name in FIELDS},
                "f_bytes": [base64.b64encode(b"\x00\xff").decode()],
            },
        },
        headers={"Authorization": f"Bearer {os.environ['FEAST_OIDC_TOKEN']}"},
        timeout=10,
    )
    check("bytes written over HTTP", reply.status_code, 200)
    time.sleep(1)
    got = reader.get_online_features(features=["all_types:f_bytes"], entity_rows=[{"subject_id": 4}]).to_dict()
    check("f_bytes", got["f_bytes"][0], base64.b64encode(b"\x00\xff").decode())

    for name, call in {
        "unknown view": lambda: reader.get_online_features(features=["nope:f"], entity_rows=[{"subject_id": 1}]),
    }.items():
        try:
            call()
            check(name, "no error", "FeatureViewNotFoundException")
        except Exception as error:  # noqa: BLE001 - the class is what is checked
            check(name, type(error).__name__, "FeatureViewNotFoundException")
    print(f"{len(PASSED)} passed, {len(FAILED)} failed")
    sys.exit(1 if FAILED else 0)


main()
