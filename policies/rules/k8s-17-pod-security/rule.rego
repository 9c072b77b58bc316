package rules.k8s_17

import data.lib.k8s

label := "pod-security.kubernetes.io/enforce"

violation contains k8s.violation(["metadata", "labels", label], "must be restricted") if {
	k8s.reviewed
	object.get(k8s.reviewed, ["metadata", "labels", label], "") != "restricted"
}

version := "pod-security.kubernetes.io/enforce-version"

# Older versions of the standard ask for less: `restricted` allowed what it forbids today.
violation contains k8s.violation(["metadata", "labels", version], "must be latest, or v1.25 or newer") if {
	not regex.match(`^(latest|v1\.(2[5-9]|[3-9][0-9]))$`, object.get(k8s.reviewed, ["metadata", "labels", version], "latest"))
}
