package rules.k8s_15

import data.lib.k8s

violation contains k8s.violation(["metadata", "name"], sprintf("%v has no NetworkPolicy that denies %v by default", [name, direction])) if {
	name := k8s.reviewed.metadata.name
	some direction in ["Ingress", "Egress"]
	not denied(name, direction)
}

denied(name, direction) if {
	some policy in k8s.neighbours(name, "NetworkPolicy")
	k8s.selects_all(object.get(policy.spec, "podSelector", {}))
	direction in policy.spec.policyTypes
	not undone(name, direction)
}

# Policies add up: one that opens most ports to everybody leaves nothing denied.
undone(name, direction) if {
	some policy in k8s.neighbours(name, "NetworkPolicy")
	k8s.selects_all(object.get(policy.spec, "podSelector", {}))
	some rule in object.get(policy.spec, lower(direction), [])
	most_ports(object.get(rule, "ports", []))
	k8s.admits_everybody(rule, {"Ingress": "from", "Egress": "to"}[direction])
}

most_ports([])

most_ports(ports) if {
	some port in ports
	object.get(port, "port", null) == null
}

most_ports(ports) if {
	some port in ports
	port.endPort - port.port > 32767
}
