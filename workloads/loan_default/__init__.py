"""The loan-default workload: whether a credit card customer defaults next month."""
