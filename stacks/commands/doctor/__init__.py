"""Doctor: asks every part of a deployed stack whether it does its work, and says what to do where it does not.

The probes of servers are the library's (`workloads/lifecycle/operations/doctor`), which the start page asks, too. Here
are
those that need the stack file, a kubeconfig, an account, or the stores.
"""
