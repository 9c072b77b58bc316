package promotion.rel_04

import data.release.problem

reasons contains sprintf("%s %.4f is above %.2f", [name, value, input.limits[limit]]) if {
	some fact, [name, limit] in problem.errors
	value := input.candidate[fact]
	not value <= input.limits[limit]
}
