package rules.k8s_02

import data.lib.k8s

violation contains k8s.violation(array.concat(pod.path, [field]), "shares a namespace with the node") if {
	some pod in k8s.pods
	some field in ["hostPID", "hostIPC", "hostNetwork"]
	object.get(pod.spec, field, false) != false
}
