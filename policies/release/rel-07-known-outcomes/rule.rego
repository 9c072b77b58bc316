package promotion.rel_07

import data.release.problem

reasons contains sprintf("%s on the ingested rows is %.4f lower than the champion's: the new labels contradict them", [problem.name, loss]) if {
	loss := input.known.champion[problem.ranking] - input.known.candidate[problem.ranking]
	loss > input.limits.max_known_loss
}
