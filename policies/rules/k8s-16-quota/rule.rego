package rules.k8s_16

import data.lib.k8s

violation contains k8s.violation(["metadata", "name"], sprintf("%v has no %v", [name, kind])) if {
	name := k8s.reviewed.metadata.name
	some kind in ["ResourceQuota", "LimitRange"]
	k8s.neighbours(name, kind) == set()
}
