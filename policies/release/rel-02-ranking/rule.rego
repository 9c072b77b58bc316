package promotion.rel_02

min_auc := 0.75 # the reference reaches 0.76 on the real data

reasons contains sprintf("AUC %.4f is below %.2f", [input.candidate.test_auc, min_auc]) if {
	not input.candidate.test_auc >= min_auc
}
