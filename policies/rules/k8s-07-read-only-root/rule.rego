package rules.k8s_07

import data.lib.k8s

violation contains k8s.violation(path, "must be true") if {
	some entry in k8s.containers
	object.get(entry.container, ["securityContext", "readOnlyRootFilesystem"], false) != true
	path := array.concat(entry.path, ["securityContext", "readOnlyRootFilesystem"])
}
