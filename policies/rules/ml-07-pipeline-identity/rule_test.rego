package rules.ml_07_test

import data.rules.ml_07

test_allowed_samples_pass if {
	every sample in data.samples.ml_07.allowed {
		count(ml_07.violation) == 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_disallowed_samples_are_found if {
	every sample in data.samples.ml_07.disallowed {
		count(ml_07.violation) > 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_an_exempted_object_passes if {
	sample := data.samples.ml_07.disallowed[0]
	exempted := object.union(sample.input, {"parameters": {"exempt": [sample.id]}})
	count(ml_07.violation) == 0 with input as exempted with data.inventory as sample.inventory
}
