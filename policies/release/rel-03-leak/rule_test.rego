package rel_03_test

import data.promotion.rel_03
import data.release

test_allowed_samples_pass if {
	every sample in data.samples.rel_03.allowed {
		release.allow with input as sample.input
	}
}

test_disallowed_samples_are_refused_by_this_rule_alone if {
	every sample in data.samples.rel_03.disallowed {
		count(rel_03.reasons) > 0 with input as sample.input
		rel_03.reasons == release.reasons with input as sample.input
		not release.allow with input as sample.input
	}
}
