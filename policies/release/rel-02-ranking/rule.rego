package promotion.rel_02

import data.release.bounds
import data.release.problem

min_ranking := input.limits.min_ranking

bound := input.bounds.candidate[problem.ranking]

reasons contains sprintf("%s %s is below %.2f", [problem.name, bounds.shown(bound), min_ranking]) if {
	bounds.below(bound, min_ranking)
}

reasons contains reason if some [reason, _] in lacking

lacking contains [sprintf("%s %s may be below %.2f", [problem.name, bounds.shown(bound), min_ranking]), rows] if {
	rows := bounds.open_floor(bound, min_ranking, input.limits.ranking_tolerance)
}
