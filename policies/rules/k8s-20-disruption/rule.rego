package rules.k8s_20

import data.lib.k8s

serving if {
	k8s.pod_labels["mlplatform.dev/serves"] in input.parameters.roles
}

violation contains k8s.violation(["spec", "replicas"], "must be 2 or more") if {
	serving
	object.get(k8s.reviewed, ["spec", "replicas"], 1) < 2
}

violation contains k8s.violation(["spec", "template", "metadata", "labels"], "are selected by no PodDisruptionBudget") if {
	serving
	not budgeted
}

violation contains k8s.violation(["spec", "replicas"], "must be more than a PodDisruptionBudget keeps: no pod could be moved") if {
	serving
	some budget in budgets
	object.get(k8s.reviewed, ["spec", "replicas"], 1) <= budget.spec.minAvailable
	is_number(budget.spec.minAvailable)
}

budgeted if count(budgets) > 0

budgets contains budget if {
	some budget in k8s.neighbours(k8s.namespace(k8s.reviewed), "PodDisruptionBudget")
	wanted := budget.spec.selector.matchLabels
	every key, value in wanted { k8s.pod_labels[key] == value }
}

violation contains k8s.violation(["spec", field], "lets no pod be moved") if {
	some field, value in {"maxUnavailable": ["0", "0%"], "minAvailable": ["100%"]}
	sprintf("%v", [k8s.reviewed.spec[field]]) in value
}
