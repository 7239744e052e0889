"""What Prometheus finds is what telemetry says, in base units; the alerts and the dashboard ask for nothing else."""

import json
import math
import re
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from k1edge.daemon.metrics import MEANINGS, Metrics
from k1edge.daemon.telemetry import Telemetry
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from tests.brokers import PATIENCE_S, eventually, free_port
from tests.end_to_end.daemon import DaemonProcess, Ear, write_config

DOCS = Path(__file__).parents[2] / "docs"
NOT_FOR_PROMETHEUS = {
    "requests_rejected": "the sum of the rejections by code",
    "section": "an info", "errors": "rejections by code", "extra": "its keys are figures of their own",
}  # fmt: skip
BESIDE = ("degraded", "rung", "card_clock_ppm", "jobs_completed", "jobs_failed", "job_s_sum")
"""In `extra`."""


def telemetry(**figures: object) -> bytes:
    measured = Telemetry()
    for took_ms in (0.5, 3, 3, 700, 5000):
        measured.request_done(int(took_ms * 1e6))
    measured.request_done(9_000_000_000, lent=True)
    measured.broker_clients = 7
    measured.beside = dict.fromkeys(BESIDE, 1.0)
    said = measured.snapshot() | {"temp_c": 51.0, "extra": measured.extra(), "section": "drop", "errors": {"EXPIRED": 2}}
    return Scribe("hall", "pi").write(contract.Telemetry, Stamp(0, False), **said | figures).payload


def told_everything() -> bytes:
    """A message with every figure that the contract has."""
    numbers = {name for name in contract.Telemetry.model_fields if name not in ("section", "errors", "extra", "clock_synced")}
    return telemetry(**dict.fromkeys(numbers, 1))


@pytest.fixture
def serving():
    port = free_port()
    metrics = Metrics(port)
    yield metrics, port
    metrics.close()


