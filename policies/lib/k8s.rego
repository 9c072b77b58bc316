# What the rules share: the object under review, its pods and containers, and what other objects there are.
# Gatekeeper hands the object over as `input.review.object`, so every other place does too.
package lib.k8s

# A rule reads the object from here, so that an exemption at admission holds for every rule alike.
reviewed := input.review.object if not exempt

exempt if id(input.review.object) in object.get(input.parameters, "exempt", [])

id(thing) := sprintf("%s/%s/%s", [thing.kind, namespace(thing), object.get(thing, ["metadata", "name"], "")])

namespace(thing) := object.get(thing, ["metadata", "namespace"], "")

# Where a kind keeps pod specifications.
pod_paths := {
	"Pod": [["spec"]],
	"Deployment": [["spec", "template", "spec"]],
	"StatefulSet": [["spec", "template", "spec"]],
	"DaemonSet": [["spec", "template", "spec"]],
	"ReplicaSet": [["spec", "template", "spec"]],
	"Job": [["spec", "template", "spec"]],
	"CronJob": [["spec", "jobTemplate", "spec", "template", "spec"]],
	"InferenceService": [["spec", "predictor"], ["spec", "transformer"], ["spec", "explainer"]],
	"ServingRuntime": [["spec"]],
	"ClusterServingRuntime": [["spec"]],
}

pods contains {"spec": spec, "path": path} if {
	some path in pod_paths[reviewed.kind]
	spec := object.get(reviewed, path, null)
	spec != null
}

# Every container with the specification of its pod; `main` ones are neither init nor ephemeral containers.
containers contains {"container": container, "pod": pod, "path": path, "main": field == "containers"} if {
	some pod in pods
	some field in ["containers", "initContainers", "ephemeralContainers"]
	some i, container in pod.spec[field]
	path := array.concat(pod.path, [field, i])
}

# The labels that pods of an object carry.
pod_labels := object.get(reviewed, ["metadata", "labels"], {}) if reviewed.kind == "Pod"

pod_labels := object.get(reviewed, ["spec", "template", "metadata", "labels"], {}) if {
	reviewed.kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}
}

# A setting of the container, else of its pod.
security(entry, field, default_value) := object.get(
	entry.container,
	["securityContext", field],
	object.get(entry.pod.spec, ["securityContext", field], default_value),
)

# Objects of one kind in a namespace, whatever their version.
neighbours(ns, kind) := {thing | some version; some thing in data.inventory.namespace[ns][version][kind]}

# Whether a NetworkPolicy of the namespace selects pods with these labels and says who may reach them.
guarded(ns, labels) if {
	some policy in neighbours(ns, "NetworkPolicy")
	"Ingress" in object.get(policy.spec, "policyTypes", ["Ingress"])
	selector := object.get(policy.spec, "podSelector", {})
	object.get(selector, "matchExpressions", []) == []
	wanted := object.get(selector, "matchLabels", {})
	count(wanted) > 0
	every key, value in wanted { labels[key] == value }
	every rule in object.get(policy.spec, "ingress", []) { count(object.get(rule, "from", [])) > 0 }
}

# The words that a container is started with.
words(container) := split(
	concat(" ", [sprintf("%v", [word]) | some field in ["command", "args"]; some word in container[field]]),
	" ",
)

violation(path, text) := {"msg": sprintf("%s %s", [dotted(path), text]), "details": {"path": path}}

dotted(path) := concat(".", [sprintf("%v", [step]) | some step in path])
