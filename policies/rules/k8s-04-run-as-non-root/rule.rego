package rules.k8s_04

import data.lib.k8s

violation contains k8s.violation(array.concat(entry.path, ["securityContext", "runAsNonRoot"]), "must be true") if {
	some entry in k8s.containers
	k8s.security(entry, "runAsNonRoot", null) != true
}

violation contains k8s.violation(array.concat(entry.path, ["securityContext", "runAsUser"]), "must not be 0, root") if {
	some entry in k8s.containers
	k8s.security(entry, "runAsUser", null) == 0
}
