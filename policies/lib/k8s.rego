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
	"ReplicationController": [["spec", "template", "spec"]],
	"PodTemplate": [["template", "spec"]],
	"Job": [["spec", "template", "spec"]],
	"CronJob": [["spec", "jobTemplate", "spec", "template", "spec"]],
	"InferenceService": [["spec", "predictor"], ["spec", "predictor", "workerSpec"], ["spec", "transformer"], ["spec", "explainer"]],
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

# Where an InferenceService describes a model that a runtime serves: today's field, and those before it, one per framework.
frameworks := {
	"model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm", "paddle",
	"alibi", "art",
}

# What a runtime's container brings along where the model's description says nothing.
runtime := {
	"name": "kserve-container",
	"image": "runtime@sha256:0000000000000000000000000000000000000000000000000000000000000000",
	"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
	"securityContext": {
		"allowPrivilegeEscalation": false,
		"capabilities": {"drop": ["ALL"]},
		"readOnlyRootFilesystem": true,
	},
}

runtime_pod := {"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}

containers contains {"container": container, "pod": whole, "path": array.concat(pod.path, [framework]), "main": false} if {
	some pod in pods
	some framework in frameworks
	container := object.union(runtime, pod.spec[framework])
	whole := {"path": pod.path, "spec": object.union(runtime_pod, pod.spec)}
}

# The labels that pods of an object carry.
pod_labels := object.get(reviewed, ["metadata", "labels"], {}) if reviewed.kind == "Pod"

pod_labels := object.get(reviewed, ["spec", "template", "metadata", "labels"], {}) if {
	reviewed.kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "ReplicationController"}
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
	count(object.get(selector, "matchLabels", {})) > 0
	may_select(selector, labels)
	not opened(ns, labels)
}

# Policies add up: one that lets everybody in outweighs all that name somebody.
opened(ns, labels) if {
	some policy in neighbours(ns, "NetworkPolicy")
	may_select(object.get(policy.spec, "podSelector", {}), labels)
	some rule in object.get(policy.spec, "ingress", [])
	admits_everybody(rule, "from")
}

may_select(selector, labels) if {
	every key, value in object.get(selector, "matchLabels", {}) { labels[key] == value }
}

# Whether a rule of a NetworkPolicy names nobody in particular under `from` or `to`.
admits_everybody(rule, field) if object.get(rule, field, []) == []

admits_everybody(rule, field) if {
	some peer in rule[field]
	everybody(peer)
}

# A good part of all addresses: two halves are the whole as well.
everybody(peer) if regex.match(`/[0-7]$`, peer.ipBlock.cidr)

everybody(peer) if {
	selects_all(peer.namespaceSelector)
	selects_all(object.get(peer, "podSelector", {}))
}

selects_all(selector) if {
	object.get(selector, "matchLabels", {}) == {}
	every expression in object.get(selector, "matchExpressions", []) { not narrow(expression) }
}

narrow(expression) if expression.operator == "In"

narrow(expression) if {
	expression.operator == "Exists"
	expression.key != "kubernetes.io/metadata.name" # which every namespace has
}

# The words that a container is started with.
words(container) := regex.split(
	`\s+`,
	concat(" ", [sprintf("%v", [word]) | some field in ["command", "args"]; some word in container[field]]),
)

violation(path, text) := {"msg": sprintf("%s %s", [dotted(path), text]), "details": {"path": path}}

dotted(path) := concat(".", [sprintf("%v", [step]) | some step in path])
