package promotion.rel_04

import data.release.bounds
import data.release.problem

reasons contains sprintf("%s %s is above %.2f", [name, bounds.shown(bound), input.limits[limit]]) if {
	some fact, [name, limit, _] in problem.errors
	bound := input.bounds.candidate[fact]
	bounds.above(bound, input.limits[limit])
}

reasons contains reason if some [reason, _] in lacking

lacking contains [sprintf("%s %s may be above %.2f", [name, bounds.shown(bound), input.limits[limit]]), rows] if {
	some fact, [name, limit, tolerance] in problem.errors
	bound := input.bounds.candidate[fact]
	rows := bounds.open_ceiling(bound, input.limits[limit], input.limits[tolerance])
}
