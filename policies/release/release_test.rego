package release_test

import data.release

test_no_facts_are_refused if not release.allow with input as {}

test_facts_of_other_types_are_refused if {
	every facts in [null, [], "good", 7, {"candidate": 7, "data": [], "bias": "none"}] {
		not release.allow with input as facts
	}
}

test_every_missing_fact_is_refused if {
	sound := data.samples.rel_01.allowed[0].input
	numbers := data.promotion.rel_01.numbers with input as sound
	count(numbers) > 30
	every path in numbers {
		facts := json.remove(sound, [concat("/", path)])
		not release.allow with input as facts
	}
}

# Facts about a regression that may be released.
regression := {
	"candidate": {
		"test_concordance": 0.8, "test_relative_error": 0.5,
		"test_relative_calibration_error": 0.05, "distinct_scores": 900,
	},
	"train": {"test_concordance": 0.85},
	"champion": {"test_concordance": 0.8, "test_relative_error": 0.5},
	"known": null,
	"bias": {},
	"latency_p99_ms": 0.1,
	"contract": {"problem": "regression", "features": ["Heat"], "groups": []},
	"limits": {
		"min_ranking": 0.6, "max_ranking": 0.99, "max_feature_ranking": 0.98, "max_relative_error": 0.9,
		"max_relative_calibration_error": 0.25, "max_error_loss": 0.05, "max_train_gap": 0.1,
		"max_champion_loss": 0.01, "max_known_loss": 0.05, "max_group_ranking_gap": 0.1,
		"max_latency_p99_ms": 5, "min_rows": 1000, "min_distinct_scores": 50,
		"parity_gap": 0.2, "opportunity_gap": 0.15, "quarantined_share": 0.01,
	},
	"data": {
		"hash": "a", "trained_on_hash": "a", "rows": 2000, "quarantined_share": 0, "features": ["Heat"],
		"constant_features": [], "label_correlation": {"Heat": 0.7},
	},
}

changed(path, value) := json.patch(regression, [{"op": "replace", "path": path, "value": value}])

test_sound_regression_is_allowed if release.allow with input as regression

test_regression_without_a_fact_or_limit_is_refused if {
	numbers := data.promotion.rel_01.numbers with input as regression
	count(numbers) > 20
	every path in numbers {
		facts := json.remove(regression, [concat("/", path)])
		not release.allow with input as facts
	}
}

test_regression_is_refused_with_the_reason if {
	every path, case in {
		"candidate/test_concordance": [0.59, "concordance 0.5900 is below 0.60"],
		"candidate/test_relative_error": [0.95, "error, in standard deviations of the outcome, 0.9500 is above 0.90"],
		"candidate/test_relative_calibration_error": [
			0.3,
			"calibration error, in standard deviations of the outcome, 0.3000 is above 0.25",
		],
		"champion/test_relative_error": [
			0.4,
			"the error is 0.1000 standard deviations larger than the champion's on the same rows",
		],
		"champion/test_concordance": [0.9, "concordance is 0.1000 lower than the champion's on the same rows"],
		"train/test_concordance": [0.95, "concordance on learnt rows is 0.1500 higher than on held-out rows"],
		"data/label_correlation/Heat": [0.99, "Heat alone ranks the label with concordance 0.9900: the label leaked"],
	} {
		facts := changed(path, case[0])
		case[1] in release.reasons with input as facts
	}
}
