package promotion.rel_10

# The share that ingestion accepts: ingestion.max_bad_share of a stack file.
max_quarantined_share := input.limits.quarantined_share

min_rows := input.limits.min_rows

reasons contains sprintf("feature %s is constant", [name]) if some name in input.data.constant_features

reasons contains reason if some [reason, _] in lacking

reasons contains sprintf("%.3f of the rows were quarantined", [input.data.quarantined_share]) if {
	not input.data.quarantined_share <= max_quarantined_share
}

lacking contains [sprintf("%d rows are fewer than %v", [input.data.rows, min_rows]), min_rows - input.data.rows] if {
	not input.data.rows >= min_rows
}
