package rules.k8s_21

import data.lib.k8s

violation contains k8s.violation(["metadata", "namespace"], "is the default one") if {
	not endswith(k8s.reviewed.kind, "Options") # a request to connect has no metadata
	k8s.namespace(k8s.reviewed) in {"", "default"}
}
