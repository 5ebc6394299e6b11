"""The files of `gateway/deploy` agree with the gateway and with each other, as far as that shows without containers."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support_broker import Broker
from support_gateway import ROOT, GatewayProcess, run_cli

from gateway.config import PREFIX, GatewaySettings
from gateway.service import JOIN_TIMEOUT_S, STOP_TIMEOUT_S
from specnet.configuration import load_configuration

DEPLOY = ROOT / "gateway" / "deploy"
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"}
PROMETHEUS_OWN = {"up"}


def read_yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


COMPOSE = read_yaml("compose.yaml")
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
RULES = [rule for group in read_yaml("alerts.yml")["groups"] for rule in group["rules"]]


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Containerfile with their arguments, lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in text.splitlines() if line.strip()]


def arguments_of(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def environment_of_the_image() -> dict[str, str]:
    words = [word for rest in arguments_of("ENV") for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


# ---------------------------------------------------------------------- what Prometheus is asked


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Names of all samples that a gateway can give, with the type of their family."""
    store = tmp_path_factory.mktemp("exposed") / "store"
    store.mkdir()

    class Nowhere:
        host, port = "127.0.0.1", 1

    with GatewayProcess(store, Nowhere()) as gateway:
        page = gateway.get("/metrics")[1]
    endings = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("", "_total"), "gauge": ("",)}
    found = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", page, re.MULTILINE):
        found |= {name + ending: kind for ending in endings[kind]}
    return found


