package rules.k8s_15_test

import data.rules.k8s_15

test_allowed_samples_pass if {
	every sample in data.samples.k8s_15.allowed {
		count(k8s_15.violation) == 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_disallowed_samples_are_found if {
	every sample in data.samples.k8s_15.disallowed {
		count(k8s_15.violation) > 0 with input as sample.input with data.inventory as sample.inventory
	}
}

test_an_exempted_object_passes if {
	sample := data.samples.k8s_15.disallowed[0]
	exempted := object.union(sample.input, {"parameters": {"exempt": [sample.id]}})
	count(k8s_15.violation) == 0 with input as exempted with data.inventory as sample.inventory
}
