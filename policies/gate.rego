# Runs the rules on every object of a stack in one evaluation. `input.objects` names the rules that match each object.
package gate

findings contains {"object": entry.index, "rule": rule, "message": found.msg, "path": found.details.path} if {
	some entry in input.objects
	some rule in entry.rules
	some found in data.rules[rule].violation with input as {"review": {"object": entry.object}, "parameters": input.parameters[rule]}
		with data.inventory as input.inventory
}
