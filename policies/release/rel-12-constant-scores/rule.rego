package promotion.rel_12

reasons contains sprintf("only %d different scores: the model is constant or under-fit", [input.candidate.distinct_scores]) if {
	not input.candidate.distinct_scores >= input.limits.min_distinct_scores
}
