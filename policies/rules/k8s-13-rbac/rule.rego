package rules.k8s_13

import data.lib.k8s

escalating := {"bind", "escalate", "impersonate", "approve", "sign"}

everybody := {"system:masters", "system:authenticated", "system:unauthenticated", "system:anonymous", "system:nodes"}

reading := {"get", "list", "watch", "patch", "update"} # the answer to a change holds the object

writing := {"create", "update", "patch", "delete", "deletecollection"}

# An account that may write these takes rights that nobody granted: tokens of other accounts, roles, what sees every request
# or answers it, the labels that say what is judged in a namespace.
powerful := {
	"serviceaccounts/token", "certificatesigningrequests/approval", "nodes/proxy",
	"roles", "rolebindings", "clusterroles", "clusterrolebindings",
	"validatingwebhookconfigurations", "mutatingwebhookconfigurations",
	"validatingadmissionpolicies", "validatingadmissionpolicybindings",
	"mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
	"apiservices", "namespaces",
}

# Groups whose objects are the policies of the cluster.
policies := {"templates.gatekeeper.sh", "constraints.gatekeeper.sh", "config.gatekeeper.sh", "mutations.gatekeeper.sh"}

violation contains k8s.violation(["rules", i, field], "holds a wildcard") if {
	some i, rule in k8s.reviewed.rules
	some field in ["verbs", "resources", "apiGroups", "nonResourceURLs"]
	some value in object.get(rule, field, [])
	contains(value, "*")
}

violation contains k8s.violation(["rules", i, "verbs"], sprintf("%v lets its holder take other rights", [verb])) if {
	some i, rule in k8s.reviewed.rules
	some verb in rule.verbs
	verb in escalating
}

violation contains k8s.violation(["rules", i, "resources"], sprintf("%v lets its holder take other rights", [resource])) if {
	some i, rule in k8s.reviewed.rules
	some resource in rule.resources
	resource in powerful
	some verb in rule.verbs
	verb in writing
}

violation contains k8s.violation(["rules", i, "apiGroups"], sprintf("%v lets its holder turn policies off", [group])) if {
	some i, rule in k8s.reviewed.rules
	some group in rule.apiGroups
	group in policies
	some verb in rule.verbs
	verb in writing
}

violation contains k8s.violation(["rules", i, "resources"], sprintf("%v leads around the network policies", [resource])) if {
	some i, rule in k8s.reviewed.rules
	some resource in rule.resources
	resource in {"pods/proxy", "services/proxy"}
}

violation contains k8s.violation(["rules", i, "resources"], "reads every secret: name them in resourceNames") if {
	some i, rule in k8s.reviewed.rules
	"secrets" in object.get(rule, "resources", [])
	unnamed(object.get(rule, "resourceNames", []))
	some verb in rule.verbs
	verb in reading
}

violation contains k8s.violation(["aggregationRule"], "takes over the rules of other roles, whatever they will be") if {
	k8s.reviewed.aggregationRule
}

violation contains k8s.violation(["subjects", i, "name"], sprintf("%v is not one workload", [subject.name])) if {
	some i, subject in k8s.reviewed.subjects
	crowd(subject)
}

violation contains k8s.violation(["roleRef", "name"], sprintf("%v grants more than any workload needs", [k8s.reviewed.roleRef.name])) if {
	k8s.reviewed.roleRef.kind == "ClusterRole"
	regex.match(`^(cluster-admin|admin|edit|system:(kube-|controller:|node|aggregate-to-).*)$`, k8s.reviewed.roleRef.name)
}

unnamed([])

unnamed(names) if "" in names # the name of what is listed

crowd(subject) if subject.name in everybody

crowd(subject) if startswith(subject.name, "system:serviceaccounts")

# The account of every pod that names none, by its own name or by that of its user.
crowd(subject) if regex.match(`^system:serviceaccount:[^:]*:default$`, subject.name)

crowd(subject) if {
	subject.kind == "ServiceAccount"
	subject.name == "default"
}
