package promotion.rel_05

import data.release.bounds
import data.release.problem

max_gap := input.limits.max_train_gap

bound := input.bounds.train_gap

reason := sprintf("%s on learnt rows is %s higher than on held-out rows, more than %.2f", [
	problem.name, bounds.shown(bound), max_gap,
])

reasons contains reason if bound.value > max_gap

# A model that learns by heart what few rows it has does so less with more rows: the gap falls as their number grows.
lacking contains [each, ceil(input.bounds.rows * ((bound.value / max([max_gap, 0.001])) - 1))] if {
	some each in reasons
	open
}

open if not bounds.above(bound, max_gap)

open if bounds.behind
