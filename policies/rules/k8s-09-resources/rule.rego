package rules.k8s_09

import data.lib.k8s

violation contains k8s.violation(array.concat(entry.path, ["resources", part, resource]), "is missing") if {
	some entry in k8s.containers
	some part in ["requests", "limits"]
	some resource in ["cpu", "memory"]
	object.get(entry.container, ["resources", part, resource], null) == null
}

violation contains k8s.violation(path, "differs from the request: a GPU is not shared") if {
	some entry in k8s.containers
	limit := object.get(entry.container, ["resources", "limits", "nvidia.com/gpu"], null)
	request := object.get(entry.container, ["resources", "requests", "nvidia.com/gpu"], limit)
	sprintf("%v", [request]) != sprintf("%v", [limit])
	path := array.concat(entry.path, ["resources", "limits", "nvidia.com/gpu"])
}
