# Which trained model may become champion: one that no rule has a reason against.
# The input is what `workloads.lifecycle.validation.gate.measure` returns, with `contract` (the problem, the features
# and the groups of the workload's definition) and `limits` (its thresholds, whose reasons stand in the definition).
# A rule gives `reasons`, and in `lacking` those of them that say no more than that the rows are too few to decide.
package release

reasons contains reason if {
	some rule
	some reason in data.promotion[rule].reasons
}

lacking[reason] contains rows if {
	some rule
	some [reason, rows] in data.promotion[rule].lacking
}

default allow := false

allow if count(reasons) == 0

default insufficient := false

insufficient if {
	count(reasons) > 0
	every reason in reasons {
		lacking[reason]
	}
}

# Labelled rows that are missing, by the reason that needs most.
default more_rows := 0

more_rows := max([rows | some each in lacking; some rows in each]) if insufficient
