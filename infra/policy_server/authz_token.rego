# The same as authz.rego for a machine with several accounts: who asks for a decision shows the stack's token.
package system.authz

default allow := false

allow if {
	input.method in {"GET", "POST"}
	input.path[0] == "v1"
	input.path[1] == "data"
	crypto.hmac.equal(input.identity, opa.runtime().env.OPA_TOKEN) # takes as long for any guess
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
