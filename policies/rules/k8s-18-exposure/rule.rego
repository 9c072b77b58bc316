package rules.k8s_18

import data.lib.k8s

violation contains k8s.violation(["spec", "type"], "opens a port on every node") if {
	k8s.reviewed.spec.type == "NodePort"
}

violation contains k8s.violation(["spec", "type"], "is reachable from outside") if {
	k8s.reviewed.spec.type == "LoadBalancer"
	not trim_prefix(k8s.id(k8s.reviewed), "Service/") in input.parameters.load_balancers
}

violation contains k8s.violation(["spec", "externalIPs"], "takes over addresses of others") if {
	count(object.get(k8s.reviewed, ["spec", "externalIPs"], [])) > 0
}

violation contains k8s.violation(["spec", "tls"], "is missing: traffic would be in the clear") if {
	k8s.reviewed.kind == "Ingress"
	object.get(k8s.reviewed, ["spec", "tls"], []) == []
}

violation contains k8s.violation(["spec", "rules", i, "host"], "must be a full host name") if {
	some i, rule in k8s.reviewed.spec.rules
	regex.match(`^$|\*`, object.get(rule, "host", ""))
}
