# What differs between a binary problem and a regression: the names of facts and limits. Input: see release.rego.
package release.problem

kinds := {
	"binary": {
		"ranking": ["test_auc", "AUC"],
		"errors": {
			"test_brier": ["Brier score", "max_brier", "error_tolerance"],
			"test_calibration_error": ["calibration error", "max_calibration_error", "calibration_tolerance"],
		},
		"losses": {},
	},
	"regression": {
		"ranking": ["test_concordance", "concordance"],
		"errors": {
			"test_relative_error": ["error, in standard deviations of the outcome,", "max_relative_error", "error_tolerance"],
			"test_relative_calibration_error": [
				"calibration error, in standard deviations of the outcome,",
				"max_relative_calibration_error", "calibration_tolerance",
			],
		},
		"losses": {
			"test_relative_error": ["RMSE", "max_error_loss", "max_known_error_loss"],
			"test_relative_mean_error": ["MAE", "max_error_loss", "max_known_error_loss"],
		},
	},
}

kind := kinds[input.contract.problem]

# Fact that says how well a model ranks, and its name for people.
ranking := kind.ranking[0]

name := kind.ranking[1]

errors := kind.errors

losses := kind.losses

limits contains limit if {
	some limit in [
		"min_ranking", "max_ranking", "max_feature_ranking", "max_train_gap", "max_champion_loss", "max_known_loss",
		"max_group_ranking_gap", "max_latency_p99_ms", "min_rows", "min_distinct_scores", "ranking_tolerance",
		"error_tolerance", "calibration_tolerance", "min_group_share",
		"parity_gap", "opportunity_gap", "quarantined_share",
	]
}

limits contains limit if some [_, limit, _] in errors

limits contains limit if {
	some [_, champion, known] in losses
	some limit in [champion, known]
}
