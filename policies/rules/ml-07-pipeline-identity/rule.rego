package rules.ml_07

import data.lib.k8s

shared := {"", "default", "pipeline-runner"}

violation contains k8s.violation(["spec", "serviceAccountName"], "must be the pipeline's own") if {
	step
	object.get(k8s.reviewed, ["spec", "serviceAccountName"], "") in shared
}

violation contains k8s.violation(["spec", "workflowSpec", "serviceAccountName"], "must be the pipeline's own") if {
	k8s.reviewed.kind == "CronWorkflow"
	object.get(k8s.reviewed, ["spec", "workflowSpec", "serviceAccountName"], "") in shared
}

violation contains k8s.violation(["spec", "templates", i, "serviceAccountName"], "must be the pipeline's own") if {
	some i, template in k8s.reviewed.spec.templates
	object.get(template, "serviceAccountName", "none") in shared
}

step if k8s.reviewed.kind == "Workflow"

step if {
	some label in {"pipeline/runid", "workflows.argoproj.io/workflow"}
	label in object.keys(k8s.pod_labels)
}
