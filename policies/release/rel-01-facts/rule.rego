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

numbers contains ["bias", attribute, fact] if {
	some attribute in input.contract.groups
	some fact in ["groups", "demographic_parity", "equal_opportunity", "ranking"]
}

numbers contains ["data", "label_correlation", feature] if some feature in input.contract.features

optional contains [part, fact] if {
	some part in ["champion", "known/champion", "known/candidate"]
	some fact in ({problem.ranking} | object.keys(problem.losses))
}

reasons contains sprintf("%s is missing or not a number", [concat(".", path)]) if {
	some path in numbers
	not is_number(object.get(input, path, null))
}

reasons contains sprintf("%s.%s is neither a number nor null", [concat(".", path), fact]) if {
	some [part, fact] in optional
	path := split(part, "/")
	object.get(input, path, null) != null
	not is_number(object.get(input, array.concat(path, [fact]), null))
}

reasons contains "data.constant_features is missing or not a list" if {
	not is_array(object.get(input, ["data", "constant_features"], null))
}

reasons contains "contract.problem is neither binary nor regression" if not problem.kind

reasons contains sprintf("contract.%s is missing or not a list", [part]) if {
	some part in ["features", "groups"]
	not is_array(object.get(input, ["contract", part], null))
}
