package rules.k8s_10

import data.lib.k8s

violation contains k8s.violation(array.concat(entry.path, [probe]), "is missing") if {
	some entry in k8s.containers
	entry.main
	some probe in ["livenessProbe", "readinessProbe"]
	object.get(entry.container, probe, null) in {null, {}}
}
