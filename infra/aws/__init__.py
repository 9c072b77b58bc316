"""What every role on AWS shares: policies, roles, tags, nodes. All but `substrate` needs the AWS SDK."""
