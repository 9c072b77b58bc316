"""The platform's Pulumi program: what does exist, per stack file."""
