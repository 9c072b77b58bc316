package rules.ml_04

import data.lib.k8s

servers contains {"path": entry.path, "words": words, "hosts": hosts(words, entry.container)} if {
	some entry in k8s.containers
	words := k8s.words(entry.container)
	some word in words
	endswith(word, "mlflow")
	"server" in words
}

hosts(words, container) := array.concat(
	[trim_prefix(word, "--allowed-hosts=") | some word in words; startswith(word, "--allowed-hosts=")],
	array.concat(
		[words[i + 1] | some i, word in words; word == "--allowed-hosts"],
		[object.get(variable, "value", "") | some variable in container.env; variable.name == "MLFLOW_SERVER_ALLOWED_HOSTS"],
	),
)

violation contains k8s.violation(server.path, "runs MLflow without allowed hosts") if {
	some server in servers
	server.hosts == []
}

violation contains k8s.violation(server.path, "runs MLflow for every host") if {
	some server in servers
	some names in server.hosts
	"*" in split(names, ",")
}

violation contains k8s.violation(server.path, "runs MLflow without authentication, and no NetworkPolicy says who may connect") if {
	some server in servers
	not authenticated(server.words)
	not k8s.guarded(k8s.namespace(k8s.reviewed), k8s.pod_labels)
}

authenticated(words) if regex.match(`--app-name[ =]basic-auth`, concat(" ", words))
