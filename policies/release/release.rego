# Which trained model may become champion. The input is what `workloads.loan_default.validation.measure` returns.
# Every number a person may want to change stands in `limits`, with its reason.
package release

limits := {
	"min_auc": 0.75, # the reference reaches 0.76 on the real data
	"max_auc": 0.85, # all 23 raw columns reach 0.78: more means that the label leaked
	"max_feature_auc": 0.82, # one feature alone that ranks this well is the label in disguise; CreditScore has 0.74
	"max_brier": 0.15, # the base rate alone scores 0.172
	"max_calibration_error": 0.03,
	"max_train_gap": 0.04, # AUC on learnt rows minus AUC on held-out rows
	"max_auc_loss": 0.005, # against the champion on the same rows: one standard error of the AUC is 0.006
	"max_known_loss": 0.05, # on the ingested rows, after learning from labelled requests: drift costs up to 0.04, labels that lie about a segment 0.1 and more
	"max_parity_gap": 0.2, # demographic parity, the four-fifths rule turned into a difference
	"max_opportunity_gap": 0.15,
	"max_ranking_gap": 0.1, # AUC within groups; 0.05 on the real data, 0.12 and more where one group's score is broken
	"max_latency_p99_ms": 5,
	"max_quarantined_share": 0.01,
	"min_rows": 1000,
	"min_distinct_scores": 50,
}

# A fact that is absent must refuse, not slip through: undefined values make a comparison below silent.
required := [
	["candidate", "test_auc"], ["candidate", "test_brier"], ["candidate", "test_calibration_error"],
	["candidate", "distinct_scores"], ["train", "test_auc"], ["latency_p99_ms"],
	["data", "rows"], ["data", "quarantined_share"],
	["bias", "SEX", "groups"], ["bias", "AGE", "groups"], ["bias", "EDUCATION", "groups"],
	["bias", "SEX", "demographic_parity"], ["bias", "AGE", "demographic_parity"], ["bias", "EDUCATION", "demographic_parity"],
	["bias", "SEX", "ranking"], ["bias", "AGE", "ranking"], ["bias", "EDUCATION", "ranking"],
	["bias", "SEX", "equal_opportunity"], ["bias", "AGE", "equal_opportunity"], ["bias", "EDUCATION", "equal_opportunity"],
]

reasons contains sprintf("%s is missing or not a number", [concat(".", path)]) if {
	some path in required
	not is_number(object.get(input, path, null))
}

default allow := false

allow if count(reasons) == 0

reasons contains sprintf("AUC %.4f is below %.2f", [input.candidate.test_auc, limits.min_auc]) if {
	not input.candidate.test_auc >= limits.min_auc
}

reasons contains sprintf("AUC %.4f is above %.2f: the label leaked", [input.candidate.test_auc, limits.max_auc]) if {
	input.candidate.test_auc > limits.max_auc
}

reasons contains sprintf("%s alone ranks the label with AUC %.4f: the label leaked", [name, value]) if {
	some name, value in input.data.label_correlation
	value > limits.max_feature_auc
}

reasons contains sprintf("Brier score %.4f is above %.2f", [input.candidate.test_brier, limits.max_brier]) if {
	not input.candidate.test_brier <= limits.max_brier
}

reasons contains sprintf("calibration error %.4f is above %.2f", [value, limits.max_calibration_error]) if {
	value := input.candidate.test_calibration_error
	not value <= limits.max_calibration_error
}

reasons contains sprintf("AUC on learnt rows is %.4f higher than on held-out rows", [gap]) if {
	gap := input.train.test_auc - input.candidate.test_auc
	gap > limits.max_train_gap
}

reasons contains sprintf("AUC is %.4f lower than the champion's on the same rows", [loss]) if {
	loss := input.champion.test_auc - input.candidate.test_auc
	loss > limits.max_auc_loss
}

reasons contains sprintf("AUC on the ingested rows is %.4f lower than the champion's: the new labels contradict them", [loss]) if {
	loss := input.known.champion.test_auc - input.known.candidate.test_auc
	loss > limits.max_known_loss
}

reasons contains sprintf("%s: demographic parity gap %.3f is above %.2f", [attribute, gap, limits.max_parity_gap]) if {
	some attribute, gaps in input.bias
	gap := gaps.demographic_parity
	not gap <= limits.max_parity_gap
}

reasons contains sprintf("%s: equal opportunity gap %.3f is above %.2f", [attribute, gap, limits.max_opportunity_gap]) if {
	some attribute, gaps in input.bias
	gap := gaps.equal_opportunity
	not gap <= limits.max_opportunity_gap
}

reasons contains sprintf("%s: AUC within groups differs by %.3f, more than %.2f", [attribute, gap, limits.max_ranking_gap]) if {
	some attribute, gaps in input.bias
	gap := gaps.ranking
	not gap <= limits.max_ranking_gap
}

reasons contains sprintf("%s: fewer than two groups are large enough to compare", [attribute]) if {
	some attribute in ["SEX", "AGE", "EDUCATION"]
	not input.bias[attribute].groups >= 2
}

reasons contains sprintf("single-row latency p99 %.2f ms is above %d ms", [input.latency_p99_ms, limits.max_latency_p99_ms]) if {
	not input.latency_p99_ms <= limits.max_latency_p99_ms
}

reasons contains sprintf("feature %s is constant", [name]) if some name in input.data.constant_features

reasons contains sprintf("%d rows are fewer than %d", [input.data.rows, limits.min_rows]) if {
	not input.data.rows >= limits.min_rows
}

reasons contains sprintf("%.3f of the rows were quarantined", [input.data.quarantined_share]) if {
	not input.data.quarantined_share <= limits.max_quarantined_share
}

reasons contains "the model was trained on other data than it is judged by" if {
	not input.data.hash == input.data.trained_on_hash
}

reasons contains "the model has other features than the contract" if {
	not input.data.features == ["Age", "Income", "CreditScore", "NumOpenAccounts"]
}

reasons contains sprintf("only %d different scores: the model is constant or under-fit", [input.candidate.distinct_scores]) if {
	not input.candidate.distinct_scores >= limits.min_distinct_scores
}
