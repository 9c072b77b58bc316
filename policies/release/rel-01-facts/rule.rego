# A fact that is absent must refuse, not slip through: undefined values make the comparisons of other rules silent.
package promotion.rel_01

numbers contains ["latency_p99_ms"]

numbers contains [part, fact] if {
	some part, facts in {
		"candidate": ["test_auc", "test_brier", "test_calibration_error", "distinct_scores"],
		"train": ["test_auc"],
		"data": ["rows", "quarantined_share"],
		"limits": ["parity_gap", "opportunity_gap", "quarantined_share"],
	}
	some fact in facts
}

numbers contains ["bias", attribute, fact] if {
	some attribute in ["SEX", "AGE", "EDUCATION"]
	some fact in ["groups", "demographic_parity", "equal_opportunity", "ranking"]
}

reasons contains sprintf("%s is missing or not a number", [concat(".", path)]) if {
	some path in numbers
	not is_number(object.get(input, path, null))
}

reasons contains sprintf("%s is neither a number nor null", [concat(".", path)]) if {
	some path in [["champion", "test_auc"], ["known", "champion", "test_auc"], ["known", "candidate", "test_auc"]]
	object.get(input, array.slice(path, 0, count(path) - 1), null) != null
	not is_number(object.get(input, path, null))
}

reasons contains sprintf("data.label_correlation.%s is missing or not a number", [feature]) if {
	some feature in ["Age", "Income", "CreditScore", "NumOpenAccounts"]
	not is_number(object.get(input, ["data", "label_correlation", feature], null))
}

reasons contains "data.constant_features is missing or not a list" if {
	not is_array(object.get(input, ["data", "constant_features"], null))
}
