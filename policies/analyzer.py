"""The policy pack: the engine's analyzer protocol, answered with the gate's verdict.

Not `pulumi_policy.PolicyPack`, which turns every resource into Python objects once per policy (70 times for 70 rules),
keeps the stack's configuration from the rules, and makes an advice of a mandatory rule that met an unknown value. This
server reads each resource once, and every rule is still a policy of its own, with its level, severity and link.
See docs/adr/0009-own-analyzer.md. Source: https://github.com/pulumi/pulumi/blob/v3.250.0/proto/pulumi/analyzer.proto
"""

import datetime as dt
import json
import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from policies import builtin, catalogue, exemptions, gate, report
from policies.model import Finding, Level, PolicyError, Resource, stack_of
from policies.settings import KEY, PolicySettings, parse
from policies.values import plain

NAME = "mlplatform"
VERSION = "0.1.0"
LOCAL = "local"
"""The stack whose data is of its own machine, and which `make up` updates without a preview."""

LEVELS = {"mandatory": analyzer_pb2.MANDATORY, "advisory": analyzer_pb2.ADVISORY}
SEVERITIES = {
    "critical": analyzer_pb2.POLICY_SEVERITY_CRITICAL,
    "high": analyzer_pb2.POLICY_SEVERITY_HIGH,
    "medium": analyzer_pb2.POLICY_SEVERITY_MEDIUM,
    "low": analyzer_pb2.POLICY_SEVERITY_LOW,
}


class Analyzer(analyzer_pb2_grpc.AnalyzerServicer):
    """Collects the inputs of a stack's resources one by one, and judges them together."""

    def __init__(self) -> None:
        self._settings = _settings({})
        self._stack = ""
        self._inputs: dict[str, Resource] = {}

    def Handshake(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Nothing to agree on."""
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def GetPluginInfo(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The pack's version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetAnalyzerInfo(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """One policy for each rule."""
        return analyzer_pb2.AnalyzerInfo(
            name=NAME,
            version=VERSION,
            policies=[
                analyzer_pb2.PolicyInfo(
                    name=rule.id,
                    displayName=rule.metadata.title,
                    description=rule.metadata.title,
                    enforcementLevel=LEVELS[self._settings.level(rule.id)],
                    severity=SEVERITIES[rule.metadata.severity],
                    remediation_steps=rule.metadata.fix,
                    url=rule.metadata.link,
                    policy_type=analyzer_pb2.POLICY_TYPE_STACK,
                )
                for rule in catalogue.all_rules().values()
            ],
        )

    def ConfigureStack(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Levels and parameters come from the stack file."""
        self._stack = request.stack
        self._inputs.clear()
        try:
            self._settings = _settings(request.config)
            exemptions.load()
        except (PolicyError, ValueError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return analyzer_pb2.AnalyzerStackConfigureResponse()

    def Configure(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The engine sends what the pack declares, which is nothing: see `ConfigureStack`."""
        return empty_pb2.Empty()

    def Analyze(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Remember a resource by its inputs."""
        properties, secrets = plain(request.properties)
        self._inputs[request.urn] = Resource(
            urn=request.urn, type=request.type, name=request.name, properties=properties, secrets=secrets
        )
        return analyzer_pb2.AnalyzeResponse()

    def Remediate(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Rules change nothing."""
        return analyzer_pb2.RemediateResponse()

    def AnalyzeStack(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Judge the stack."""
        try:
            verdict = gate.judge(
                [self._resource(each) for each in request.resources],
                self._settings,
                exemptions.load(),
                dt.datetime.now(tz=dt.UTC).date(),
                stack=self._stack or next((stack_of(each.urn) for each in request.resources), ""),
            )
        except PolicyError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise
        if os.environ.get(catalogue.REPORT):
            Path(os.environ[catalogue.REPORT]).write_text(report.as_json(verdict))
        return analyzer_pb2.AnalyzeResponse(diagnostics=list(self._diagnostics(verdict)))

    def _resource(self, given: Any) -> Resource:
        """A resource by its inputs where the engine sent them; the root by its outputs, which are the stack's."""
        known = self._inputs.get(given.urn)
        depends = {key: tuple(value.urns) for key, value in given.propertyDependencies.items()}
        if known is not None and given.type != "pulumi:pulumi:Stack":
            properties, secrets = known.properties, known.secrets
        else:
            properties, secrets = plain(given.properties)
        return Resource(
            urn=given.urn, type=given.type, name=given.name, properties=properties, secrets=secrets, depends=depends
        )

    def _diagnostics(self, verdict: gate.Report) -> Any:
        if verdict.stack != LOCAL and not {catalogue.REPORT, catalogue.STEPS_JUDGED} & set(os.environ):
            finding = Finding(rule=builtin.DESTRUCTION, resource="", message="")
            yield _diagnostic(
                finding, "advisory", f"NOBODY JUDGED WHAT THIS LOSES: `make up STACK={verdict.stack}` does"
            )
        for violation in verdict.violations:
            finding = violation.finding
            fix = catalogue.known(finding.rule).fix
            yield _diagnostic(finding, violation.level, f"{finding.message}. {fix}")
        for finding in verdict.undecided:
            if self._settings.level(finding.rule) == "mandatory":
                yield _diagnostic(finding, "advisory", f"cannot be decided before `up`: {finding.message}")
        for exemption, finding in verdict.exempted:
            yield _diagnostic(finding, "advisory", f"exempted: {finding.message}; {exemption}")


def _settings(config: Mapping[str, str]) -> PolicySettings:
    """What the stack file says. Raises: PolicyError, ValueError."""
    return parse(json.loads(config.get(KEY) or os.environ.get(catalogue.SETTINGS) or "{}"))


def _diagnostic(finding: Finding, level: Level, message: str) -> Any:
    metadata = catalogue.known(finding.rule)
    return analyzer_pb2.AnalyzeDiagnostic(
        policyName=finding.rule,
        policyPackName=NAME,
        policyPackVersion=VERSION,
        description=metadata.title,
        message=f"{metadata.title}\n{message}",
        enforcementLevel=LEVELS[level],
        urn=finding.resource if finding.resource.startswith("urn:") else "",
        severity=SEVERITIES[metadata.severity],
    )


def serve() -> None:
    """Serve until the engine is done; the first line on standard output is the port, as the engine expects."""
    try:
        catalogue.all_rules()
        analyzer = Analyzer()
    except PolicyError as error:
        sys.exit(str(error))
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(analyzer, server)
    sys.stdout.write(f"{server.add_insecure_port('127.0.0.1:0')}\n")
    sys.stdout.flush()
    server.start()
    threading.Event().wait()
