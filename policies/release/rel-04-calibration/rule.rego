package promotion.rel_04

max_brier := 0.15 # the base rate alone scores 0.172

max_calibration_error := 0.03

reasons contains sprintf("Brier score %.4f is above %.2f", [input.candidate.test_brier, max_brier]) if {
	not input.candidate.test_brier <= max_brier
}

reasons contains sprintf("calibration error %.4f is above %.2f", [value, max_calibration_error]) if {
	value := input.candidate.test_calibration_error
	not value <= max_calibration_error
}
