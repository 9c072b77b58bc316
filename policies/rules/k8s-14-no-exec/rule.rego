package rules.k8s_14

import data.lib.k8s

violation contains k8s.violation(["rules", i, "resources"], sprintf("%v opens a shell", [resource])) if {
	some i, rule in k8s.reviewed.rules
	some resource in rule.resources
	regex.match(`^(pods|\*)/(exec|attach|ephemeralcontainers|\*)$|^nodes/proxy$`, resource)
}

violation contains k8s.violation(["kind"], "opens a shell in a pod") if {
	k8s.reviewed.kind in {"PodExecOptions", "PodAttachOptions"}
}
