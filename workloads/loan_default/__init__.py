"""The loan-default workload: from the raw CSV to a monitored, replaceable model.

The names below come from its definition; stages read them until each takes the definition as an argument.
"""

from workloads.loan_default.definition import LOAN_DEFAULT

MODEL_NAME = LOAN_DEFAULT.model_name
"""Registered model in MLflow."""

SERVED_NAME = LOAN_DEFAULT.name
"""Name in the model server's paths, and prefix of the workload's data in the artifact store."""

EXPERIMENT = LOAN_DEFAULT.experiment
"""MLflow experiment of every training run."""

FEATURES = LOAN_DEFAULT.features
"""The model's inputs, in the order of a request's vector."""

ENTITY = LOAN_DEFAULT.entity.key
"""Join key of the feature view; the `ID` of the raw data."""

LABEL = LOAN_DEFAULT.outcome.label
"""1 when the customer defaulted in the month after the last statement."""

CAPTURES = "captures"
"""Where scored requests are kept, below the workload's prefix in the store: all that the model server writes."""

SMOKE = "smoke-"
"""Beginning of the ids of requests that only try the server: they count neither as data nor as outcomes."""
