# Which trained model may become champion: one that no rule has a reason against.
# The input is what `workloads.lifecycle.validation.gate.measure` returns, with `contract` (the problem, the features
# and the groups of the workload's definition) and `limits` (its thresholds, whose reasons stand in the definition).
package release

reasons contains reason if {
	some rule
	some reason in data.promotion[rule].reasons
}

default allow := false

allow if count(reasons) == 0
