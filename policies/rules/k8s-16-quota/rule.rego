package rules.k8s_16

import data.lib.k8s

violation contains k8s.violation(["metadata", "name"], sprintf("%v has no %v", [name, kind])) if {
	name := k8s.reviewed.metadata.name
	some kind in ["ResourceQuota that limits something", "LimitRange with defaults of containers"]
	not bounded(name, kind)
}

bounded(name, "ResourceQuota that limits something") if {
	some quota in k8s.neighbours(name, "ResourceQuota")
	count(quota.spec.hard) > 0
}

bounded(name, "LimitRange with defaults of containers") if {
	some range in k8s.neighbours(name, "LimitRange")
	some limit in range.spec.limits
	limit.type == "Container"
	count(limit["default"]) > 0
}
