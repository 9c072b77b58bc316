"""Variables that turn the usage statistics of servers off; `docs/security.md` lists the switch of every tool."""

OFF = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""MLflow takes either, and takes `true` only; its pages ask the server and send nothing then.
Source: https://mlflow.org/docs/latest/community/usage-tracking/"""
