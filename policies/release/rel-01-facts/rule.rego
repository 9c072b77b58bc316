# A fact that is absent must refuse, not slip through: undefined values make the comparisons of other rules silent.
package promotion.rel_01

import data.release.problem

numbers contains ["latency_p99_ms"]

numbers contains [part, fact] if {
	some part, facts in {
		"candidate": ({problem.ranking, "distinct_scores"} | object.keys(problem.errors)),
		"train": {problem.ranking},
		"data": {"rows", "quarantined_share"},
		"limits": problem.limits,
	}
	some fact in facts
}

numbers contains ["data", "label_correlation", feature] if some feature in input.contract.features

numbers contains ["bounds", fact] if some fact in ["rows", "learnt_rows", "judged_rows"]

numbers contains ["bounds", "train_gap", end] if some end in ends

numbers contains ["bounds", "candidate", fact, end] if {
	some fact in ({problem.ranking} | object.keys(problem.errors))
	some end in ends
}

# What is compared has bounds where the champion was measured on the same rows.
numbers contains ["bounds", "champion", fact, end] if {
	object.get(input, "champion", null) != null
	some fact in compared
	some end in ends
}

numbers contains ["bounds", "known", fact, end] if {
	object.get(input, ["known", "champion"], null) != null
	some fact in compared
	some end in ends
}

numbers contains ["bounds", "former", place, part, fact, end] if {
	some place, _ in object.get(input.bounds, "former", [])
	some part in ["settled", "window"]
	some fact in compared
	some end in ends
}

numbers contains ["bounds", "former", place, "rows"] if some place, _ in object.get(input.bounds, "former", [])

numbers contains ["bounds", "known_rows"] if object.get(input, ["known", "champion"], null) != null

numbers contains ["bounds", "groups", attribute, kind, place, end] if {
	some attribute, gaps in input.bounds.groups
	some kind, pairs in gaps
	some place, _ in pairs
	some end in (ends | {"share"})
}

ends := {"value", "low", "high"}

compared := {problem.ranking} | object.keys(problem.losses)

optional contains [part, fact] if {
	some part in ["champion", "known/champion", "known/candidate"]
	some fact in ({problem.ranking} | object.keys(problem.losses))
}

reasons contains sprintf("%s is missing or not a number", [concat(".", [sprintf("%v", [step]) | some step in path])]) if {
	some path in numbers
	not is_number(object.get(input, path, null))
}

reasons contains sprintf("%s.%s is neither a number nor null", [concat(".", path), fact]) if {
	some [part, fact] in optional
	path := split(part, "/")
	object.get(input, path, null) != null
	not is_number(object.get(input, array.concat(path, [fact]), null))
}

reasons contains sprintf("bounds.groups.%s.%s is missing or not a list", [attribute, kind]) if {
	some attribute in input.contract.groups
	some kind in ["demographic_parity", "equal_opportunity", "ranking"]
	not is_array(object.get(input, ["bounds", "groups", attribute, kind], null))
}

reasons contains "data.constant_features is missing or not a list" if {
	not is_array(object.get(input, ["data", "constant_features"], null))
}

reasons contains "contract.problem is neither binary nor regression" if not problem.kind

reasons contains sprintf("contract.%s is missing or not a list", [part]) if {
	some part in ["features", "groups"]
	not is_array(object.get(input, ["contract", part], null))
}
