"""TCP ports that protocols have everywhere; what a server of the platform listens on stands with the server."""

HTTP = 80
HTTPS = 443
DNS = 53
"""UDP as well."""
API_SERVER = (HTTPS, 6443)
"""Where Kubernetes' API servers listen: behind a load balancer, and kubeadm's default."""
MYSQL = 3306
POSTGRES = 5432
REDIS = 6379
