# A rule that looks into a list finds nothing in a word: what has the wrong type must be refused, not passed over.
package rules.k8s_22

import data.lib.k8s

violation contains k8s.violation([field], sprintf("must be %v, not %v", [wanted, type_name(value)])) if {
	some field, wanted in {"metadata": "object", "spec": "object", "rules": "array", "subjects": "array", "data": "object"}
	value := k8s.reviewed[field]
	type_name(value) != wanted
}

violation contains k8s.violation(pod.path, sprintf("must be object, not %v", [type_name(pod.spec)])) if {
	some pod in k8s.pods
	not is_object(pod.spec)
}

violation contains k8s.violation(array.concat(pod.path, ["containers"]), "is missing") if {
	some pod in k8s.pods
	not k8s.reviewed.kind == "InferenceService"
	not filled(pod.spec)
}

violation contains k8s.violation(array.concat(pod.path, [field]), sprintf("must be %v, not %v", [wanted, type_name(value)])) if {
	some pod in k8s.pods
	some field, wanted in {"containers": "array", "initContainers": "array", "volumes": "array", "securityContext": "object"}
	value := pod.spec[field]
	type_name(value) != wanted
}

violation contains k8s.violation(array.concat(pod.path, [framework]), sprintf("must be object, not %v", [type_name(value)])) if {
	some pod in k8s.pods
	some framework in k8s.frameworks
	value := pod.spec[framework]
	not is_object(value)
}

violation contains k8s.violation(entry.path, "must be an object with a name") if {
	some entry in k8s.containers
	not named(entry.container)
}

violation contains k8s.violation(array.concat(entry.path, [field]), sprintf("must be %v, not %v", [wanted, type_name(value)])) if {
	some entry in k8s.containers
	some field, wanted in {
		"image": "string", "env": "array", "ports": "array", "resources": "object", "securityContext": "object",
		"command": "array", "args": "array",
	}
	value := entry.container[field]
	type_name(value) != wanted
}

named(container) if is_string(container.name)

filled(spec) if count(spec.containers) > 0
