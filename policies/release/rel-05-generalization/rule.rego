package promotion.rel_05

import data.release.problem

reasons contains sprintf("%s on learnt rows is %.4f higher than on held-out rows", [problem.name, gap]) if {
	gap := input.train[problem.ranking] - input.candidate[problem.ranking]
	gap > input.limits.max_train_gap
}
