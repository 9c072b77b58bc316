package promotion.rel_03

import data.release.bounds
import data.release.problem

max_ranking := input.limits.max_ranking

bound := input.bounds.candidate[problem.ranking]

reason := sprintf("%s %s is above %.2f: the label leaked", [problem.name, bounds.shown(bound), max_ranking])

too_high contains reason if bound.value > max_ranking

reasons contains each if some each in too_high

reasons contains sprintf("%s alone ranks the label with %s %.4f: the label leaked", [feature, problem.name, value]) if {
	some feature, value in input.data.label_correlation
	value > input.limits.max_feature_ranking
}

lacking contains [each, bounds.more(bound.value - bound.low, bound.value - max_ranking)] if {
	some each in too_high
	not bounds.above(bound, max_ranking)
}
