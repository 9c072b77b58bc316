"""Monitoring on this machine: Prometheus, Alertmanager and Pushgateway, their files accepted by promtool and amtool."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import pulumi

from infra.base.login import USER, bcrypt
from infra.base.phases import Collected
from infra.host import File, Folder, HealthCheckDict, Port, Process, Secret
from infra.host.substrate import LOOPBACK, Local
from infra.monitoring import receivers
from infra.monitoring.settings import PrometheusOnHostSettings
from infra.monitoring.spec import WatchSpec, Webhook

SERVERS = ("prometheus", "alertmanager", "pushgateway")


@dataclass(frozen=True, kw_only=True)
class PrometheusOnHostArgs:
    """The settings, and what other components hand over."""

    settings: PrometheusOnHostSettings

    substrate: Local

    secrets: Mapping[str, str] = field(default_factory=dict)
    """Of the settings' receivers, by name."""


class PrometheusOnHost(pulumi.ComponentResource):
    """One Prometheus with one Alertmanager and one Pushgateway, which keeps what was pushed over a restart.

    Each asks for a generated password, so that neither another account of this machine nor a page in a browser reads
    or changes anything; configurations are read again at a signal, for which no URL is open.
    Realizes `infra.monitoring.Monitoring`.
    Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/
    """

    prometheus_url: pulumi.Output[str]

    alertmanager_url: pulumi.Output[str]

    pushgateway_url: pulumi.Output[str]

    grafana_url: pulumi.Output[str] | None = None

    logins: Mapping[str, pulumi.Output[str]]
    """Server -> its `user:password`; secret."""

    ready: pulumi.Resource
    """Prometheus, once it answers."""

    folder: str
    """Where its configuration is, relative to the stack's folder."""

    process: str
    """Name of Prometheus' process."""

    def __init__(self, name: str, args: PrometheusOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:PrometheusOnHost", name, None, opts)
        self._name, self._args = name, args
        self.documents = args.settings.documents
        self.folder, self.process = f"config/{name}", f"{name}-prometheus"

        self._watched = Collected[Mapping[str, WatchSpec]]("what Prometheus watches", "Alertmanager")
        passwords = {each: self._password(each) for each in SERVERS}
        self.logins = {each: pulumi.Output.concat(USER, ":", password) for each, password in passwords.items()}
        self._passwords = {each: self._kept(each, password) for each, password in passwords.items()}
        self._web = {each: self._web_configuration(each, password) for each, password in passwords.items()}
        self._alertmanager_port = self._port("alertmanager", args.settings.alertmanager_port)
        self.alertmanager_url = _url(self._alertmanager_port)
        self._build_pushgateway()
        self.ready = self._build_prometheus()
        self.register_outputs(
            {
                "prometheus_url": self.prometheus_url,
                "alertmanager_url": self.alertmanager_url,
                "pushgateway_url": self.pushgateway_url,
            }
        )

    def watch(self, specs: Mapping[str, WatchSpec]) -> None:
        """Scrape the targets, evaluate the rules, and start Alertmanager with all webhooks."""
        self._watched.add(specs)
        for name, spec in specs.items():
            _WatchOnHost(name, self, spec)
        self._watched.close()
        self._start_alerting({name: spec.webhook for name, spec in specs.items() if spec.webhook is not None})

    def _start_alerting(self, webhooks: Mapping[str, Webhook]) -> None:
        child = pulumi.ResourceOptions(parent=self)
        folder = f"{self.folder}/tokens"
        tokens = {
            name: File(f"{self._name}-{name}-token", path=f"{folder}/{name}", content=hook.token, opts=child)
            for name, hook in webhooks.items()
        }
        configuration = File(
            f"{self._name}-alertmanager-configuration",
            path=f"{self.folder}/alertmanager.yml",
            content=pulumi.Output.json_dumps(
                alertmanager_configuration(webhooks, tokens, self._args.settings.receivers, self._args.secrets),
                indent=1,
            ),
            check=["amtool", "check-config", "{path}"],
            opts=child,
        )
        if any(isinstance(each, receivers.HeartbeatReceiver) for each in self._args.settings.receivers):
            File(
                f"{self._name}-heartbeat-rules",
                path=f"{self.folder}/rules/heartbeat.yml",
                content=receivers.heartbeat_rules(),
                check=["promtool", "check", "rules", "{path}"],
                reload=self.process,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.ready]),
            )
        data = self._data("alertmanager")
        Process(
            f"{self._name}-alertmanager",
            command=[
                self._args.substrate.program("prometheus-alertmanager", "alertmanager"),
                pulumi.Output.concat("--config.file=", configuration.absolute_path),
                pulumi.Output.concat("--storage.path=", data.absolute_path),
                pulumi.Output.concat("--web.listen-address=", _address(self._alertmanager_port)),
                pulumi.Output.concat("--web.external-url=", self.alertmanager_url),
                pulumi.Output.concat("--web.config.file=", self._web["alertmanager"].absolute_path),
                # Without an address it does not listen for peers on all interfaces.
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            ports=[self._alertmanager_port.chosen],
            health=self._health("alertmanager", self.alertmanager_url),
            folders=[data.absolute_path],
            triggers={
                "configuration": configuration.sha256,
                "web": self._web["alertmanager"].sha256,
                **{f"token-{name}": token.sha256 for name, token in tokens.items()},
            },
            opts=self._args.substrate.child(self),
        )

    def _build_pushgateway(self) -> None:
        port, data = self._port("pushgateway", self._args.settings.pushgateway_port), self._data("pushgateway")
        self.pushgateway_url = _url(port)
        Process(
            f"{self._name}-pushgateway",
            command=[
                self._args.substrate.program("prometheus-pushgateway", "pushgateway"),
                pulumi.Output.concat("--web.listen-address=", _address(port)),
                pulumi.Output.concat("--persistence.file=", data.absolute_path, "/metrics"),
                "--persistence.interval=5s",
                pulumi.Output.concat("--web.config.file=", self._web["pushgateway"].absolute_path),
                "--log.level=warn",
            ],
            ports=[port.chosen],
            health=self._health("pushgateway", self.pushgateway_url),
            folders=[data.absolute_path],
            triggers={"web": self._web["pushgateway"].sha256},
            opts=self._args.substrate.child(self),
        )

    def _build_prometheus(self) -> Process:
        settings = self._args.settings
        port, data = self._port("prometheus", settings.prometheus_port), self._data("prometheus")
        self.prometheus_url = _url(port)
        configuration = File(
            f"{self._name}-prometheus-configuration",
            path=f"{self.folder}/prometheus.yml",
            content=pulumi.Output.all(
                prometheus=_address(port),
                alertmanager=self.alertmanager_url.apply(lambda url: url.removeprefix("http://")),
                pushgateway=self.pushgateway_url.apply(lambda url: url.removeprefix("http://")),
                passwords=pulumi.Output.all(**{each: file.absolute_path for each, file in self._passwords.items()}),
            ).apply(lambda known: prometheus_configuration(settings.scrape_interval_seconds, **known)),
            check=["promtool", "check", "config", "--syntax-only", "{path}"],
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Process(
            self.process,
            command=[
                "prometheus",
                pulumi.Output.concat("--config.file=", configuration.absolute_path),
                pulumi.Output.concat("--storage.tsdb.path=", data.absolute_path),
                f"--storage.tsdb.retention.time={settings.retention_days}d",
                pulumi.Output.concat("--web.listen-address=", _address(port)),
                # Without it links of alerts name the host, where nothing listens.
                pulumi.Output.concat("--web.external-url=", self.prometheus_url),
                pulumi.Output.concat("--web.config.file=", self._web["prometheus"].absolute_path),
                # By default every page may read it.
                pulumi.Output.concat("--web.cors.origin=", self.prometheus_url.apply(re.escape)),
                "--log.level=warn",
            ],
            ports=[port.chosen],
            health=self._health("prometheus", self.prometheus_url),
            folders=[data.absolute_path],
            triggers={
                "configuration": configuration.sha256,
                "web": self._web["prometheus"].sha256,
                **{f"password-{each}": file.sha256 for each, file in self._passwords.items()},
            },
            opts=self._args.substrate.child(self),
        )

    def _health(self, part: str, url: pulumi.Output[str]) -> HealthCheckDict:
        return {"http_url": pulumi.Output.concat(url, "/-/ready"), "login": self.logins[part]}

    def _password(self, part: str) -> pulumi.Output[str]:
        child = pulumi.ResourceOptions(parent=self)
        return Secret(f"{self._name}-{part}-password", length=40, opts=child).value

    def _kept(self, part: str, password: pulumi.Output[str]) -> File:
        """The file by which Prometheus knows a server's password."""
        return File(
            f"{self._name}-{part}-password-file",
            path=f"{self.folder}/passwords/{part}",
            content=password,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _web_configuration(self, part: str, password: pulumi.Output[str]) -> File:
        """Source: https://prometheus.io/docs/prometheus/latest/configuration/https/."""
        return File(
            f"{self._name}-{part}-web-configuration",
            path=f"{self.folder}/web/{part}.yml",
            content=password.apply(lambda known: json.dumps({"basic_auth_users": {USER: bcrypt(known)}})),
            check=["promtool", "check", "web-config", "{path}"],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _port(self, part: str, number: int | None) -> Port:
        return Port(f"{self._name}-{part}-port", number=number, opts=pulumi.ResourceOptions(parent=self))

    def _data(self, part: str) -> Folder:
        return Folder(
            f"{self._name}-{part}-data",
            path=f"data/{self._name}/{part}",
            keep=self._args.substrate.keep_data,
            opts=pulumi.ResourceOptions(parent=self),
        )


class _WatchOnHost(pulumi.ComponentResource):
    """What one workload asks Prometheus to scrape and to alert on, in files that Prometheus reads again on a change."""

    def __init__(self, name: str, monitoring: PrometheusOnHost, spec: WatchSpec) -> None:
        super().__init__("mlplatform:index:WatchOnHost", name, None, spec.opts)
        child = pulumi.ResourceOptions(parent=self, depends_on=[monitoring.ready])

        targets = File(
            f"{name}-targets",
            path=f"{monitoring.folder}/targets/{name}.json",
            content=pulumi.Output.json_dumps(
                [{"targets": [target], "labels": {"job": job}} for job, target in spec.targets.items()]
            ),
            opts=child,
        )
        File(
            f"{name}-rules",
            path=f"{monitoring.folder}/rules/{name}.yml",
            content=receivers.linked(spec.rules, monitoring.documents),
            check=["promtool", "check", "rules", "{path}"],
            reload=monitoring.process,
            # Prometheus watches the targets' folder from the reload on; one that is made later waits for five minutes.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[monitoring.ready, targets]),
        )

        self.register_outputs({})


def alertmanager_configuration(
    webhooks: Mapping[str, Webhook],
    tokens: Mapping[str, File],
    people: Sequence[receivers.Receiver] = (),
    secrets: Mapping[str, pulumi.Input[str]] = MappingProxyType({}),
) -> dict[str, object]:
    """`alertmanager.yml`: webhooks and people get their alerts; the rest is shown on Alertmanager's page only.

    Source: https://prometheus.io/docs/alerting/latest/configuration/
    """
    goes_on = {"continue": True} if people else {}  # else an alert that starts a retrain would be told to nobody
    routes = [
        {
            "receiver": name,
            "matchers": list(hook.matchers),
            "group_by": ["alertname"],
            "group_wait": f"{hook.group_wait_seconds}s",
            "group_interval": f"{hook.group_wait_seconds}s",
            "repeat_interval": f"{hook.repeat_seconds}s",
            **goes_on,
        }
        for name, hook in webhooks.items()
    ]
    told = [
        {
            "receiver": f"to-{each.name}",
            "matchers": receivers.alerts_of(each),
            "group_by": ["alertname", "workload"],
            **receivers.timing(each),
            "continue": True,
        }
        for each in people
    ]
    called = [
        {
            "name": name,
            "webhook_configs": [
                {
                    "url": hook.url,
                    "http_config": {
                        "authorization": {"type": "Bearer", "credentials_file": tokens[name].absolute_path}
                    },
                    "send_resolved": True,
                }
            ],
        }
        for name, hook in webhooks.items()
    ]
    persons = [
        {"name": f"to-{each.name}", **receivers.integration(each, pulumi.Output.secret(secrets[each.name]))}
        for each in people
    ]
    inhibited = [
        {"source_matchers": each["source"], "target_matchers": each["target"], "equal": each["equal"]}
        for each in receivers.inhibitions(str)
    ]
    return {
        "route": {"receiver": "page", "routes": [*routes, *told]},
        "receivers": [{"name": "page"}, *called, *persons],
        **({"inhibit_rules": inhibited} if people else {}),
    }


def prometheus_configuration(
    interval_seconds: int, prometheus: str, alertmanager: str, pushgateway: str, passwords: Mapping[str, str]
) -> str:
    """`prometheus.yml` as YAML; workloads' targets and rules are read from folders beside it.

    `passwords`: server -> path of the file that holds its password.
    """

    def login(server: str) -> dict[str, object]:
        return {"basic_auth": {"username": USER, "password_file": passwords[server]}}

    return json.dumps(
        {
            "global": {
                "scrape_interval": f"{interval_seconds}s",
                "evaluation_interval": f"{interval_seconds}s",
            },
            "rule_files": ["rules/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}], **login("alertmanager")}]},
            "scrape_configs": [
                {"job_name": "prometheus", "static_configs": [{"targets": [prometheus]}], **login("prometheus")},
                {"job_name": "alertmanager", "static_configs": [{"targets": [alertmanager]}], **login("alertmanager")},
                # Labels that were pushed name the job that pushed them.
                {
                    "job_name": "pushgateway",
                    "honor_labels": True,
                    "static_configs": [{"targets": [pushgateway]}],
                    **login("pushgateway"),
                },
                {"job_name": "workloads", "file_sd_configs": [{"files": ["targets/*.json"]}]},
            ],
        },
        indent=1,
    )


def _address(port: Port) -> pulumi.Output[str]:
    return pulumi.Output.format("{0}:{1}", LOOPBACK, port.chosen)


def _url(port: Port) -> pulumi.Output[str]:
    return pulumi.Output.concat("http://", _address(port))
