package rules.ml_01_test

import data.rules.ml_01

test_allowed_samples_pass if {
	every sample in data.samples.ml_01.allowed {
		count(ml_01.violation) == 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_disallowed_samples_are_found if {
	every sample in data.samples.ml_01.disallowed {
		count(ml_01.violation) > 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_an_exempted_object_passes if {
	sample := data.samples.ml_01.disallowed[0]
	exempted := object.union(sample.input, {"parameters": {"exempt": [sample.id]}})
	count(ml_01.violation) == 0 with input as exempted with data.inventory as sample.inventory
}
