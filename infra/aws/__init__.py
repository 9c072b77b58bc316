"""What every role on AWS shares: policies, roles, tags, nodes. Needs the AWS SDK, which `local` lacks."""