def metrics_in(expression: str) -> set[str]:
    """Names of the metrics in an expression of PromQL."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    names = re.findall(r"[A-Za-z_:][A-Za-z0-9_:]*(?!\w)(?!\s*\()", bare)
    return {name for name in names if name not in KEYWORDS}


def expressions() -> Iterator[str]:
    for rule in RULES:
        yield rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        yield re.fullmatch(r"label_values\((\w+), \w+\)", variable["query"]["query"])[1]


def test_names_are_found_in_an_expression() -> None:
    expression = 'sum by (a, le) (rate(x_total{b="up", c=~"y"}[5m])) / on (a) group_left () z:w and vector(1) > 2'
    assert metrics_in(expression) == {"x_total", "z:w"}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_metric_that_is_asked_for_exists(exposed: dict[str, str], expression: str) -> None:
    names = metrics_in(expression)
    assert names
    assert names <= exposed.keys() | PROMETHEUS_OWN
    # a counter is looked at by its rate, anything else is a mistake
    for name in names - PROMETHEUS_OWN:
        if exposed[name] in {"counter", "histogram"}:
            assert re.search(rf"\b(rate|increase)\({name}\b", expression), name


def test_somebody_is_told_of_everything_that_stops_answers() -> None:
    asked = {name for rule in RULES for name in metrics_in(rule["expr"])}
    assert asked >= {
        "up",
        "specnet_gateway_queue_age_seconds",
        "specnet_gateway_shed_total",
        "specnet_gateway_errors_total",
        "specnet_gateway_broker_connected",
        "specnet_gateway_healthy",
    }
    assert all(rule["labels"]["severity"] in {"info", "warning", "critical"} for rule in RULES)
    assert all(rule["annotations"]["summary"] for rule in RULES)


def test_reasons_in_expressions_are_the_programs_own() -> None:
    from gateway.monitoring import FAULTS, SHED

    wanted = {
        reason
        for expression in expressions()
        for texts in re.findall(r'reason[!=]~?"([^"]*)"', expression)
        for reason in texts.split("|")
    }
    assert wanted
    assert wanted <= {*FAULTS, *SHED}


@pytest.mark.parametrize("command", [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"]])
def test_prometheus_accepts_its_configuration(command: list[str]) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool IS NOT INSTALLED: Prometheus' configuration and rules were not checked by it")
    done = subprocess.run(["promtool", *command], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool IS NOT INSTALLED: no alert was seen firing")
    cases = tmp_path / "cases.yml"
    text = (Path(__file__).parent / "alerts.test.yml").read_text()
    cases.write_text(text.replace("@ALERTS@", str(DEPLOY / "alerts.yml")))
    done = subprocess.run(["promtool", "test", "rules", str(cases)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------------- the dashboard


def test_the_dashboard_is_one_that_grafana_can_show() -> None:
    [source] = read_yaml("grafana/datasource.yml")["datasources"]
    places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in DASHBOARD["panels"]]
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    for number, (x, y, width, height) in enumerate(places):
        assert x + width <= 24
        for other_x, other_y, other_width, other_height in places[number + 1 :]:
            beside = x + width <= other_x or other_x + other_width <= x
            assert beside or y + height <= other_y or other_y + other_height <= y
    [provider] = read_yaml("grafana/dashboards.yml")["providers"]
    mounts = {target for _, target in mounts_of("grafana")}
    assert f"{provider['options']['path']}/dashboard.json" in mounts


# ---------------------------------------------------------------------- containers


def mounts_of(service: str) -> Iterator[tuple[str, str]]:
    for volume in COMPOSE["services"][service]["volumes"]:
        source, target, *_ = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")
        yield source, target


def test_what_is_mounted_is_there_or_is_made_by_the_commands_above_or_is_a_volume() -> None:
    made = ("./broker", "./models")
    for service in COMPOSE["services"]:
        for source, _ in mounts_of(service):
            if source.startswith("."):
                assert (DEPLOY / source).is_file() or source.startswith(made), source
            else:
                assert source in COMPOSE["volumes"]


def test_ports_and_names_agree() -> None:
    [job] = read_yaml("prometheus.yml")["scrape_configs"]
    [discovery] = job["dns_sd_configs"]
    port = GatewaySettings().monitoring.port
    assert environment_of_the_image()["SPECNET_GATEWAY_MONITORING__PORT"] == str(port)
    assert arguments_of("EXPOSE") == [str(port)]
    assert discovery["port"] == port
    assert set(discovery["names"]) <= COMPOSE["services"].keys()
    [source] = read_yaml("grafana/datasource.yml")["datasources"]
    host, prometheus_port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()
    assert f"127.0.0.1:{prometheus_port}:{prometheus_port}" in COMPOSE["services"][host]["ports"]
    jobs = {name for expression in expressions() for name in re.findall(r'job="([^"]+)"', expression)}
    assert jobs == {job["job_name"]}
    for service in ("gateway", "prometheus", "grafana"):
        assert "metrics" in COMPOSE["services"][service]["networks"]
    # replicas cannot share a port or a name of the machine
    assert not {"ports", "container_name"} & COMPOSE["services"]["gateway"].keys()


def test_the_configuration_in_the_container_is_valid_and_reaches_the_broker_of_the_composition() -> None:
    environment = {name: text for name, text in environment_of_the_image().items() if name.startswith(PREFIX)}
    settings = load_configuration(GatewaySettings, DEPLOY / "gateway.toml", environment=environment, prefix=PREFIX)
    assert settings.broker.host in COMPOSE["services"]
    assert f"{settings.broker.port}:{settings.broker.port}" in COMPOSE["services"][settings.broker.host]["ports"]
    targets = {target for _, target in mounts_of("gateway")}
    assert settings.store in targets
    assert arguments_of("WORKDIR")[-1] in targets
    for path in (settings.broker.ca_file, settings.broker.cert_file, settings.broker.key_file):
        assert str(Path(path).parent) in targets
    assert COMPOSE["services"]["gateway"]["command"][-1] in targets
    grace = int(COMPOSE["services"]["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.drain_s + JOIN_TIMEOUT_S + 2 * STOP_TIMEOUT_S
    assert settings.log.format == "json"


def test_the_image_runs_as_nobody_in_particular_and_has_no_compiler() -> None:
    last_stage = [index for index, (name, _) in enumerate(instructions()) if name == "FROM"][-1]
    assert sum(name == "FROM" for name, _ in instructions()) == 2
    runs = [rest for name, rest in instructions()[last_stage:] if name == "RUN"]
    assert len(runs) == 1
    assert runs[0].startswith("useradd ")
    assert arguments_of("USER") == ["10001:10001"]
    assert "10001" in runs[0]
    assert "slim" in dict(rest.split("=", 1) for rest in arguments_of("ARG"))["BASE"]
    assert arguments_of("STOPSIGNAL") == ["SIGTERM"]


def test_the_image_is_installed_as_the_readme_says() -> None:
    [install] = [rest for rest in arguments_of("RUN") if "pip install" in rest]
    defaults = dict(rest.split("=", 1) for rest in arguments_of("ARG"))
    words = [word.replace("${EXTRAS}", defaults["EXTRAS"]) for word in shlex.split(install)]
    assert Path(words[0]).name == "pip"
    words = ["pip", *(word for word in words[1:] if word != "--no-cache-dir")]
    readme = [
        shlex.split(line, comments=True)
        for line in (ROOT / "README.md").read_text().splitlines()
        if "pip install" in line
    ]
    assert words in readme
    # the variant for a GPU is what the message of a missing torch says
    cuda = read_yaml("compose.cuda.yaml")["services"]["gateway"]
    assert f"'specnet-edge[{cuda['build']['args']['EXTRAS']}]'" in (ROOT / "gateway" / "engine.py").read_text()
    environment = {**cuda["environment"]}
    assert load_configuration(GatewaySettings, None, environment=environment, prefix=PREFIX).device == "cuda"


def test_a_wheel_can_be_built_from_the_files_that_are_copied(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling IS NOT INSTALLED: no wheel was built from the copied files")
    for rest in arguments_of("COPY"):
        if rest.startswith("--from"):
            continue
        *sources, target = rest.split()
        for source in sources:
            origin = ROOT / source
            place = tmp_path / target if origin.is_dir() else tmp_path / target / origin.name
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if origin.is_dir() else shutil.copy)(origin, place)
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = {word for rest in arguments_of("COPY") if not rest.startswith("--from") for word in rest.split()[:-1]}
    assert kept == copied
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = subprocess.check_output(
        [sys.executable, "-m", "zipfile", "-l", str(next((tmp_path / "out").glob("*.whl")))], text=True
    )
    assert "gateway/specnet-gateway.service.in" in names
    assert "specnet/datasets/minerals.toml" in names


def health_check() -> list[str]:
    [rest] = arguments_of("HEALTHCHECK")
    return list(ast.literal_eval(rest.split("CMD", 1)[1].strip()))


def test_the_health_check_of_the_image_follows_the_health_page(store: Path, broker: Broker) -> None:
    with GatewayProcess(store, broker) as gateway:
        gateway.wait_healthy()
        name = "SPECNET_GATEWAY_MONITORING__PORT"
        environment = {**os.environ, name: str(gateway.ready["metrics_port"])}
        command = [sys.executable, *health_check()[1:]]
        assert health_check()[0] == "python"
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
        broker.kill()
        gateway.wait_metric("mqtt_events_total", 1, event="disconnects")
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode != 0


def test_the_start_command_of_the_image_exists() -> None:
    [entry], [command] = arguments_of("ENTRYPOINT"), arguments_of("CMD")
    assert json.loads(entry) == ["specnet-gateway"]
    done = run_cli(*json.loads(command), "--help")
    assert done.returncode == 0
    assert "--config" in done.stdout
