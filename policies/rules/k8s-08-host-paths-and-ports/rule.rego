package rules.k8s_08

import data.lib.k8s

violation contains k8s.violation(array.concat(pod.path, ["volumes", i, "hostPath"]), "mounts a path of the node") if {
	some pod in k8s.pods
	some i, volume in pod.spec.volumes
	"hostPath" in object.keys(volume)
}

violation contains k8s.violation(array.concat(entry.path, ["ports", i, "hostPort"]), "takes a port of the node") if {
	some entry in k8s.containers
	some i, port in entry.container.ports
	object.get(port, "hostPort", 0) != 0
}

# A volume that any pod may claim.
violation contains k8s.violation(["spec", field], "is a path of the node") if {
	some field in ["hostPath", "local"]
	field in object.keys(k8s.reviewed.spec)
}
