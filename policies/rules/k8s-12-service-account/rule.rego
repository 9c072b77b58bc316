package rules.k8s_12

import data.lib.k8s

violation contains k8s.violation(array.concat(pod.path, ["serviceAccountName"]), "is the default one, and its token is mounted") if {
	some pod in k8s.pods
	object.get(pod.spec, "serviceAccountName", "default") in {"default", ""}
	object.get(pod.spec, "automountServiceAccountToken", true) != false
}

# A projected token for the API server, which is the audience of a token that names none, or that names it.
violation contains k8s.violation(array.concat(pod.path, ["volumes", i]), "mounts a token of the default service account") if {
	some pod in k8s.pods
	object.get(pod.spec, "serviceAccountName", "default") in {"default", ""}
	some i, volume in pod.spec.volumes
	some source in volume.projected.sources
	regex.match(`^$|(^|//)(kubernetes\.default|api$)`, object.get(source, ["serviceAccountToken", "audience"], ""))
	"serviceAccountToken" in object.keys(source)
}

violation contains k8s.violation(["automountServiceAccountToken"], "must be false; a pod that calls the API sets it to true itself") if {
	k8s.reviewed.kind == "ServiceAccount"
	object.get(k8s.reviewed, "automountServiceAccountToken", true) != false
}
