"""Entity, view and service of a workload's features, as Feast registers them.

The offline source is the local copy of the published Parquet files, because Feast's file store reads S3 through a
library of its own.
"""

from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64, PrimitiveFeastType
from feast.value_type import ValueType

from workloads.lifecycle.workload import Workload

_TYPES: dict[str, PrimitiveFeastType] = {"integer": Int64, "number": Float64}


def objects(workload: Workload, offline_copy: Path) -> list[Any]:
    """Everything to register, over the Parquet files in a folder."""
    view, key = workload.view, workload.entity.key
    entity = Entity(
        name=workload.entity.name,
        join_keys=[key],
        value_type=ValueType.INT64,
        description=workload.entity.description,
    )
    source = FileSource(
        name=f"{view.name}_source",
        path=str(offline_copy),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    features = [
        Field(name=feature.name, dtype=_TYPES[feature.type], description=feature.description)
        for feature in view.features
    ]
    registered = FeatureView(
        name=view.name,
        entities=[entity],
        ttl=view.ttl,
        schema=[Field(name=key, dtype=Int64), *features],
        online=True,
        source=source,
    )
    service = FeatureService(
        name=workload.service_name, features=[registered], description=f"Inputs of {workload.model_name}"
    )
    return [entity, source, registered, service]