def scraped(port: int) -> dict[str, dict[tuple, float]]:
    """Sample name -> labels -> value, as Prometheus reads it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    found: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_figures_come_in_base_units(serving):
    metrics, port = serving
    metrics.take(telemetry(cpu_pct=12.5, drift_ms=-8.0, rss_mb=100.0, hop_load_pct_p99=30.0, mqtt_connected=True, hops=4242))
    found = scraped(port)
    assert found["k1edge_cpu_ratio"][()] == 0.125
    assert found["k1edge_drift_seconds"][()] == -0.008
    assert found["k1edge_resident_memory_bytes"][()] == 100e6
    assert found["k1edge_hop_load_ratio"][(("percentile", "99"),)] == pytest.approx(0.3)
    assert found["k1edge_mqtt_connected"][()] == 1
    assert found["k1edge_hops_total"][()] == 4242
    assert found["k1edge_temperature_celsius"][()] == 51
    assert found["k1edge_broker_clients"][()] == 7
    assert found["k1edge_requests_rejected_total"][(("code", "EXPIRED"),)] == 2
    assert found["k1edge_section_info"][(("section", "drop"),)] == 1


def test_request_latency_is_a_histogram(serving):
    metrics, port = serving
    metrics.take(telemetry())
    found = scraped(port)
    buckets = {dict(labels)["le"]: count for labels, count in found["k1edge_request_seconds_bucket"].items()
               if ("by", "light") in labels}
    assert (buckets["0.001"], buckets["0.005"], buckets["0.5"], buckets["1"], buckets["+Inf"]) == (1, 3, 3, 4, 5)
    counted, took_s = found["k1edge_request_seconds_count"], found["k1edge_request_seconds_sum"]
    assert counted == {(("by", "light"),): 5, (("by", "library"),): 1}
    assert list(took_s.values()) == [pytest.approx(5.7065), pytest.approx(9.0)]


def test_no_gauge_has_a_label_that_means_something_else_to_prometheus():
    assert not [meaning.name for meaning in MEANINGS.values() if {"quantile", "le"} & set(meaning.labels)]


def test_every_figure_of_the_telemetry_has_its_metric():
    figures = set(contract.Telemetry.model_fields) - set(contract.Message.model_fields)
    assert figures <= {*MEANINGS, *NOT_FOR_PROMETHEUS}
    assert set(MEANINGS) - figures == {"broker_clients", *BESIDE}


def test_what_is_not_measured_is_absent_and_before_the_first_telemetry_there_is_nothing(serving):
    metrics, port = serving
    assert scraped(port) == {}
    metrics.take(telemetry(temp_c=None))
    found = scraped(port)
    assert "k1edge_temperature_celsius" not in found
    assert "k1edge_input_level_dbfs" not in found, "without audio"
    assert not [value for samples in found.values() for value in samples.values() if math.isnan(value)]


def test_the_first_refusal_of_a_kind_is_an_increase(serving):
    metrics, port = serving
    metrics.take(telemetry(errors={}))
    before = scraped(port)["k1edge_requests_rejected_total"]
    metrics.take(telemetry(errors={"EXPIRED": 1}))
    assert [value - before[code] for code, value in scraped(port)["k1edge_requests_rejected_total"].items()].count(1) == 1


def test_who_connects_and_asks_for_nothing_is_hung_up_on_without_a_word(monkeypatch, capfd):
    monkeypatch.setattr("k1edge.daemon.metrics.SILENT_S", 0.05)
    metrics = Metrics(port := free_port())
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as silent:
        assert silent.recv(1) == b""
    metrics.take(telemetry())
    assert scraped(port)
    metrics.close()
    assert "TimeoutError" not in capfd.readouterr().err


def test_a_port_that_is_taken_is_logged_and_the_light_goes_on(caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        metrics = Metrics(taken.getsockname()[1])
    assert "prometheus_port" in caplog.text
    metrics.take(b"{}")
    metrics.close()


def test_the_running_daemon_is_scraped_on_loopback_alone(tmp_path, mosquitto):
    port = free_port()
    more = f'[audio]\ndevice = "nowhere"\n[telemetry]\nrate_hz = 10\nprometheus_port = {port}\n'
    config = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n{more}')
    with Ear(mosquitto.settings(), "k1/#", "homeassistant/#") as ear, DaemonProcess("--config", str(config)) as daemon:
        told = ear.await_said("/edge/pi/telemetry")
        assert {key for key in told["extra"] if "request" not in key} <= set(MEANINGS), "each has its metric"
        ear.send(contract.Publication("homeassistant/status", b"online", 1))
        request = b'{"id":"1","caller":"test"}'
        ear.send(contract.Publication("k1/v1/hall/edge/pi/request/override.release", request, 1))
        eventually(lambda: scraped(port).get("k1edge_requests_ok_total", {}).get(()) == 1, "the request is counted")
        assert scraped(port)["k1edge_request_seconds_count"][("by", "light"),] == 1
        eventually(lambda: "k1edge_broker_clients" in scraped(port), "mosquitto tells its clients")
        eventually(lambda: scraped(port)["k1edge_degraded"][()] == 1, "without the sound card that is configured")
        with pytest.raises(ConnectionRefusedError):  # an address of this machine, too, whatever its name means to it
            socket.create_connection(("127.0.0.2", port), 1)
        daemon.stop()
        assert daemon.process.returncode == 0
        assert not ear.said("/config"), "Home Assistant is not told of it unless that is configured"


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Every name that Prometheus can find."""
    metrics = Metrics(port := free_port())
    metrics.take(told_everything())
    names = set(scraped(port))
    metrics.close()
    return names


def asked_for(expression: str) -> set[str]:
    return set(re.findall(r"\bk1edge_\w+", expression))


def test_the_alerts_ask_for_what_is_exported_and_say_what_to_do(exported):
    text = (DOCS / "alerts.yml").read_text()
    form = r"- alert: (\w+)\n +expr: (.+)\n +for: (\d+[smh])\n +labels: .+\n +annotations:\n +summary: (.+)\n"
    rules = re.findall(form, text)
    assert len(rules) == text.count("- alert:") >= 8
    for name, expression, _, summary in rules:
        assert asked_for(expression), name
        assert asked_for(expression) <= exported, name
        assert len(summary) > 20
    assert len({name for name, *_ in rules}) == len(rules)


def test_one_edge_of_several_that_is_gone_is_one_alert_wherever_each_is():
    text = (DOCS / "alerts.yml").read_text()
    (gone,) = re.findall(r"- alert: EdgeGone\n +expr: (.+)\n", text)
    assert '(up{job="k1edge"} unless k1edge_uptime_seconds)' in gone, "absent() tells only that all are, and without a label"
    assert "on(instance)" not in text, "on loopback each edge is the same instance"


def test_the_dashboard_loads_and_asks_for_what_is_exported(exported):
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    assert {"title", "uid", "panels", "schemaVersion", "templating", "time"} <= set(dashboard)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) >= 10
    for panel in dashboard["panels"]:
        assert {"type", "title", "gridPos", "targets", "datasource"} <= set(panel)
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel["targets"]:
            assert asked_for(target["expr"]) and asked_for(target["expr"]) <= exported, panel["title"]
    cells = [(x, y) for p in dashboard["panels"] for g in [p["gridPos"]]
             for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])]  # fmt: skip
    assert len(cells) == len(set(cells)), "no panel covers another"
