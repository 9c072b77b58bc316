"""Rules that the gate itself sees to: they are about exemptions and about steps, not about what a resource says."""

from policies.rule import Metadata, Rule

EXEMPTIONS = "POL-01"
DESTRUCTION = "POL-02"

RULES = {
    EXEMPTIONS: Rule(
        id=EXEMPTIONS,
        metadata=Metadata(
            title="Exemptions are in force and needed",
            severity="high",
            frameworks={"ISO 27001": "A.5.1"},
            fix="Remove the entry of `policies/exemptions.yaml`, or give it a new expiry that its owner stands for.",
            link="docs/policies.md",
        ),
    ),
    DESTRUCTION: Rule(
        id=DESTRUCTION,
        metadata=Metadata(
            title="Nothing that keeps data or carries others is replaced or deleted",
            severity="critical",
            frameworks={"AWS Well-Architected": "REL09"},
            fix=(
                "Look at the preview's diff; where the loss is meant, add an entry for POL-02 with the resource's URN, "
                "a reason and a near expiry to `policies/exemptions.yaml`."
            ),
            link="docs/policies.md",
        ),
    ),
}
