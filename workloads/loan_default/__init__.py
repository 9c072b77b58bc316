"""The loan-default workload: from the raw CSV to a monitored, replaceable model; imports nothing by itself."""

MODEL_NAME = "loan-default-model"
"""Registered model in MLflow."""

SERVED_NAME = "loan-default"
"""Name in the model server's paths, and prefix of the workload's data in the artifact store."""

EXPERIMENT = "loan-default-prediction"
"""MLflow experiment of every training run."""

FEATURES = ("Age", "Income", "CreditScore", "NumOpenAccounts")
"""The model's inputs, in the order of a request's vector."""

ENTITY = "CustomerID"
"""Join key of the feature view; the `ID` of the raw data."""

LABEL = "default_next_month"
"""1 when the customer defaulted in the month after the last statement."""

CAPTURES = "captures"
"""Where scored requests are kept, below the workload's prefix in the store: all that the model server writes."""

SMOKE = "smoke-"
"""Beginning of the ids of requests that only try the server: they count neither as data nor as outcomes."""
