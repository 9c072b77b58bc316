# Who may ask the policy server what: callers get decisions; nobody changes a policy but by releasing another one.
package system.authz

default allow := false

allow if {
	input.method in {"GET", "POST"}
	input.path[0] == "v1"
	input.path[1] == "data"
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
