package rules.k8s_19

import data.lib.k8s

# Names of values that are secret themselves; names of where a secret is (`..._FILE`, `..._ARN`) are not.
secretive(name) if {
	regex.match(`(?i)(passw|passphrase|secret|token([_.-]|$)|credential|(api|access|private|encryption|signing)[_-]?key|[_.-](pass|pwd|auth)$)`, name)
	not regex.match(`(?i)(_|-|\.)(file|path|dir|url|uri|arn|name|seconds|type|ref)$`, name)
}

# What is a secret whatever it is called: keys, tokens of well-known issuers, a password in a URL.
telling(value) if {
	some pattern in {
		`-----BEGIN [A-Z ]*PRIVATE KEY-----`,
		`\b(AKIA|ASIA)[0-9A-Z]{16}\b`,
		`://[^/\s:@]*:[^/\s:@$]+@`,
		`\b(gh[opsur]_[A-Za-z0-9]{36}|github_pat_\w{22}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10}|hf_[A-Za-z0-9]{30}|AIza[\w-]{35})`,
		`\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.`,
		`hooks\.slack\.com/services/\w`,
		`(?i)\bauthorization: *(bearer|basic) +[^\s"'$<{]`,
	}
	regex.match(pattern, value)
}

exposed(name, value) if {
	secretive(name)
	not regex.match(`^(\$\([A-Za-z_][A-Za-z0-9_]*\))?$`, value) # which refers to another variable
}

exposed(_, value) if telling(value)

# A line of a file of settings.
exposed(_, value) if regex.match(`(?im)^[\s\w."'-]*(password|passwd|passphrase|secret[_-]?key|api[_-]?key|token)["']?\s*[:=]\s*["']?[^\s"'$<{(%#,;]{6,}`, value)

violation contains k8s.violation(array.concat(entry.path, ["env", i, "value"]), sprintf("%v holds a secret in the clear", [variable.name])) if {
	some entry in k8s.containers
	some i, variable in entry.container.env
	exposed(variable.name, object.get(variable, "value", ""))
}

violation contains k8s.violation(path, "holds a secret in the clear") if {
	some entry in k8s.containers
	some place in [
		["command"], ["args"],
		["livenessProbe", "exec", "command"], ["readinessProbe", "exec", "command"], ["startupProbe", "exec", "command"],
		["lifecycle", "postStart", "exec", "command"], ["lifecycle", "preStop", "exec", "command"],
	]
	line := concat(" ", [sprintf("%v", [word]) | some word in object.get(entry.container, place, [])])
	spoken(line)
	path := array.concat(entry.path, place)
}

# A probe's header is no variable's place.
violation contains k8s.violation(path, "holds a secret in the clear") if {
	some entry in k8s.containers
	some field in ["livenessProbe", "readinessProbe", "startupProbe"]
	some i, header in object.get(entry.container, [field, "httpGet", "httpHeaders"], [])
	lower(header.name) in {"authorization", "cookie", "x-api-key"}
	path := array.concat(entry.path, [field, "httpGet", "httpHeaders", i])
}

violation contains k8s.violation(["binaryData", key], "holds a secret in the clear") if {
	some key, value in k8s.reviewed.binaryData
	exposed(key, base64.decode(value))
}

violation contains k8s.violation(["data", key], "holds a secret in the clear") if {
	some key, value in k8s.reviewed.data
	exposed(key, value)
}

spoken(line) if telling(line)

# A flag or an assignment whose value is neither a variable nor a file.
spoken(line) if {
	flag := `--?[\w-]*(?i:passw(or)?d|passphrase|requirepass|masterauth|secret|token|(api|access|private)[_-]?key)[\s=]+`
	assignment := `[A-Z_]*(PASSW(OR)?D|SECRET|TOKEN|(API|ACCESS|PRIVATE)_?KEY)=`
	regex.match(sprintf(`(^|\s)(%v|%v)["']?[^\s"'$/<-]`, [flag, assignment]), line)
}

# Curl's flag for a user and its password.
spoken(line) if regex.match(`(^|/)curl .*(-u|--user)[\s=]*["']?[^\s"':$]+:[^\s"'$]`, line)
