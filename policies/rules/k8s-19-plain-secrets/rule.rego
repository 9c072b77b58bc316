package rules.k8s_19

import data.lib.k8s

# Names of values that are secret themselves; names of where a secret is (`..._FILE`, `..._ARN`) are not.
secretive(name) if {
	regex.match(`(?i)(password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)`, name)
	not regex.match(`(?i)(_|-|\.)(file|path|dir|url|uri|arn|name|seconds|type|ref)$`, name)
}

telling(value) if regex.match(`-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|://[^/\s:@]*:[^/\s:@$]+@`, value)

exposed(name, value) if {
	secretive(name)
	value != ""
}

exposed(_, value) if telling(value)

violation contains k8s.violation(array.concat(entry.path, ["env", i, "value"]), sprintf("%v holds a secret in the clear", [variable.name])) if {
	some entry in k8s.containers
	some i, variable in entry.container.env
	exposed(variable.name, object.get(variable, "value", ""))
}

violation contains k8s.violation(["data", key], "holds a secret in the clear") if {
	some key, value in k8s.reviewed.data
	exposed(key, value)
}
