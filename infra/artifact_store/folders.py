"""First parts of keys below which an artifact store keeps what is not a workload's."""

TRACKING = "mlflow/"
PIPELINES = "pipelines/"
