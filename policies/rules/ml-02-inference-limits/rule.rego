package rules.ml_02

import data.lib.k8s

served contains {"container": pod.spec[framework], "path": array.concat(pod.path, [framework])} if {
	some pod in k8s.pods
	some framework in k8s.frameworks
}

served contains {"container": container, "path": array.concat(pod.path, ["containers", i])} if {
	some pod in k8s.pods
	some i, container in pod.spec.containers
}

violation contains k8s.violation(array.concat(entry.path, ["resources", "limits", resource]), "is missing") if {
	some entry in served
	some resource in ["cpu", "memory"]
	object.get(entry.container, ["resources", "limits", resource], null) == null
}

violation contains k8s.violation(array.concat(pod.path, ["minReplicas"]), "must be 1 or more: the first request after idle would wait for a start") if {
	some pod in k8s.pods
	object.get(pod.spec, "minReplicas", 1) < 1
}

violation contains k8s.violation(array.concat(pod.path, ["timeout"]), "must be set, in seconds") if {
	some pod in k8s.pods
	not "workerSpec" in pod.path
	not object.get(pod.spec, "timeout", 0) > 0
}
