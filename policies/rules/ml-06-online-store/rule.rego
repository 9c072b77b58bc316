package rules.ml_06

import data.lib.k8s

servers contains {"path": entry.path, "words": words, "container": entry.container, "pod": entry.pod.spec} if {
	some entry in k8s.containers
	words := k8s.words(entry.container)
	runs_server(entry.container, words)
}

runs_server(_, words) if {
	some word in words
	regex.match(`(^|/)(redis|valkey|keydb)-server$`, word)
}

# The image's own command, which is the server.
runs_server(container, _) if {
	object.get(container, "command", []) == []
	regex.match(`(^|/)(redis|redis-stack|redis-stack-server|valkey|keydb|dragonfly)([:@]|$)`, container.image)
}

violation contains k8s.violation(server.path, "runs Redis without a password from a Secret") if {
	some server in servers
	not protected(server)
}

# Of two passwords the last holds, and a user without one needs none.
violation contains k8s.violation(server.path, "runs Redis with a second password, or with a user that needs none") if {
	some server in servers
	line := concat(" ", server.words)
	regex.match(`requirepass.*requirepass|\bnopass\b`, line)
}

violation contains k8s.violation(server.path, "runs Redis, and no NetworkPolicy says who may connect") if {
	some server in servers
	not k8s.guarded(k8s.namespace(k8s.reviewed), k8s.pod_labels)
}

# A file of a mounted Secret: the configuration, which is the first argument, or the users.
protected(server) if {
	some i, word in server.words
	regex.match(`-server$|^--aclfile$`, server.words[i - 1])
	some mount in server.container.volumeMounts
	startswith(word, concat("", [trim_suffix(mount.mountPath, "/"), "/"]))
	some volume in server.pod.volumes
	volume.name == mount.name
	"secret" in object.keys(volume)
}

# A variable, which K8S-19 wants from a Secret.
protected(server) if regex.match(`--requirepass[ =]["']?\$[({]?\w`, concat(" ", server.words))
