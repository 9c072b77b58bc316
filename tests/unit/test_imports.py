"""Files import each other in one direction only."""

from graphlib import CycleError, TopologicalSorter

import grimp

PLUGINS = ("pytest_pulumi", "pytest_pulumi_kubernetes", "simulated_pulumi")
PACKAGES = ("infra", "policies", "stacks", "tools", "workloads", *PLUGINS)


def circle(graph: grimp.ImportGraph) -> list[str]:
    """Files that import each other in a circle, the first one again at the end; none where there is no circle."""
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(grimp.build_graph(*PACKAGES, cache_dir=None)) == []


def test_a_circle_is_named_by_its_files() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("first", "second"), ("second", "third"), ("third", "second")):
        graph.add_import(importer=importer, imported=imported)
    found = circle(graph)
    assert set(found) == {"second", "third"}
    assert found[0] == found[-1]
