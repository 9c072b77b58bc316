package rel_12_test

import data.promotion.rel_12
import data.release

test_allowed_samples_pass if {
	every sample in data.samples.rel_12.allowed {
		release.allow with input as sample.input
	}
}

test_disallowed_samples_are_refused_by_this_rule_alone if {
	every sample in data.samples.rel_12.disallowed {
		count(rel_12.reasons) > 0 with input as sample.input
		rel_12.reasons == release.reasons with input as sample.input
		not release.allow with input as sample.input
	}
}
