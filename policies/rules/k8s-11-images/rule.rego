package rules.k8s_11

import data.lib.k8s

violation contains k8s.violation(array.concat(entry.path, ["image"]), sprintf("%v is not pinned", [image])) if {
	some entry in k8s.containers
	image := object.get(entry.container, "image", "nothing")
	not pinned(image)
}

# An image mounted as a volume, from which a server loads code or a model.
violation contains k8s.violation(path, sprintf("%v is not pinned, or comes from another registry than %v", [image, known])) if {
	some pod in k8s.pods
	some i, volume in pod.spec.volumes
	image := volume.image.reference
	known := input.parameters.registries
	not mountable(image, known)
	path := array.concat(pod.path, ["volumes", i, "image", "reference"])
}

violation contains k8s.violation(array.concat(entry.path, ["image"]), sprintf("%v comes from another registry than %v", [image, known])) if {
	some entry in k8s.containers
	known := input.parameters.registries
	count(known) > 0
	image := object.get(entry.container, "image", "nothing")
	image != k8s.runtime.image # the runtime is judged where it is defined
	not trusted(image, known)
}

# A version with two parts or more: `1`, `latest` and `stable` move.
pinned(image) if {
	regex.match(`^[^@]+:v?[0-9]+\.[0-9][0-9A-Za-z._-]*$`, image)
	trusted(image, input.parameters.by_version)
}

pinned(image) if regex.match(`^[^@]+@sha256:[0-9a-f]{64}$`, image)

mountable(image, []) if pinned(image)

mountable(image, known) if {
	pinned(image)
	trusted(image, known)
}

# Compared with the slash that ends a name: `ghcr.io/team` would let `ghcr.io/team-evil/` in.
trusted(image, known) if {
	some registry in known
	startswith(image, concat("", [trim_suffix(registry, "/"), "/"]))
}
