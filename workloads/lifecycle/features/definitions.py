"""Entities, views and service of a workload's features, as Feast registers them.

The offline source is the local copy of the published Parquet files, because Feast's file store reads S3 through a
library of its own.
"""

from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64, PrimitiveFeastType, String
from feast.value_type import ValueType

from workloads.lifecycle.ingestion.observation import CREATED, EVENT_TIMESTAMP
from workloads.lifecycle.workload import Workload

_TYPES: dict[str, PrimitiveFeastType] = {"integer": Int64, "number": Float64, "string": String}
_KEYS = {"integer": ValueType.INT64, "string": ValueType.STRING}


def objects(workload: Workload, offline_copy: Path) -> list[Any]:
    """Everything to register, over the Parquet files in a folder."""
    entities = {
        each.name: Entity(
            name=each.name, join_keys=[each.key], value_type=_KEYS[each.type], description=each.description
        )
        for each in workload.entities
    }
    types = {entity.key: _TYPES[entity.type] for entity in workload.entities}
    sources: list[FileSource] = []
    views: list[Any] = []
    for view in workload.views:
        source = FileSource(
            name=f"{view.name}_source",
            path=str(offline_copy),
            timestamp_field=EVENT_TIMESTAMP,
            created_timestamp_column=CREATED,
        )
        features = [
            Field(name=feature.name, dtype=_TYPES[feature.type], description=feature.description)
            for feature in view.features
        ]
        sources.append(source)
        views.append(
            FeatureView(
                name=view.name,
                entities=[entities[name] for name in view.entities or entities],
                ttl=view.ttl,
                schema=[*(Field(name=key, dtype=types[key]) for key in workload.keys_of(view)), *features],
                online=True,
                source=source,
            )
        )
    service = FeatureService(name=workload.service_name, features=views, description=f"Inputs of {workload.model_name}")
    return [*entities.values(), *sources, *views, service]
