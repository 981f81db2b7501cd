"""The compose files fit their schema, the contract, the command line and the settings."""

import re
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from tests.deploy.compose import ROOT, WITH_ZOOKEEPER, WITHOUT, load, ours, schema
from zenskar.cli.app import app
from zenskar.model.envelope import DEAD_LETTER, INBOUND, OUTBOUND
from zenskar.settings import Settings
from zenskar_stripe.config import SETTINGS

FILES = (WITH_ZOOKEEPER, WITHOUT)
CONTAINERS = {
    "zenskar-postgres": ("postgres:15", 5432),
    "zenskar-zookeeper": ("zookeeper:3.8", 2181),
    "zenskar-kafka": ("confluentinc/cp-kafka:7.4.0", 9092),
    "zenskar-api": ("zenskar-backend-api", 8000),
    "zenskar-worker": ("zenskar-backend-worker", None),
}
ONE_SHOT = "zenskar-migrate"
PROFILES = {
    "scale": {"zenskar-apis", "zenskar-workers"},
    "monitoring": {"zenskar-prometheus", "zenskar-grafana"},
    "backup": {"zenskar-backup"},
}
PASSED_ON = ("OTEL_", "SENTRY_")
every_file = pytest.mark.parametrize("name", FILES)


def published(service: dict[str, Any]) -> list[int]:
    return [int(port.rpartition(":")[2]) for port in service.get("ports", [])]


@every_file
def test_it_fits_the_compose_specification(name: str) -> None:
    jsonschema.validate(load(name), schema())


def test_containers_images_and_ports_are_those_that_others_rely_on() -> None:
    services = load(WITH_ZOOKEEPER)["services"]
    profiles = {name: body["profiles"] for name, body in services.items() if "profiles" in body}
    assert set(services) - set(profiles) == {*CONTAINERS, ONE_SHOT}
    assert profiles == {name: [profile] for profile, names in PROFILES.items() for name in names}
    for name, (image, port) in CONTAINERS.items():
        service = services[name]
        assert (service["container_name"], service["image"]) == (name, image)
        assert published(service) == ([] if port is None else [port])


def test_without_zookeeper_everything_else_is_the_same() -> None:
    services, base = load(WITHOUT)["services"], load(WITH_ZOOKEEPER)["services"]
    assert set(services) == set(base) - {"zenskar-zookeeper"}
    assert not [name for name in services["zenskar-kafka"]["environment"] if "ZOOKEEPER" in name]
    for name in set(services) - {"zenskar-kafka"}:
        assert services[name] == base[name]


def test_the_image_of_zookeeper_can_be_replaced() -> None:
    other = "bitnamilegacy/zookeeper:3.8"
    services = load(WITH_ZOOKEEPER, ZOOKEEPER_IMAGE=other)["services"]
    assert services["zenskar-zookeeper"]["image"] == other
    assert "bitnami/" not in load(WITH_ZOOKEEPER)["services"]["zenskar-zookeeper"]["image"]


@every_file
def test_commands_are_those_of_the_command_line(name: str) -> None:
    commands = typer.main.get_group(app).commands
    for service in ours(name).values():
        program, command, *arguments = service["command"]
        assert program == "zenskar"
        commands[command].make_context(command, arguments)


@every_file
def test_every_variable_is_a_setting(name: str) -> None:
    known = {f"ZENSKAR_{field.upper()}" for field in Settings.model_fields}
    known |= {f"STRIPE_{setting.name.upper()}" for setting in SETTINGS}
    for service in ours(name).values():
        given = {variable.removesuffix("_FILE") for variable in service["environment"]}
        assert {variable for variable in given if not variable.startswith(PASSED_ON)} <= known


@every_file
def test_the_variables_of_traces_and_error_reports_are_passed_on(name: str) -> None:
    """Even an empty value would be a setting; without a value Compose passes on what is set."""
    page = (ROOT / "docs/tracing.md").read_text()
    documented = set(re.findall(r"\b(?:OTEL|SENTRY)_[A-Z_]+", page))
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"} <= documented
    for service in ours(name).values():
        given = service["environment"].items()
        assert {variable for variable, _ in given if variable.startswith(PASSED_ON)} == documented
    assert not re.search(r"^ +(?:OTEL|SENTRY)_\w+: *\S", (ROOT / name).read_text(), re.MULTILINE)


@every_file
def test_secrets_come_from_files(name: str) -> None:
    loaded = load(name)
    mounted = {f"/run/secrets/{secret}" for secret in loaded["secrets"]}
    assert all(body["file"].startswith("./secrets/") for body in loaded["secrets"].values())
    for service in loaded["services"].values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|API_KEY|WEBHOOK_SECRET|DATABASE_URL", variable):
                assert variable.endswith("_FILE")
                assert value in mounted
                assert value.removeprefix("/run/secrets/") in service["secrets"]


