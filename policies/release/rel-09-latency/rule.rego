package promotion.rel_09

reasons contains sprintf("single-row latency p99 %.2f ms is above %v ms", [input.latency_p99_ms, limit]) if {
	limit := input.limits.max_latency_p99_ms
	not input.latency_p99_ms <= limit
}
