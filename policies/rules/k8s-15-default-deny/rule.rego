package rules.k8s_15

import data.lib.k8s

violation contains k8s.violation(["metadata", "name"], sprintf("%v has no NetworkPolicy that denies %v by default", [name, direction])) if {
	name := k8s.reviewed.metadata.name
	some direction in ["Ingress", "Egress"]
	not denied(name, direction)
}

denied(name, direction) if {
	some policy in k8s.neighbours(name, "NetworkPolicy")
	object.get(policy.spec, "podSelector", {}) == {}
	direction in policy.spec.policyTypes
	object.get(policy.spec, lower(direction), []) == []
}
