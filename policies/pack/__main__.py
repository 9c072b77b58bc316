"""What the engine starts for `--policy-pack policies/pack`."""

from policies.analyzer import serve

serve()
