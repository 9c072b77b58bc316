package rules.ml_02

import data.lib.k8s

predictor := k8s.reviewed.spec.predictor

served contains {"container": predictor.model, "path": ["spec", "predictor", "model"]}

served contains {"container": container, "path": ["spec", "predictor", "containers", i]} if {
	some i, container in predictor.containers
}

violation contains k8s.violation(array.concat(entry.path, ["resources", "limits", resource]), "is missing") if {
	some entry in served
	some resource in ["cpu", "memory"]
	object.get(entry.container, ["resources", "limits", resource], null) == null
}

violation contains k8s.violation(["spec", "predictor", "minReplicas"], "must be 1 or more: the first request after idle would wait for a start") if {
	object.get(predictor, "minReplicas", 1) < 1
}

violation contains k8s.violation(["spec", "predictor", "timeout"], "must be set, in seconds") if {
	not object.get(predictor, "timeout", 0) > 0
}