@every_file
def test_everything_that_serves_has_a_health_check_and_starts_in_order(name: str) -> None:
    services = load(name)["services"]
    for service in set(services) - {ONE_SHOT}:
        assert services[service]["healthcheck"]["test"][0] == "CMD"
    for service in ("zenskar-api", "zenskar-apis", "zenskar-worker", "zenskar-workers"):
        assert services[service]["depends_on"] == {
            "zenskar-postgres": {"condition": "service_healthy"},
            "zenskar-kafka": {"condition": "service_healthy"},
            ONE_SHOT: {"condition": "service_completed_successfully"},
        }
    wanted = {needed for service in services.values() for needed in service.get("depends_on", ())}
    assert wanted <= set(services)


@every_file
def test_health_checks_ask_the_port_that_is_served(name: str) -> None:
    ports = {
        "zenskar-api": Settings.model_fields["port"].default,
        "zenskar-apis": Settings.model_fields["port"].default,
        "zenskar-worker": Settings.model_fields["worker_health_port"].default,
        "zenskar-workers": Settings.model_fields["worker_health_port"].default,
    }
    for service, port in ports.items():
        body = ours(name)[service]
        assert f"http://127.0.0.1:{port}/health/ready" in body["healthcheck"]["test"][-1]
        assert body["environment"]["ZENSKAR_HOST"] == "0.0.0.0"


@every_file
def test_a_container_may_stop_for_longer_than_zenskar_takes(name: str) -> None:
    grace = Settings.model_fields["shutdown_grace_seconds"].default
    for service in ours(name).values():
        drain = float(service["environment"]["ZENSKAR_DRAIN_SECONDS"])
        assert float(service["stop_grace_period"].removesuffix("s")) > drain + grace


@every_file
def test_logs_are_json_and_the_containers_can_do_little(name: str) -> None:
    for service in ours(name).values():
        assert service["environment"]["ZENSKAR_LOG_FORMAT"] == "json"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@every_file
def test_data_is_on_named_volumes(name: str) -> None:
    loaded = load(name)
    used = {
        volume.partition(":")[0]
        for service in loaded["services"].values()
        for volume in service.get("volumes", ())
        if not volume.startswith("./")
    }
    assert used == set(loaded["volumes"])


@every_file
def test_the_address_of_kafka_is_one_that_it_advertises(name: str) -> None:
    kafka = load(name)["services"]["zenskar-kafka"]["environment"]
    asked = ours(name)["zenskar-api"]["environment"]["ZENSKAR_KAFKA_BOOTSTRAP_SERVERS"]
    assert f"INSIDE://{asked}" in kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert (OUTBOUND, INBOUND, DEAD_LETTER) == ("sync.outbound", "sync.inbound", "sync.dlq")


@every_file
def test_everything_restarts_within_its_memory(name: str) -> None:
    for service, body in load(name)["services"].items():
        wanted = "on-failure:5" if service == ONE_SHOT else "unless-stopped"
        assert body["restart"] == wanted, service
        assert re.fullmatch(r"\d+[mg]", body["mem_limit"]), service


@every_file
def test_only_services_without_a_name_and_a_fixed_port_can_be_scaled(name: str) -> None:
    services = load(name)["services"]
    for service in PROFILES["scale"]:
        body = services[service]
        assert "container_name" not in body
        assert all("-" in port.split(":")[1] for port in body.get("ports", ()))
    for one, many in (("zenskar-api", "zenskar-apis"), ("zenskar-worker", "zenskar-workers")):
        own = {"container_name", "ports", "profiles"}
        alike = [{k: v for k, v in services[n].items() if k not in own} for n in (one, many)]
        assert alike[0] == alike[1]


@every_file
def test_mounted_files_exist(name: str) -> None:
    mounted = [
        volume.split(":")[0]
        for service in load(name)["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    assert len(mounted) == 4
    for path in mounted:
        assert (ROOT / path).exists(), path


def test_prometheus_finds_every_process_that_compose_can_start() -> None:
    loaded = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    scraped = {
        (service, discovery["port"])
        for job in loaded["scrape_configs"]
        for discovery in job["dns_sd_configs"]
        for service in discovery["names"]
    }
    ports = {
        "api": Settings.model_fields["port"],
        "worker": Settings.model_fields["worker_health_port"],
    }
    assert scraped == {
        (name, ports[service["build"]["target"]].default)
        for name, service in ours(WITH_ZOOKEEPER).items()
        if name != ONE_SHOT
    }


def test_grafana_asks_the_prometheus_of_compose() -> None:
    path = ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    services = load(WITH_ZOOKEEPER)["services"]
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert published(services[host]) == [int(port)]
