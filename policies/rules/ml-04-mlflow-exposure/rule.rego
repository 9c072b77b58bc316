package rules.ml_04

import data.lib.k8s

servers contains {"path": entry.path, "words": words, "env": env, "hosts": hosts(words, entry.container)} if {
	some entry in k8s.containers
	words := k8s.words(entry.container)
	env := object.get(entry.container, "env", [])
	runs_server(words)
}

runs_server(words) if {
	some word in words
	regex.match(`(^|/)mlflow$`, word)
	some command in words
	command in {"server", "ui"}
}

# The same as an application of gunicorn or uvicorn, or as a module.
runs_server(words) if {
	some word in words
	regex.match(`^mlflow\.server([.:]|$)`, word)
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
	some name in split(names, ",")
	regex.match(`^["']?\*(:|["']|$)`, name)
}

violation contains k8s.violation(server.path, "runs MLflow without its checks of hosts and origins") if {
	some server in servers
	some word in server.words
	regex.match(`^--(disable-security-middleware|gunicorn-opts|waitress-opts)(=|$)`, word)
}

violation contains k8s.violation(server.path, "runs MLflow without its checks of hosts and origins") if {
	some server in servers
	some variable in server.env
	variable.name == "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"
	lower(variable.value) in {"true", "1"}
}

violation contains k8s.violation(server.path, "runs MLflow for pages of every origin") if {
	some server in servers
	regex.match(`--cors-allowed-origins[ =]["']?\*`, concat(" ", server.words))
}

violation contains k8s.violation(server.path, "runs MLflow for pages of every origin") if {
	some server in servers
	some variable in server.env
	variable.name == "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
	contains(variable.value, "*")
}

violation contains k8s.violation(server.path, "runs MLflow without authentication, and no NetworkPolicy says who may connect") if {
	some server in servers
	not authenticated(server.words)
	not k8s.guarded(k8s.namespace(k8s.reviewed), k8s.pod_labels)
}

authenticated(words) if regex.match(`--app-name[ =]basic-auth( |$)`, concat(" ", words))
