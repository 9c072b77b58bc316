package rules.k8s_02

import data.lib.k8s

violation contains k8s.violation(array.concat(pod.path, [field]), "shares a namespace with the node") if {
	some pod in k8s.pods
	some field in ["hostPID", "hostIPC", "hostNetwork"]
	object.get(pod.spec, field, false) != false
}

# The node's kubelet asks it, from the node's network: a probe with a host reaches what no pod may.
violation contains k8s.violation(path, "has the node ask another host than the pod") if {
	some entry in k8s.containers
	some [field, handler] in probes
	object.get(entry.container, array.concat(field, [handler, "host"]), "") != ""
	path := array.concat(entry.path, array.concat(field, [handler, "host"]))
}

probes contains [field, handler] if {
	some field in [["livenessProbe"], ["readinessProbe"], ["startupProbe"], ["lifecycle", "postStart"], ["lifecycle", "preStop"]]
	some handler in ["httpGet", "tcpSocket"]
}
