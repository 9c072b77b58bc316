package rules.k8s_03

import data.lib.k8s

violation contains k8s.violation(path, "must be false") if {
	some entry in k8s.containers
	object.get(entry.container, ["securityContext", "allowPrivilegeEscalation"], true) != false
	path := array.concat(entry.path, ["securityContext", "allowPrivilegeEscalation"])
}
