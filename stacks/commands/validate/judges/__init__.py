"""Validators of others over what a stack declares; runs in the environment `judges`, which has no Pulumi."""
