package promotion.rel_09

max_latency_p99_ms := 5

reasons contains sprintf("single-row latency p99 %.2f ms is above %d ms", [input.latency_p99_ms, max_latency_p99_ms]) if {
	not input.latency_p99_ms <= max_latency_p99_ms
}
