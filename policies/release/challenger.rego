# How a challenge ends: the challenger is refused, promoted, or its rows left the verdict open.
# The input is what `workloads.lifecycle.retraining.comparison` measures on live requests, with `limits`, the stack
# file's. A bound is {"value", "low", "high"}, wide enough for many looks at it. Nothing here needs known outcomes: they
# come weeks later, as a rule. Where they are known in time, a loss that they show refuses, and their absence nothing.
package release.challenger

measured["share of its requests that failed"] := [input.errors, input.limits.max_error_share]

measured["time to score a row in ms, 95th percentile"] := [input.latency_ms.challenger, limit] if {
	limit := max([input.limits.ignored_latency_ms, input.limits.max_latency_ratio * input.latency_ms.champion.value])
}

measured["distance between its scores and the champion's"] := [input.scores, input.limits.max_score_distance]

measured["loss of ranking on requests with known outcome"] := [input.ranking, input.limits.max_ranking_loss]

needed := {
	"share of its requests that failed",
	"time to score a row in ms, 95th percentile",
	"distance between its scores and the champion's",
}

refusals contains said(name, "is above") if {
	some name, pair in measured
	is_number(pair[0].low)
	pair[0].low > pair[1]
}

lacking contains said(name, "may be above") if {
	some name in needed
	measured[name][0].high > measured[name][1]
}

lacking contains sprintf("%s: not measured", [name]) if {
	some name in needed
	not is_measured(name)
}

is_measured(name) if {
	is_number(measured[name][0].low)
	is_number(measured[name][0].value)
	is_number(measured[name][0].high)
	is_number(measured[name][1])
}

said(name, relation) := sprintf("%s: %v (%v to %v, %v requests of %v entities) %s %v", [
	name,
	object.get(measured[name][0], "value", 0),
	object.get(measured[name][0], "low", 0),
	object.get(measured[name][0], "high", 0),
	object.get(input, "calls", 0),
	object.get(input, "entities", 0),
	relation,
	measured[name][1],
])

reasons := refusals if count(refusals) > 0

reasons := lacking if count(refusals) == 0

default allow := false

allow if count(reasons) == 0

default insufficient := false

insufficient if {
	count(refusals) == 0
	count(lacking) > 0
}
