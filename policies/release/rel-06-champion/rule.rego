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

# Many promotions, each a little worse, must not lose more than one may: a champion of the window's time counts too, on
# the rows whose outcomes were known when it was promoted. A model that is shown to be better on all rows is excused,
# because then the world has changed.
reasons contains sprintf("%s %.4f (%.4f to %.4f by %d rows) against version %s, on rows known when it was promoted, more than %.3f", [
	said, bound.value, bound.low, bound.high, former.rows, former.version, limit,
]) if {
	some former in object.get(input.bounds, "former", [])
	some fact, [said, limit, _] in compared
	bound := former.settled[fact]
	bound.value > limit
	bound.low > 0
	former.window[fact].high >= 0
}

reasons contains reason if some [reason, _] in lacking

lacking contains [reason, bounds.behind] if some reason in worse

lacking contains [sprintf("%s %s %s which may be more than %.3f", [said, bounds.shown(bound), against, limit]), rows] if {
	some fact, [said, limit, tolerance] in compared
	bound := input.bounds.champion[fact]
	rows := bounds.open_ceiling(bound, limit, tolerance)
}
