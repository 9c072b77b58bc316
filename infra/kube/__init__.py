"""What every role on a cluster shares: pods, servers, charts. All but `substrate` needs the Kubernetes SDK."""
