# A model file is code: scikit-learn's and PyTorch's loaders unpickle it, so its source is as critical as an image's.
package rules.ml_01

import data.lib.k8s

models contains {"uri": object.get(pod.spec, ["model", "storageUri"], "nothing"), "path": array.concat(pod.path, ["model", "storageUri"])} if {
	some pod in k8s.pods
	"model" in object.keys(pod.spec)
}

violation contains k8s.violation(model.path, sprintf("%v is outside %v", [model.uri, input.parameters.prefixes])) if {
	some model in models
	not ours(model.uri)
}

violation contains k8s.violation(model.path, sprintf("%v can change under the server's feet: name one run or version", [model.uri])) if {
	some model in models
	regex.match(`(?i)/(latest|current|champion)(/|$)`, model.uri)
}

ours(uri) if {
	some prefix in input.parameters.prefixes
	startswith(uri, prefix)
	not contains(uri, "..")
}
