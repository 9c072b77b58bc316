"""What a stack declares, judged by validators of others: AWS's schemas, Kubernetes' schemas, two policy linters."""
