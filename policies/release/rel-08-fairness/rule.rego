package promotion.rel_08

import data.release.problem

# A stack file sets both, as fairness.parity_gap and fairness.opportunity_gap; the bias alert uses the same block.
max_parity_gap := input.limits.parity_gap

max_opportunity_gap := input.limits.opportunity_gap

max_ranking_gap := input.limits.max_group_ranking_gap

reasons contains sprintf("%s: demographic parity gap %.3f is above %.2f", [attribute, gap, max_parity_gap]) if {
	some attribute, gaps in input.bias
	gap := gaps.demographic_parity
	not gap <= max_parity_gap
}

reasons contains sprintf("%s: equal opportunity gap %.3f is above %.2f", [attribute, gap, max_opportunity_gap]) if {
	some attribute, gaps in input.bias
	gap := gaps.equal_opportunity
	not gap <= max_opportunity_gap
}

reasons contains sprintf("%s: %s within groups differs by %.3f, more than %.2f", [attribute, problem.name, gap, max_ranking_gap]) if {
	some attribute, gaps in input.bias
	gap := gaps.ranking
	not gap <= max_ranking_gap
}

reasons contains sprintf("%s: fewer than two groups are large enough to compare", [attribute]) if {
	some attribute, gaps in input.bias
	not gaps.groups >= 2
}
