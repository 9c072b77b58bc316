package rules.k8s_01

import data.lib.k8s

violation contains k8s.violation(path, "must not be privileged") if {
	some entry in k8s.containers
	object.get(entry.container, ["securityContext", "privileged"], false) != false
	path := array.concat(entry.path, ["securityContext", "privileged"])
}

violation contains k8s.violation(path, "must not be true: the container is a process of the node") if {
	some entry in k8s.containers
	object.get(k8s.security(entry, "windowsOptions", {}), "hostProcess", false) != false
	path := array.concat(entry.path, ["securityContext", "windowsOptions", "hostProcess"])
}
