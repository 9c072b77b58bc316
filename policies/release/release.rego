# Which trained model may become champion: one that no rule has a reason against.
# The input is what `workloads.loan_default.validation.measure` returns.
package release

reasons contains reason if {
	some rule
	some reason in data.promotion[rule].reasons
}

default allow := false

allow if count(reasons) == 0
