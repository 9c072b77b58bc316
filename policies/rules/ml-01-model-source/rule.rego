# A model file is code: scikit-learn's and PyTorch's loaders unpickle it, so its source is as critical as an image's.
package rules.ml_01

import data.lib.k8s

models contains {"uri": object.get(pod.spec, [framework, "storageUri"], "nothing"), "path": array.concat(pod.path, [framework, "storageUri"])} if {
	some pod in k8s.pods
	some framework in k8s.frameworks
	framework in object.keys(pod.spec)
}

models contains {"uri": object.get(source, "uri", "nothing"), "path": array.concat(pod.path, ["storageUris", i])} if {
	some pod in k8s.pods
	some i, source in pod.spec.storageUris
}

# By this variable KServe loads a model into a container of the user's own.
models contains {"uri": object.get(variable, "value", "nothing"), "path": array.concat(entry.path, ["env", i])} if {
	some entry in k8s.containers
	some i, variable in entry.container.env
	variable.name == "STORAGE_URI"
}

violation contains k8s.violation(model.path, sprintf("%v is outside %v", [model.uri, input.parameters.prefixes])) if {
	some model in models
	not ours(model.uri)
}

violation contains k8s.violation(model.path, sprintf("%v can change under the server's feet: name one run or version", [model.uri])) if {
	some model in models
	regex.match(`(?i)/(latest|current|champion)(/|$)`, model.uri)
}

# Below a whole bucket or folder: `s3://models` would let `s3://models-of-others/` in, and is itself no single model.
ours(uri) if {
	some prefix in input.parameters.prefixes
	folder := concat("", [trim_suffix(prefix, "/"), "/"])
	startswith(uri, folder)
	count(trim_right(uri, "/")) > count(folder)
	not contains(uri, "..")
}
