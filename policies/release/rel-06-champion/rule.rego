package promotion.rel_06

import data.release.bounds
import data.release.problem

# Per fact that is compared: how it is said, the largest loss, and how far bounds may reach beyond it.
compared[problem.ranking] := [said, input.limits.max_champion_loss, input.limits.ranking_tolerance] if {
	said := sprintf("%s falls by", [problem.name])
}

compared[fact] := [said, input.limits[limit], input.limits.error_tolerance] if {
	some fact, [name, limit, _] in problem.losses
	said := sprintf("%s, in standard deviations of the outcome, grows by", [name])
}

against := "against the champion on the same rows,"

worse[fact] := sprintf("%s %s %s more than %.3f", [said, bounds.shown(bound), against, limit]) if {
	some fact, [said, limit, _] in compared
	bound := input.bounds.champion[fact]
	bounds.above(bound, limit)
}

reasons contains reason if some reason in worse

reasons contains reason if some [reason, _] in lacking

lacking contains [reason, bounds.behind] if some reason in worse

lacking contains [sprintf("%s %s %s which may be more than %.3f", [said, bounds.shown(bound), against, limit]), rows] if {
	some fact, [said, limit, tolerance] in compared
	bound := input.bounds.champion[fact]
	rows := bounds.open_ceiling(bound, limit, tolerance)
}
