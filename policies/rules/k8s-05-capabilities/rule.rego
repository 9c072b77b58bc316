package rules.k8s_05

import data.lib.k8s

violation contains k8s.violation(array.concat(entry.path, ["securityContext", "capabilities", "drop"]), "must hold ALL") if {
	some entry in k8s.containers
	not "ALL" in object.get(entry.container, ["securityContext", "capabilities", "drop"], [])
}

violation contains k8s.violation(path, sprintf("may not add %v", [capability])) if {
	some entry in k8s.containers
	some i, capability in object.get(entry.container, ["securityContext", "capabilities", "add"], [])
	capability != "NET_BIND_SERVICE"
	path := array.concat(entry.path, ["securityContext", "capabilities", "add", i])
}
