package rules.k8s_17

import data.lib.k8s

label := "pod-security.kubernetes.io/enforce"

violation contains k8s.violation(["metadata", "labels", label], "must be restricted") if {
	k8s.reviewed
	object.get(k8s.reviewed, ["metadata", "labels", label], "") != "restricted"
}
