package promotion.rel_11

reasons contains "the model was trained on other data than it is judged by" if {
	not input.data.hash == input.data.trained_on_hash
}

reasons contains "the model has other features than the contract" if {
	not input.data.features == input.contract.features
}
