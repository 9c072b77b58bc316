package rules.k8s_13

import data.lib.k8s

escalating := {"bind", "escalate", "impersonate"}

everybody := {"system:masters", "system:authenticated", "system:unauthenticated", "system:anonymous"}

violation contains k8s.violation(["rules", i, field], "holds a wildcard") if {
	some i, rule in k8s.reviewed.rules
	some field in ["verbs", "resources", "apiGroups"]
	"*" in object.get(rule, field, [])
}

violation contains k8s.violation(["rules", i, "verbs"], sprintf("%v lets its holder take other rights", [verb])) if {
	some i, rule in k8s.reviewed.rules
	some verb in rule.verbs
	verb in escalating
}

violation contains k8s.violation(["rules", i, "resources"], "reads every secret: name them in resourceNames") if {
	some i, rule in k8s.reviewed.rules
	"secrets" in object.get(rule, "resources", [])
	object.get(rule, "resourceNames", []) == []
	some verb in rule.verbs
	verb in {"get", "list", "watch"}
}

violation contains k8s.violation(["subjects", i, "name"], sprintf("%v is not one workload", [subject.name])) if {
	some i, subject in k8s.reviewed.subjects
	subject.name in everybody
}
