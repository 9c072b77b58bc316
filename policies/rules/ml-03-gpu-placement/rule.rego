package rules.ml_03

import data.lib.k8s

gpu := "nvidia.com/gpu"

asking contains pod.path if {
	some pod in k8s.pods
	some entry in k8s.containers
	entry.pod.path == pod.path
	some resource, _ in object.get(entry.container, ["resources", "limits"], {})
	regex.match(`^nvidia\.com/(gpu|mig-)`, resource)
}

violation contains k8s.violation(array.concat(pod.path, ["nodeSelector"]), sprintf("must choose GPU nodes by one of %v", [input.parameters.labels])) if {
	some pod in k8s.pods
	pod.path in asking
	not chooses(pod.spec)
}

violation contains k8s.violation(array.concat(pod.path, ["tolerations"]), sprintf("must tolerate %v", [gpu])) if {
	some pod in k8s.pods
	pod.path in asking
	not gpu in {object.get(toleration, "key", "") | some toleration in object.get(pod.spec, "tolerations", [])}
}

violation contains k8s.violation(array.concat(pod.path, ["tolerations", i]), "lets a pod without a GPU onto GPU nodes") if {
	some pod in k8s.pods
	not pod.path in asking
	some i, toleration in pod.spec.tolerations
	object.get(toleration, "key", "") in {gpu, ""}
}

chooses(spec) if {
	some label in input.parameters.labels
	not object.get(spec, ["nodeSelector", label], "false") in {"false", ""}
}
