package release_test

import data.release

test_no_facts_are_refused if not release.allow with input as {}

test_facts_of_other_types_are_refused if {
	every facts in [null, [], "good", 7, {"candidate": 7, "data": [], "bias": "none"}] {
		not release.allow with input as facts
	}
}

test_every_missing_fact_is_refused if {
	every path in data.promotion.rel_01.numbers {
		facts := json.remove(data.samples.rel_01.allowed[0].input, [concat("/", path)])
		not release.allow with input as facts
	}
}
