package promotion.rel_06

max_auc_loss := 0.005 # against the champion on the same rows: one standard error of the AUC is 0.006

reasons contains sprintf("AUC is %.4f lower than the champion's on the same rows", [loss]) if {
	loss := input.champion.test_auc - input.candidate.test_auc
	loss > max_auc_loss
}
