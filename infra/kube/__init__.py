"""What every role on a cluster shares: pods, servers, charts. Needs the Kubernetes SDK, which `local` lacks."""
