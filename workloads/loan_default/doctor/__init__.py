"""Doctor: asks every part of a running platform whether it does its work, and says what to do where it does not.

`python -m workloads.loan_default.doctor` is the command; the start page shows the same answers. Standard library only:
it runs in the environment of the Pulumi program as well as in the workload's image.
"""
