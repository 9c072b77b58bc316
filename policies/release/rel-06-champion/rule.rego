package promotion.rel_06

import data.release.problem

reasons contains sprintf("%s is %.4f lower than the champion's on the same rows", [problem.name, loss]) if {
	loss := input.champion[problem.ranking] - input.candidate[problem.ranking]
	loss > input.limits.max_champion_loss
}

reasons contains sprintf("the error is %.4f standard deviations larger than the champion's on the same rows", [loss]) if {
	some fact, limit in problem.losses
	loss := input.candidate[fact] - input.champion[fact]
	loss > input.limits[limit]
}
