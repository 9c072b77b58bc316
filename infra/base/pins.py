"""Versions of what others publish and a stack runs, besides charts (`infra/kube/charts.py`); Renovate raises them."""

# renovate: datasource=docker depName=docker.io/library/postgres
POSTGRES_IMAGE = "docker.io/library/postgres:17.6-bookworm"
# renovate: datasource=docker depName=docker.io/library/mysql
MYSQL_IMAGE = "docker.io/library/mysql:8.4.7"
# renovate: datasource=docker depName=docker.io/library/redis
REDIS_IMAGE = "docker.io/library/redis:8.2.2"
# renovate: datasource=docker depName=docker.io/versity/versitygw
VERSITYGW_IMAGE = "docker.io/versity/versitygw:v1.8.0"
# renovate: datasource=docker depName=docker.io/openpolicyagent/opa
OPA_IMAGE = "docker.io/openpolicyagent/opa:1.22.2-static"
# renovate: datasource=docker depName=ghcr.io/mlflow/mlflow
MLFLOW_IMAGE = "ghcr.io/mlflow/mlflow:v3.17.2-full"
# renovate: datasource=docker depName=docker.io/prom/pushgateway
PUSHGATEWAY_IMAGE = "docker.io/prom/pushgateway:v1.11.1"
# renovate: datasource=docker depName=docker.io/library/registry
REGISTRY_IMAGE = "docker.io/library/registry:3.0.0"
# renovate: datasource=docker depName=quay.io/brancz/kube-rbac-proxy
KUBE_RBAC_PROXY_IMAGE = "quay.io/brancz/kube-rbac-proxy:v0.18.0"
# renovate: datasource=github-releases depName=awslabs/amazon-eks-ami
AL2023_AMI = "v20260709"
# renovate: datasource=github-tags depName=kubeflow/pipelines
KUBEFLOW_PIPELINES = "2.17.0"
