package release.challenger_test

import data.release.challenger

test_no_facts_leave_the_verdict_open if {
	not challenger.allow with input as {}
	challenger.insufficient with input as {}
}

test_facts_of_other_types_are_no_promotion if {
	every facts in [null, [], "good", 7, {"errors": 7, "scores": [], "latency_ms": "fast"}] {
		not challenger.allow with input as facts
	}
}

test_each_sample_has_its_verdict if {
	count(data.samples.challenger) > 10
	every sample in data.samples.challenger {
		said := verdict with input as sample.input
		said == sample.verdict
	}
}

test_refusal_needs_no_sample_size if {
	some sample in data.samples.challenger
	sample.input.scores.low == 0.3
	facts := json.remove(sample.input, ["calls", "entities", "scores/value", "scores/high"])
	not challenger.allow with input as facts
	not challenger.insufficient with input as facts
}

test_refusal_names_no_want_of_rows if {
	some sample in data.samples.challenger
	sample.verdict == "refuse"
	sample.input.errors.high == 0.3
	count(challenger.reasons) == 1 with input as sample.input
}

verdict := "promote" if challenger.allow

verdict := "insufficient" if challenger.insufficient

verdict := "refuse" if {
	not challenger.allow
	not challenger.insufficient
}
