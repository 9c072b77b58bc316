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
	count(numbers) > 60
	every path in numbers {
		facts := json.remove(sound, [pointer(path)])
		not release.allow with input as facts
	}
}

pointer(path) := concat("/", [sprintf("%v", [step]) | some step in path])

# What the rows leave open is no refusal, and says how many more of them would decide it.
test_few_rows_are_insufficient_and_the_missing_ones_are_counted if {
	sound := data.samples.rel_01.allowed[0].input
	facts := json.patch(sound, [
		{"op": "replace", "path": "bounds/rows", "value": 2000},
		{"op": "replace", "path": "bounds/candidate/test_auc", "value": {"value": 0.76, "low": 0.7, "high": 0.82}},
	])
	not release.allow with input as facts
	release.insufficient with input as facts
	release.more_rows in {6000, 6001} with input as facts # of binary fractions
}

test_refusal_is_no_want_of_rows_whatever_else_is_open if {
	sound := data.samples.rel_01.allowed[0].input
	facts := json.patch(sound, [
		{"op": "replace", "path": "data/constant_features", "value": ["first"]},
		{"op": "replace", "path": "bounds/candidate/test_auc", "value": {"value": 0.76, "low": 0.7, "high": 0.82}},
	])
	not release.insufficient with input as facts
	count(release.reasons) == 2 with input as facts
	release.more_rows == 0 with input as facts
}

test_sample_is_refused_or_left_open_as_it_says if {
	every name in object.keys(data.promotion) {
		every sample in data.samples[name].disallowed {
			agrees(sample.input)
		}
	}
}

agrees(facts) if not is_boolean(object.get(facts, "insufficient", null))

agrees(facts) if {
	open := release.insufficient with input as facts
	open == facts.insufficient
}

# A tolerance of 0 leaves no distance to divide by; the reason must not vanish with the number.
test_reason_stays_where_no_number_of_rows_would_do if {
	sound := data.samples.rel_01.allowed[0].input
	facts := json.patch(sound, [
		{"op": "replace", "path": "limits/ranking_tolerance", "value": 0},
		{"op": "replace", "path": "bounds/candidate/test_auc", "value": {"value": 0.75, "low": 0.7, "high": 0.8}},
	])
	not release.allow with input as facts
	release.more_rows == 1000000000 with input as facts
}

test_small_window_that_loses_to_the_champion_needs_as_many_rows if {
	sound := data.samples.rel_01.allowed[0].input
	facts := json.patch(sound, [
		{"op": "replace", "path": "bounds/rows", "value": 2000},
		{"op": "replace", "path": "bounds/learnt_rows", "value": 1600},
		{"op": "replace", "path": "bounds/champion/test_auc", "value": {"value": 0.043, "low": 0.017, "high": 0.069}},
	])
	release.insufficient with input as facts
	release.more_rows == 28000 with input as facts
}

# Facts about a regression that may be released.
regression := {
	"candidate": {
		"test_concordance": 0.8, "test_relative_error": 0.5, "test_relative_mean_error": 0.4,
		"test_relative_calibration_error": 0.05, "distinct_scores": 900,
	},
	"train": {"test_concordance": 0.85},
	"champion": {"test_concordance": 0.8, "test_relative_error": 0.5, "test_relative_mean_error": 0.4},
	"known": {
		"candidate": {"test_concordance": 0.8, "test_relative_error": 0.5, "test_relative_mean_error": 0.4},
		"champion": {"test_concordance": 0.8, "test_relative_error": 0.5, "test_relative_mean_error": 0.4},
	},
	"bounds": {
		"rows": 30000, "learnt_rows": 24000, "judged_rows": 6000, "known_rows": 6000, "champion_learnt_rows": 24000,
		"candidate": {
			"test_concordance": {"value": 0.8, "low": 0.79, "high": 0.81},
			"test_relative_error": {"value": 0.5, "low": 0.45, "high": 0.55},
			"test_relative_calibration_error": {"value": 0.05, "low": 0, "high": 0.1},
		},
		"train_gap": {"value": 0.05, "low": 0.04, "high": 0.06},
		"champion": losses,
		"known": losses,
		"groups": {},
	},
	"bias": {},
	"latency_p99_ms": 0.1,
	"contract": {"problem": "regression", "features": ["Heat"], "groups": []},
	"limits": {
		"min_ranking": 0.6, "max_ranking": 0.99, "max_feature_ranking": 0.98, "max_relative_error": 0.9,
		"max_relative_calibration_error": 0.25, "max_error_loss": 0.05, "max_known_error_loss": 0.2,
		"max_train_gap": 0.1, "max_champion_loss": 0.01, "max_known_loss": 0.05, "max_group_ranking_gap": 0.1,
		"ranking_tolerance": 0.02, "error_tolerance": 0.1, "calibration_tolerance": 0.15, "min_group_share": 0.01,
		"max_latency_p99_ms": 5, "min_rows": 1000, "min_distinct_scores": 50,
		"parity_gap": 0.2, "opportunity_gap": 0.15, "quarantined_share": 0.01,
	},
	"data": {
		"hash": "a", "trained_on_hash": "a", "rows": 2000, "quarantined_share": 0, "features": ["Heat"],
		"constant_features": [], "label_correlation": {"Heat": 0.7},
	},
}

losses := {
	"test_concordance": {"value": 0, "low": -0.01, "high": 0.01},
	"test_relative_error": {"value": 0, "low": -0.02, "high": 0.02},
	"test_relative_mean_error": {"value": 0, "low": -0.02, "high": 0.02},
}

changed(path, value) := json.patch(regression, [{"op": "replace", "path": path, "value": value}])

test_sound_regression_is_allowed if release.allow with input as regression

test_regression_without_a_fact_or_limit_is_refused if {
	numbers := data.promotion.rel_01.numbers with input as regression
	count(numbers) > 40
	every path in numbers {
		facts := json.remove(regression, [pointer(path)])
		not release.allow with input as facts
	}
}

test_regression_is_refused_with_the_reason if {
	every path, case in {
		"bounds/candidate/test_concordance": [
			{"value": 0.58, "low": 0.57, "high": 0.59},
			"concordance 0.5800 (0.5700 to 0.5900 by 6000 held-out rows) is below 0.60",
		],
		"bounds/candidate/test_relative_error": [
			{"value": 0.95, "low": 0.92, "high": 0.98},
			concat("", [
				"error, in standard deviations of the outcome, ",
				"0.9500 (0.9200 to 0.9800 by 6000 held-out rows) is above 0.90",
			]),
		],
		"bounds/champion/test_relative_error": [
			{"value": 0.1, "low": 0.08, "high": 0.12},
			concat("", [
				"RMSE, in standard deviations of the outcome, grows by 0.1000 (0.0800 to 0.1200 by 6000 held-out rows) ",
				"against the champion on the same rows, more than 0.050",
			]),
		],
		"bounds/known/test_relative_error": [
			{"value": 0.4, "low": 0.35, "high": 0.45},
			concat("", [
				"RMSE on the ingested rows, in standard deviations of the outcome, grows by ",
				"0.4000 (0.3500 to 0.4500 by 6000 of them) against the champion: the new labels contradict them",
			]),
		],
		"data/label_correlation/Heat": [0.99, "Heat alone ranks the label with concordance 0.9900: the label leaked"],
	} {
		facts := changed(path, case[0])
		case[1] in release.reasons with input as facts
		not release.insufficient with input as facts
	}
}
