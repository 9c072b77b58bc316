"""Kinds whose servers have a Python environment of their own; standard library only, because the installer reads it.

Each environment has a lock, `requirements/<environment>.txt`, and is installed once a stack file names its kind.
"""

ENVIRONMENTS = {"airflow-on-host": "airflow"}
"""Kind -> environment."""
