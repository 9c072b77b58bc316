# Each rule of the release policy refuses its own case, and only that; a good release passes.
package release_test

import data.release

good := {
	"candidate": {"test_auc": 0.76, "test_brier": 0.14, "test_calibration_error": 0.01, "distinct_scores": 4000},
	"train": {"test_auc": 0.775},
	"champion": {"test_auc": 0.761},
	"known": {"candidate": {"test_auc": 0.73}, "champion": {"test_auc": 0.76}},
	"bias": {
		"SEX": {"demographic_parity": 0.03, "equal_opportunity": 0.02, "ranking": 0.04, "groups": 2},
		"AGE": {"demographic_parity": 0.14, "equal_opportunity": 0.11, "ranking": 0.04, "groups": 5},
		"EDUCATION": {"demographic_parity": 0.1, "equal_opportunity": 0.08, "ranking": 0.04, "groups": 3},
	},
	"latency_p99_ms": 0.1,
	"data": {
		"hash": "a", "trained_on_hash": "a", "rows": 30000, "quarantined_share": 0,
		"features": ["Age", "Income", "CreditScore", "NumOpenAccounts"], "constant_features": [],
		"label_correlation": {"CreditScore": 0.74},
	},
}

refused(patches) if {
	facts := json.patch(good, patches)
	not release.allow with input as facts
	count(release.reasons) == 1 with input as facts
}

change(path, value) := [{"op": "replace", "path": path, "value": value}]

test_a_good_release_is_allowed if release.allow with input as good

test_the_first_release_needs_no_champion if release.allow with input as json.patch(good, change("/champion", null))

test_no_facts_are_refused if not release.allow with input as {}

test_every_missing_fact_is_refused if {
	every path in release.required {
		facts := json.remove(good, [concat("/", path)])
		not release.allow with input as facts
	}
}

test_low_auc if refused(array.concat(change("/candidate/test_auc", 0.749), change("/champion", null)))

test_a_leak if refused(array.concat(change("/candidate/test_auc", 0.9), change("/train/test_auc", 0.9)))

test_a_feature_that_is_the_label if refused(change("/data/label_correlation/CreditScore", 0.95))

test_brier if refused(change("/candidate/test_brier", 0.16))

test_calibration if refused(change("/candidate/test_calibration_error", 0.04))

test_learnt_by_heart if refused(change("/train/test_auc", 0.81))

test_worse_than_the_champion if refused(change("/champion/test_auc", 0.77))

test_contradicts_what_was_known if refused(change("/known/candidate/test_auc", 0.7))

test_rows_that_were_ingested_have_nothing_known_before if release.allow with input as json.patch(good, change("/known", null))

test_parity_gap if refused(change("/bias/AGE/demographic_parity", 0.21))

test_opportunity_gap if refused(change("/bias/EDUCATION/equal_opportunity", 0.16))

test_ranking_gap if refused(change("/bias/SEX/ranking", 0.12))

test_one_group if refused(change("/bias/SEX/groups", 1))

test_slow if refused(change("/latency_p99_ms", 6))

test_constant_feature if refused(change("/data/constant_features", ["Age"]))

test_few_rows if refused(change("/data/rows", 999))

test_quarantined if refused(change("/data/quarantined_share", 0.02))

test_other_data if refused(change("/data/trained_on_hash", "b"))

test_other_features if refused(change("/data/features", ["Age"]))

test_constant_model if refused(change("/candidate/distinct_scores", 3))
