package promotion.rel_07

max_known_loss := 0.05 # on the ingested rows, after learning from labelled requests: drift costs up to 0.04, labels that lie about a segment 0.1 and more

reasons contains sprintf("AUC on the ingested rows is %.4f lower than the champion's: the new labels contradict them", [loss]) if {
	loss := input.known.champion.test_auc - input.known.candidate.test_auc
	loss > max_known_loss
}
