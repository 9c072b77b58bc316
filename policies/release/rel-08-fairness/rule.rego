package promotion.rel_08

import data.release.bounds
import data.release.problem

# A stack file sets the first two, as fairness.parity_gap and fairness.opportunity_gap; the bias alert uses the same block.
kinds := {
	"demographic_parity": ["demographic parity gap", input.limits.parity_gap],
	"equal_opportunity": ["equal opportunity gap", input.limits.opportunity_gap],
	"ranking": [sprintf("difference of %s within groups", [problem.name]), input.limits.max_group_ranking_gap],
}

said(attribute, kind, pair) := sprintf("%s: %s %.3f (%.3f to %.3f) between %s is above %.2f", [
	attribute, kinds[kind][0], pair.value, pair.low, pair.high, pair.groups, kinds[kind][1],
])

reasons contains said(attribute, kind, pair) if {
	some attribute, gaps in input.bounds.groups
	some kind, pairs in gaps
	some pair in pairs
	pair.value > kinds[kind][1]
	counts(pair, kinds[kind][1])
}

# A gap counts when the sample shows it, or when both groups are large enough to need an answer.
counts(pair, limit) if bounds.above(pair, limit)

counts(pair, _) if pair.share >= input.limits.min_group_share

reasons contains reason if some [reason, _] in lacking

lacking contains [said(attribute, kind, pair), rows] if {
	some attribute, gaps in input.bounds.groups
	some kind, pairs in gaps
	some pair in pairs
	pair.value > kinds[kind][1]
	not bounds.above(pair, kinds[kind][1])
	pair.share >= input.limits.min_group_share
	rows := bounds.more(pair.value - pair.low, pair.value - kinds[kind][1])
}

# Nothing passes because it was not measured: a stack file waives a gap by its name, with a reason.
lacking contains [reason, input.bounds.rows] if {
	some attribute, gaps in input.bounds.groups
	some kind, pairs in gaps
	count(pairs) == 0
	not waived[sprintf("%s.%s", [attribute, kind])]
	reason := sprintf("%s: fewer than two groups are large enough to compare their %s", [attribute, kind])
}

waived := object.get(input.contract, "waived", {})
