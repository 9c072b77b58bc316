package rules.ml_05

import data.lib.k8s

violation contains k8s.violation(["spec", "receivers", i, "webhookConfigs", j], "calls a webhook without authorization") if {
	some i, receiver in k8s.reviewed.spec.receivers
	some j, webhook in receiver.webhookConfigs
	object.get(webhook, ["httpConfig", "authorization", "credentials", "name"], "") == ""
}

violation contains k8s.violation(["spec", "template", "metadata", "labels"], "are selected by no NetworkPolicy that says who may connect") if {
	k8s.pod_labels["mlplatform.dev/serves"] == "retraining"
	not k8s.guarded(k8s.namespace(k8s.reviewed), k8s.pod_labels)
}
