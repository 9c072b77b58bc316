package rules.ml_03

import data.lib.k8s

gpu := "nvidia.com/gpu"

asking contains pod if {
	some entry in k8s.containers
	gpu in object.keys(object.get(entry.container, ["resources", "limits"], {}))
	pod := entry.pod
}

asking contains pod if {
	some pod in k8s.pods
	gpu in object.keys(object.get(pod.spec, ["model", "resources", "limits"], {}))
}

violation contains k8s.violation(array.concat(pod.path, ["nodeSelector"]), "must choose GPU nodes") if {
	some pod in asking
	object.get(pod.spec, "nodeSelector", {}) == {}
}

violation contains k8s.violation(array.concat(pod.path, ["tolerations"]), sprintf("must tolerate %v", [gpu])) if {
	some pod in asking
	not gpu in {object.get(toleration, "key", "") | some toleration in object.get(pod.spec, "tolerations", [])}
}
