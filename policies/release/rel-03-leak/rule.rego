package promotion.rel_03

import data.release.problem

reasons contains sprintf("%s %.4f is above %.2f: the label leaked", [problem.name, value, input.limits.max_ranking]) if {
	value := input.candidate[problem.ranking]
	value > input.limits.max_ranking
}

reasons contains sprintf("%s alone ranks the label with %s %.4f: the label leaked", [feature, problem.name, value]) if {
	some feature, value in input.data.label_correlation
	value > input.limits.max_feature_ranking
}
