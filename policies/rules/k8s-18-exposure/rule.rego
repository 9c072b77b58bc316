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

violation contains k8s.violation(["spec", "rules", i, "host"], "is in the clear: no certificate under tls names it") if {
	some i, rule in k8s.reviewed.spec.rules
	not rule.host in {host | some entry in k8s.reviewed.spec.tls; some host in entry.hosts}
}

violation contains k8s.violation(["spec", "defaultBackend"], "answers for every host, in the clear") if {
	k8s.reviewed.spec.defaultBackend
}

violation contains k8s.violation(["spec", "gatewayClassName"], "leads in from outside: the stack file must name this gateway") if {
	outward
	not trim_prefix(k8s.id(k8s.reviewed), "Gateway/") in input.parameters.gateways
}

violation contains k8s.violation(["spec", "listeners", i, "protocol"], "is in the clear: use HTTPS or TLS") if {
	outward
	some i, listener in k8s.reviewed.spec.listeners
	not listener.protocol in {"HTTPS", "TLS"}
}

violation contains k8s.violation(["spec", "listeners", i, "allowedRoutes"], "publishes what any namespace asks for: select namespaces") if {
	outward
	some i, listener in k8s.reviewed.spec.listeners
	listener.allowedRoutes.namespaces.from == "All"
}

# A gateway whose proxies do not stay inside: a class of another kind, or proxies of its own that the class knows nothing of.
outward if {
	k8s.reviewed.kind == "Gateway"
	not object.get(k8s.reviewed, ["spec", "gatewayClassName"], "") in input.parameters.internal_classes
}

outward if k8s.reviewed.spec.infrastructure.parametersRef
