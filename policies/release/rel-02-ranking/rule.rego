package promotion.rel_02

import data.release.problem

reasons contains sprintf("%s %.4f is below %.2f", [problem.name, value, input.limits.min_ranking]) if {
	value := input.candidate[problem.ranking]
	not value >= input.limits.min_ranking
}
