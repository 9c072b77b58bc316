"""Fire drill on a running stack: drifted requests go in, and every hop of the loop must follow within its time.

Drives only what anybody can reach: the model server, the retraining service, Prometheus, Alertmanager, MLflow. The
rules, routes and steps are the stack's own. With `--poisoned` most outcomes are somebody else's and nothing may be
promoted; with `--bad-release` a release meets outcomes that it ranks wrong, and must go back by itself. Afterwards the
drill's requests no longer count and the version before the drill serves again.
"""
