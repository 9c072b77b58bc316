# Which policy a decision is by: the digest of all rules, as the server was told at its start.
package release

policy_sha256 := opa.runtime().config.labels.policy_sha256
