package rules.ml_06

import data.lib.k8s

servers contains {"path": entry.path, "words": words} if {
	some entry in k8s.containers
	words := k8s.words(entry.container)
	some word in words
	endswith(word, "redis-server")
}

violation contains k8s.violation(server.path, "runs Redis without a password") if {
	some server in servers
	not protected(server.words)
}

violation contains k8s.violation(server.path, "runs Redis, and no NetworkPolicy says who may connect") if {
	some server in servers
	not k8s.guarded(k8s.namespace(k8s.reviewed), k8s.pod_labels)
}

protected(words) if regex.match(`\S+\.conf\b|--aclfile|--requirepass`, concat(" ", words))
