package promotion.rel_05

max_train_gap := 0.04 # AUC on learnt rows minus AUC on held-out rows

reasons contains sprintf("AUC on learnt rows is %.4f higher than on held-out rows", [gap]) if {
	gap := input.train.test_auc - input.candidate.test_auc
	gap > max_train_gap
}
