"""Probes of a running platform's servers: `make doctor` prints their answers, the start page shows them.

Standard library only: they run in the environment of the Pulumi program as well as in the workload's image.
"""
