package promotion.rel_08

# A stack file sets both, as fairness.parity_gap and fairness.opportunity_gap; the bias alert uses the same block.
max_parity_gap := input.limits.parity_gap

max_opportunity_gap := input.limits.opportunity_gap

max_ranking_gap := 0.1 # AUC within groups; 0.05 on the real data, 0.12 and more where one group's score is broken

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

reasons contains sprintf("%s: AUC within groups differs by %.3f, more than %.2f", [attribute, gap, max_ranking_gap]) if {
	some attribute, gaps in input.bias
	gap := gaps.ranking
	not gap <= max_ranking_gap
}

reasons contains sprintf("%s: fewer than two groups are large enough to compare", [attribute]) if {
	some attribute, gaps in input.bias
	not gaps.groups >= 2
}
