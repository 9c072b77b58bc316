package promotion.rel_07

import data.release.bounds
import data.release.problem

compared[problem.ranking] := [said, input.limits.max_known_loss, input.limits.ranking_tolerance] if {
	said := sprintf("%s on the ingested rows falls by", [problem.name])
}

compared[fact] := [said, input.limits[limit], input.limits.error_tolerance] if {
	some fact, [name, _, limit] in problem.losses
	said := sprintf("%s on the ingested rows, in standard deviations of the outcome, grows by", [name])
}

# The bounds are those of the held-out ingested rows, which are not the rows of the window.
shown(bound) := sprintf("%.4f (%.4f to %.4f by %d of them)", [
	bound.value, bound.low, bound.high, input.bounds.known_rows,
])

doubt(said, bound) := sprintf("%s %s against the champion: the new labels contradict them", [said, shown(bound)])

# A loss that is too large, or that these rows cannot rule out to be too large.
doubts[doubt(said, bound)] := [bound, limit, tolerance] if {
	some fact, [said, limit, tolerance] in compared
	bound := input.bounds.known[fact]
	bound.value > limit
}

doubts[doubt(said, bound)] := [bound, limit, tolerance] if {
	some fact, [said, limit, tolerance] in compared
	bound := input.bounds.known[fact]
	bound.high > limit + tolerance
}

reasons contains reason if some reason, _ in doubts

lacking contains [reason, bounds.more(bound.high - bound.value, distance)] if {
	some reason, [bound, limit, tolerance] in doubts
	not bounds.above(bound, limit)
	distance := max([(limit - bound.value) + tolerance, bound.value - limit])
}
