# How bounds are read: what a sample shows, what it leaves open, and how many more rows would decide it.
# A bound is {"value", "low", "high"}. Bounds narrow with the square root of the rows. Input: see release.rego.
package release.bounds

# Rows that make bounds reach no farther than `distance`, beyond those of now; a thousand million where nothing would.
more(reach, distance) := rows if {
	distance > 0
	ratio := reach / distance
	rows := min([1000000000, max([1, ceil(input.bounds.rows * ((ratio * ratio) - 1))])])
} else := 1000000000

# The value, the bounds and the rows that they come from.
shown(bound) := sprintf("%.4f (%.4f to %.4f by %d held-out rows)", [
	bound.value, bound.low, bound.high, input.bounds.judged_rows,
])

# A floor is missed when the whole of the bounds is below it.
below(bound, floor) if bound.high < floor

# It is left open when the bounds reach farther below it than the tolerance.
open_floor(bound, floor, tolerance) := more(bound.value - bound.low, distance) if {
	not below(bound, floor)
	bound.low < floor - tolerance
	distance := max([(bound.value - floor) + tolerance, floor - bound.value])
}

above(bound, ceiling) if bound.low > ceiling

open_ceiling(bound, ceiling, tolerance) := more(bound.high - bound.value, distance) if {
	not above(bound, ceiling)
	bound.high > ceiling + tolerance
	distance := max([(ceiling - bound.value) + tolerance, bound.value - ceiling])
}

# A model that learnt from fewer rows than the champion may be worse for want of rows: rows that would bring it level.
behind := rows if {
	input.bounds.learnt_rows < input.bounds.champion_learnt_rows
	missing := input.bounds.champion_learnt_rows - input.bounds.learnt_rows
	rows := ceil((missing * input.bounds.rows) / input.bounds.learnt_rows)
}
