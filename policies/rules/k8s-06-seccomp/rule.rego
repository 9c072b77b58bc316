package rules.k8s_06

import data.lib.k8s

violation contains k8s.violation(path, "must be RuntimeDefault or Localhost") if {
	some entry in k8s.containers
	not object.get(k8s.security(entry, "seccompProfile", {}), "type", "") in {"RuntimeDefault", "Localhost"}
	path := array.concat(entry.path, ["securityContext", "seccompProfile", "type"])
}
