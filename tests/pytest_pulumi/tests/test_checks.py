import fakes
import pulumi
import pytest

PROGRAM = """
import fakes
import pulumi
import pytest

OPTIONS = {{}}

def explicit():
    return pulumi.ResourceOptions(provider=fakes.Provider("main"))

{marker}
def test_program(pulumi_run):
    def program():
{body}
    pulumi_run(program)
"""


def indented(body):
    return "\n".join(f"        {line}" for line in body.strip().splitlines())


DUPLICATE = """
options = explicit()
fakes.Bucket("b", options)  # first
fakes.Bucket("b", options)  # here
"""

ORPHAN = """
class Careless(pulumi.ComponentResource):
    def __init__(self, name, opts):
        super().__init__("mine:index:Careless", name, None, opts)
        fakes.Bucket(f"{name}-b", explicit())  # here
        self.register_outputs({})
Careless("c", None)
"""

MERGED = """
class Merging(pulumi.ComponentResource):
    def __init__(self, name, opts):
        super().__init__("mine:index:Merging", name, None, opts)
        fakes.Bucket(f"{name}-b", pulumi.ResourceOptions(parent=self).merge(opts))
        self.register_outputs({})
outer = fakes.Store("outer", fakes.explicit())
Merging("c", pulumi.ResourceOptions(parent=outer))
"""

SILENT = """
class Silent(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("mine:index:Silent", name)
Silent("c")  # here
"""

DEFAULT_PROVIDER = """
fakes.Bucket("b")  # here
"""

DEFAULT_PROVIDER_OF_A_CALL = """
fakes.Bucket("b", explicit())
pulumi.runtime.invoke("fake:index:zones", {})  # here
"""

APPLY = """
options = explicit()
fakes.Bucket("b", options).id.apply(lambda value: fakes.Bucket(f"late", options))  # here
"""

STRING = """
options = explicit()
first = fakes.Bucket("b", options)
fakes.Bucket("c", options, uri=f"s3://{first.id}")  # here
"""

LOST = """
pulumi.export("arn", fakes.Bucket("b", explicit()).arn)
"""

FAILURE = """
fakes.Bucket("b", explicit()).id.apply(lambda value: 1 / 0)  # here
"""

CASES = {
    "duplicate_urn": (
        DUPLICATE,
        "*duplicate_urn: *Bucket 'b' (*.py:{here}) has the URN of *.py:{first}*",
    ),
    "orphan_child": (ORPHAN, "*orphan_child: fake:s3/bucket:Bucket 'c-b' (*.py:{here}) is made by the component 'c'*"),
    "missing_register_outputs": (SILENT, "*mine:index:Silent 'c' (*.py:{here}) never calls register_outputs*"),
    "default_provider": (DEFAULT_PROVIDER, "*'b' (*.py:{here}) uses the default provider of 'fake'*"),
    "resource_in_apply": (APPLY, "*resource_in_apply: *'late' (*.py:{here}) is missing from a preview*"),
    "output_in_string": (STRING, "*pytest-pulumi: raised at *.py:{here}*"),
    "unawaited_failure": (FAILURE, "*raised at *.py:{here}, in an apply on fake:s3/bucket:Bucket 'b'*"),
    "lost_export": (LOST, "*lost_export: the export 'arn' has no value, so that the stack's outputs lack it;*"),
    "empty_program": ("pass", "*empty_program: the program registered no resource*"),
}


def run(pytester, body, marker="", *args):
    pytester.makepyfile(PROGRAM.format(body=indented(body), marker=marker))
    return pytester.runpytest_inprocess("-W", "error", *args)


def message_for(body, message):
    return fakes.lines(PROGRAM.format(body=indented(body), marker=""), message)


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_on_by_default_and_names_resource_and_line(pytester, name):
    body, message = CASES[name]
    result = run(pytester, body)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message_for(body, message)])


@pytest.mark.parametrize("name", CASES)
def test_a_marker_switches_one_check_off(pytester, name):
    result = run(pytester, CASES[name][0], f"@pytest.mark.pulumi_allow({name!r})")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("name", CASES)
def test_the_ini_file_switches_a_check_off_everywhere(pytester, name):
    pytester.makeini(f"[pytest]\npulumi_allow = {name}\n")
    run(pytester, CASES[name][0]).assert_outcomes(passed=1)


def test_a_wrong_name_of_a_check_is_refused_with_the_right_ones(pytester):
    result = run(pytester, "pass", "@pytest.mark.pulumi_allow('default_providers')")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no check is called default_providers; there are duplicate_urn, orphan_child,*"])


def test_options_merged_into_a_child_make_it_an_orphan(pytester):
    result = run(pytester, MERGED)
    result.stdout.fnmatch_lines(["*orphan_child: *'c-b' (*) is made by the component 'c'*never merge it*"])


def test_a_call_without_provider_is_found(pytester):
    pytester.makeconftest(
        "import pytest\n@pytest.fixture\ndef pulumi_answers():\n    return {'fake:index:zones': {'a': 1}}"
    )
    result = run(pytester, DEFAULT_PROVIDER_OF_A_CALL)
    message = "*default_provider: the call of fake:index:zones (*.py:{here}) uses the default*"
    result.stdout.fnmatch_lines([message_for(DEFAULT_PROVIDER_OF_A_CALL, message)])


def test_all_problems_of_a_program_are_listed_at_once(pytester):
    result = run(pytester, "fakes.Bucket('b')\nfakes.Bucket('b')")
    result.stdout.fnmatch_lines(["*CheckError: 3 problem(s) in the program:"])


def test_a_resource_made_in_an_apply_of_a_known_value_is_fine(pytester):
    body = "options = explicit()\npulumi.Output.from_input('x').apply(lambda v: fakes.Bucket(v, options))"
    run(pytester, body).assert_outcomes(passed=1)


def test_a_resource_that_exists_only_in_a_preview_is_found(pytester):
    pytester.makepyfile("""
        import fakes
        import pulumi

        async def program():
            options = pulumi.ResourceOptions(provider=fakes.Provider("main"))
            if not await fakes.Bucket("b", options).id.future():
                fakes.Bucket("early", options)

        def test_program(pulumi_run):
            pulumi_run(program)
    """)
    pytester.runpytest_inprocess().stdout.fnmatch_lines(["*'early' (*:7) is only in a preview*"])


def test_a_program_without_applies_or_awaits_runs_once(pulumi_run):
    runs = []

    def program():
        runs.append(pulumi.runtime.is_dry_run())
        fakes.Store("s", fakes.explicit())

    pulumi_run(program)
    assert runs == [False]


def test_program_with_late_resources_runs_with_known_and_unknown_ids(pulumi_run):
    runs = []

    async def program():
        runs.append(pulumi.runtime.is_dry_run())
        await fakes.Store("s", fakes.explicit()).bucket.id.future()

    pulumi_run(program)
    assert runs == [True, False]
