package rules.ml_07

import data.lib.k8s

shared := {"", "default", "pipeline-runner"}

violation contains k8s.violation(["spec", "serviceAccountName"], "must be the pipeline's own") if {
	step
	object.get(k8s.reviewed, ["spec", "serviceAccountName"], "") in shared
}

step if k8s.reviewed.kind == "Workflow"

step if "pipeline/runid" in object.keys(k8s.pod_labels)
