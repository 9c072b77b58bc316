"""Entity, view and service of the loan-default features; `features.apply` registers them.

The offline source is the local copy of the published Parquet files, because Feast's file store reads S3 through a
library of its own.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64
from feast.value_type import ValueType

VIEW = "customer_features"
SERVICE = "loan_default_v1"
TTL = timedelta(days=1)
"""Age at which a feature is too old to answer a request; the nightly run renews it."""


def objects(offline_copy: Path) -> list[Any]:
    """Everything to register, over the Parquet files in a folder."""
    customer = Entity(name="customer", join_keys=["CustomerID"], value_type=ValueType.INT64, description="Card holder")
    source = FileSource(
        name="customer_features_source",
        path=str(offline_copy),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    view = FeatureView(
        name=VIEW,
        entities=[customer],
        ttl=TTL,
        schema=[
            Field(name="CustomerID", dtype=Int64),
            Field(name="Age", dtype=Int64, description="Years"),
            Field(name="Income", dtype=Float64, description="Estimated NT dollars a month"),
            Field(name="CreditScore", dtype=Int64, description="300 (worst) to 850"),
            Field(name="NumOpenAccounts", dtype=Int64, description="Statements of the last six not paid in full"),
        ],
        online=True,
        source=source,
    )
    service = FeatureService(name=SERVICE, features=[view], description="Inputs of loan-default-model")
    return [customer, source, view, service]
