"""Resources of a package that no SDK has, so that these tests need none; and line numbers in test programs."""

import re

import pulumi


class Provider(pulumi.ProviderResource):
    def __init__(self, name, opts=None):
        super().__init__("fake", name, {"region": "here"}, opts)


class Bucket(pulumi.CustomResource):
    arn: pulumi.Output[str]
    tags: pulumi.Output[dict]

    def __init__(self, name, opts=None, **props):
        super().__init__("fake:s3/bucket:Bucket", name, {"arn": None, "tags": None} | props, opts)


class Store(pulumi.ComponentResource):
    """Two children, as they should be."""

    def __init__(self, name, opts=None, **props):
        super().__init__("mine:index:Store", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.bucket = Bucket(f"{name}-bucket", opts=child, **props)
        self.logs = Bucket(f"{name}-logs", opts=child, target=self.bucket.id)
        self.register_outputs({"uri": pulumi.Output.concat("s3://", self.bucket.id)})


def explicit(name="main"):
    """Options that name a provider, for programs that are not about providers."""
    return pulumi.ResourceOptions(providers=[Provider(name)])


def lines(source, message):
    """Put the line that has the comment `# here` (or another word) in place of `{here}` in a message."""
    for number, line in enumerate(source.strip().splitlines(), 1):
        for word in re.findall(r"# (\w+)$", line):
            message = message.replace(f"{{{word}}}", str(number))
    return message
