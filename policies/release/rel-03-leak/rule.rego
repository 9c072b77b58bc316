package promotion.rel_03

max_auc := 0.85 # all 23 raw columns reach 0.78: more means that the label leaked

max_feature_auc := 0.82 # one feature alone that ranks this well is the label in disguise; CreditScore has 0.74

reasons contains sprintf("AUC %.4f is above %.2f: the label leaked", [input.candidate.test_auc, max_auc]) if {
	input.candidate.test_auc > max_auc
}

reasons contains sprintf("%s alone ranks the label with AUC %.4f: the label leaked", [name, value]) if {
	some name, value in input.data.label_correlation
	value > max_feature_auc
}
