package rules.ml_02_test

import data.rules.ml_02

test_allowed_samples_pass if {
	every sample in data.samples.ml_02.allowed {
		count(ml_02.violation) == 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_disallowed_samples_are_found if {
	every sample in data.samples.ml_02.disallowed {
		count(ml_02.violation) > 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_an_exempted_object_passes if {
	sample := data.samples.ml_02.disallowed[0]
	exempted := object.union(sample.input, {"parameters": {"exempt": [sample.id]}})
	count(ml_02.violation) == 0 with input as exempted with data.inventory as sample.inventory
}
