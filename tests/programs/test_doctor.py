"""`k1edge doctor` tells what is wrong and what to do, for each fault that a venue can have."""

import itertools
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.__main__ import main
from k1edge.audio import BUSY, AudioError, StuckError
from k1edge.audio.channels import Channels
from k1edge.config import ConfigError, K1Settings, MqttSettings, Settings, load
from k1edge.dsp.features import FeatureExtractor
from k1edge.dsp.health import REMEDIES, LineHealth
from k1edge.frames import AudioBlock, Channel, StreamFormat
from k1edge.k1 import contract
from k1edge.k1.contract import Scribe, Stamp
from k1edge.k1.link import Arrival, Identity, Link, Received
from k1edge.programs import doctor, findings
from k1edge.programs.findings import Finding, Heard, Rights, Sound
from tests.brokers import PATIENCE_S, eventually, free_port, free_ports
from tests.end_to_end.daemon import write_config
from tests.sound import PCM, as_pcm16
from tests.venue import Venue, setup

GOOD = Sound("CODEC", 3.0, -18.0, -6.0, 0.0, 0.0, 0)
RATE_HZ = 48_000


def levels(finding_or_findings):
    found = [finding_or_findings] if isinstance(finding_or_findings, findings.Finding) else list(finding_or_findings)
    return [finding.level for finding in found]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"clipped_per_s": 200.0}, "overdriven"),
        ({"level_dbfs": -180.0, "peak_dbfs": -180.0}, "silent"),
        ({"level_dbfs": -50.0}, "quiet"),
        ({"offset": -0.2}, "offset"),
        ({"lost_samples": 480}, "lost"),
        ({"channels": (Channel(0.5), Channel(0.5)), "peak_dbfs": -60.0, "level_dbfs": -75.0}, "cancel"),
        ({"channels": (Channel(0.5), Channel(0.0002))}, "one channel is silent"),
    ],
)
def test_each_fault_of_the_line_is_named_with_a_remedy(wrong, word):
    finding = findings.sound(GOOD._replace(**wrong))
    assert finding.level == "warning"
    assert word in finding.sentence
    assert finding.remedy


class Pulled:
    """A card that says nothing any more, and does not let go."""

    fmt = StreamFormat(RATE_HZ)

    def __init__(self, _settings):
        pass

    def __iter__(self):
        raise AudioError("CODEC", "has delivered nothing for 0.2 s", "check the cable and the card")

    def close(self):
        raise StuckError("CODEC", "does not respond within 1 s", "restart this process")


def test_a_card_that_is_pulled_and_does_not_let_go_is_a_finding(monkeypatch):
    monkeypatch.setattr("k1edge.audio.linein.LineIn", Pulled)
    found = doctor._listen(Settings(), False, 0.1, False)
    assert found == ("audio", "fault", "CODEC: has delivered nothing for 0.2 s", "check the cable and the card")


def test_a_healthy_line_is_ok():
    assert findings.sound(GOOD) == ("audio", "ok", "CODEC: -18 dBFS, peaks -6 dBFS in 3.0 s", "")


class Line:
    """Three seconds of a stereo input, hop by hop."""

    fmt, device, lost_samples = StreamFormat(RATE_HZ), SimpleNamespace(name="CODEC"), 0

    def __init__(self, left, right):
        self.samples = np.broadcast_arrays(left, right, np.zeros(3 * RATE_HZ))[:2]
        self.mixer = Channels(np.full(2, 0.5, np.float32))
        self.channels = self.mixer.since

    def __iter__(self):
        interleaved = np.column_stack(self.samples).astype(np.float32)
        for start in range(0, len(interleaved), self.fmt.hop):
            yield AudioBlock(self.mixer.mixed(interleaved[start : start + self.fmt.hop].tobytes()), start, 0)


def heard_by_the_daemon(line):
    """What it says first, after half a minute of the same."""
    health, features = LineHealth(line.fmt), FeatureExtractor(line.fmt)
    for hop, block in enumerate(itertools.chain.from_iterable(itertools.repeat(line, 12))):
        if hop % 100 == 0:
            health.beside(line.channels(), 0, 0.0)
        health.process(block, features.process(block).silent)
    return health.alarms[0]


TONE = 0.3 * np.sin(2 * np.pi * 220 * np.arange(3 * RATE_HZ) / RATE_HZ)


@pytest.mark.parametrize(
    ("left", "right", "code"),
    [
        (TONE, -TONE, "CHANNELS_CANCEL"),
        (0.02 + TONE, 0.02 - TONE, "CHANNELS_CANCEL"),
        (0.0, 0.0, "NO_SIGNAL"),
        (0.004, 0.004, "NO_SIGNAL"),
        (0.02, 0.02, "NO_SIGNAL"),
        (0.02 + TONE, 0.02 + TONE, "DC_OFFSET"),
        (0.02 + TONE / 50, 0.02 + TONE / 50, "DC_OFFSET"),
        (0.004 + TONE / 50, 0.004 + TONE / 50, "LEVEL_LOW"),
        (TONE, 0.004, "CHANNEL_DEAD"),
    ],
)
def test_a_line_is_called_the_same_by_the_doctor_and_by_the_daemon(left, right, code):
    assert heard_by_the_daemon(Line(left, right)).code == code
    assert findings.sound(doctor._measured(Line(left, right), 3.0, False)).sentence.startswith(REMEDIES[code][0])


def test_quiet_channels_that_cancel_each_other_to_the_last_bit_are_not_digital_silence():
    finding = findings.sound(doctor._measured(Line(TONE / 50, -TONE / 50), 3.0, False))
    assert "silent" not in finding.sentence and "very quiet" in finding.sentence


@pytest.mark.parametrize("code", ["LEVEL_LOW", "NO_SIGNAL"])
def test_a_quiet_line_may_have_nothing_to_play_whoever_tells_of_it(code):
    reason, remedy = REMEDIES[code]
    told = findings.told_sound(-60.0, contract.AudioState(state="ok", code=code, reason=reason, remedy=remedy))
    assert told.remedy == f"{remedy}; nothing may be playing just now"
    clips = findings.told_sound(-3.0, contract.AudioState(state="ok", code="CLIPPING", reason="is", remedy="turn it down"))
    assert clips.remedy == "turn it down"


def test_a_card_in_use_is_a_fault_only_where_k1edge_does_not_use_it():
    error = AudioError("CODEC", "is in use", "end the program that uses it", BUSY)
    assert findings.no_sound(error, False) == ("audio", "fault", "CODEC: is in use", error.remedy)
    assert findings.no_sound(error, True).level == "warning"
    ours = AudioError("CODEC", "is in use by k1edge (process 900)", "end that program", BUSY)
    assert findings.no_sound(ours, True).level == "warning"
    theirs = AudioError("CODEC", "is in use by pipewire (process 812)", "keep it off", BUSY)
    assert findings.no_sound(theirs, True) == ("audio", "fault", "CODEC: is in use by pipewire (process 812)", "keep it off")
    assert findings.no_sound(AudioError("CODEC", "is not here", "connect it"), True).level == "fault"


def test_a_clock_of_1970_is_a_fault_and_one_not_set_a_warning():
    assert levels(findings.clock(True, True)) == ["ok"]
    assert levels(findings.clock(False, True)) == ["warning"]
    assert levels(findings.clock(False, False)) == levels(findings.clock(True, False)) == ["fault"]


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("refused by the broker: Not authorized", "username"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate", "ca_file"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid", "clock"),
        ("certificate verify failed: Hostname mismatch, certificate is not valid for 'x'", "--host"),
        ("[Errno 111] Connection refused", "start the broker"),
        ("[Errno -2] Name or service not known", "libnss-mdns"),
        ("timed out", "cable or WiFi"),
        ("Network is unreachable", "cable or WiFi"),
        ("No route to host", "cable or WiFi"),
        ("the broker does not answer CONNECT", "another program"),
        ("closed before it was accepted", "not expired"),  # all that TLS 1.3 lets us know of a certificate of ours
        ("something nobody has seen", "url"),
        ("", "url"),
    ],
)
def test_a_broker_out_of_reach_comes_with_the_remedy_for_its_reason(reason, remedy):
    finding = findings.broker(MqttSettings(url="mqtts://broker:8883"), False, reason)
    assert finding.level == "fault"
    assert remedy in finding.remedy


def test_who_is_refused_without_a_password_is_told_where_it_belongs():
    settings = MqttSettings(url="mqtts://broker:8883", username="edge/pi")
    assert "mqtt-password" in findings.broker(settings, False, "refused by the broker: Not authorized").remedy
    assert "mqtt-password" not in findings.broker(settings, False, "timed out").remedy


def test_a_broker_without_encryption_or_none_at_all_is_a_warning():
    insecure = MqttSettings(allow_insecure=True, url="mqtt://10.0.0.7:1883")
    assert levels(findings.broker(insecure, True, "")) == levels(findings.broker(MqttSettings(), False, "")) == ["warning"]
    for allowed in (False, True):
        on_this_machine = MqttSettings(allow_insecure=allowed, url="mqtt://127.0.0.1:1883")
        assert levels(findings.broker(on_this_machine, True, "")) == ["ok"]


def test_rights_too_few_are_a_fault_and_too_many_a_warning():
    assert levels(findings.access(Rights(True, True, False), "edge/pi")) == ["ok"]
    assert levels(findings.access(Rights(True, True, True), "edge/pi")) == ["warning"]
    assert levels(findings.access(Rights(), "edge/pi")) == ["warning"]
    for few in (Rights(False, True, False), Rights(True, False, False), Rights(False, False, False)):
        assert levels(findings.access(few, "edge/pi")) == ["fault"]


def status(state, **more):
    return Heard(contract.Status(state=state, **more))


def test_the_daemons_own_word_counts():
    assert findings.daemon(status("degraded", code="AUDIO_LOST", reason="CODEC: gone"), "1").sentence.endswith(
        "degraded: AUDIO_LOST, CODEC: gone")
    words = (Heard(), status("lost"), status("stopping"), status("ready"))
    assert [levels(findings.daemon(heard, "1"))[0] for heard in words] == ["warning", "fault", "fault", "ok"]
    info = contract.Info(version="0", contract="1", schema_hash="", config_hash="")
    assert levels(findings.daemon(Heard(contract.Status(state="ready"), info), "1")) == ["warning"], "not restarted since"


def test_an_edge_that_was_without_its_broker_lately_says_so_and_of_a_twin_what_to_do():
    away = "the broker was away for 12 s: connection lost"
    twin = f"{away} again and again: is another client k1edge-hall.pi?"
    for reason, remedy in ((away, "mend what it names"), (twin, "give one another `edge`")):
        found = findings.daemon(status("ready", code="BROKER_BACK", reason=reason), "1")
        assert levels(found) == ["warning"]
        assert reason in found.sentence
        assert remedy in found.remedy


def test_k1s_that_should_be_there_are_missed():
    listed = K1Settings(devices=[{"id": "bar"}, {"id": "porch"}, {"id": "off", "enabled": False}])
    assert levels(findings.k1s(Heard(devices={"bar": "ready", "porch": "ready"}), listed, "hall")) == ["ok"]
    partly = findings.k1s(Heard(devices={"bar": "ready"}), listed, "hall")
    assert (partly.level, "porch" in partly.sentence, "off" in partly.sentence) == ("warning", True, False)
    assert levels(findings.k1s(Heard(), listed, "hall")) == levels(findings.k1s(Heard(), K1Settings(), "hall")) == ["fault"]
    assert levels(findings.k1s(Heard(devices={"bar": "lost", "x": "ready"}), K1Settings(), "hall")) == ["warning"]


def test_a_latency_that_is_named_for_no_k1_that_is_there_is_noticed():
    auto = K1Settings(auto_latency_ms={"k1-baar": 12.0})
    found = findings.k1s(Heard(devices={"k1-bar": "ready"}), auto, "hall")
    assert (found.level, "k1-baar" in found.sentence) == ("warning", True)
    assert levels(findings.k1s(Heard(devices={"k1-baar": "ready"}), auto, "hall")) == ["ok"]


@pytest.mark.parametrize(("name", "payload", "why"), [
    ("K1_Bar", b'{"state":"ready"}', "a-z 0-9 -"), ("bar", b'{"state":"online"}', "state"), ("bar", b"online", "JSON"),
])  # fmt: skip
def test_a_k1_that_is_not_understood_is_named_with_the_reason(name, payload, why):
    told = Received(f"k1/v1/hall/device/{name}/status", payload, Arrival(0, retained=True))
    link = SimpleNamespace(receive=lambda: iter([told]))
    settings = Settings.model_validate({"site": "hall", "telemetry": {"rate_hz": 10.0}})
    found = findings.k1s(doctor._hear(link, settings), settings.k1, "hall")
    assert (found.level, name in found.sentence, why in found.sentence) == ("fault", True, True)


def test_latency_is_judged_by_the_daemons_own_figures():
    def verdict(**figures):
        return levels(findings.latency(contract.Telemetry(**figures), 150))

    assert verdict(hop_load_pct_p99=20.0, device_round_trip_ms_max=8.0) == verdict() == ["ok"]
    assert verdict(hop_load_pct_p99=90.0) == ["warning"]
    assert verdict(device_round_trip_ms_max=400.0) == ["fault"]
    assert levels(findings.latency(None, 150)) == ["warning"]


def test_latencies_of_sound_and_light_are_gone_from_the_time_for_the_way():
    def left_ms(**tables):
        return doctor.left_ms(Settings.model_validate(tables))

    assert left_ms() == 150
    assert left_ms(audio={"input_latency_ms": 30}, k1={"auto_latency_ms": {"bar": 60}}) == 60
    assert left_ms(k1={"devices": [{"id": "bar", "latency_ms": -40}]}) == 190


def test_the_machine_is_judged_by_what_is_left_of_it():
    assert [levels(findings.disk(mb, False, None, "/x"))[0] for mb in (10_000, 100, 5)] == ["ok", "warning", "fault"]
    assert levels(findings.disk(10_000, True, None, "/x")) == ["fault"]
    assert [levels(findings.disk(10_000, False, files, "/x"))[0] for files in (50_000, 5)] == ["ok", "fault"]
    assert [levels(findings.temperature(c))[0] for c in (None, 50, 75, 84)] == ["ok", "ok", "warning", "fault"]
    assert levels(findings.versions({"k1edge": "1"}, False)) == ["fault"]
    assert levels(findings.versions({"numpy": "missing"}, True)) == ["fault"]


def test_the_service_is_judged_by_systemds_word():
    running = {"LoadState": "loaded", "ActiveState": "active", "NRestarts": "0", "StatusText": "following CODEC"}
    assert levels(findings.service(running)) == ["ok"]
    assert levels(findings.service(running | {"NRestarts": "9"})) == ["warning"]
    assert levels(findings.service(running | {"MemoryCurrent": "81264640"})) == ["ok"]
    assert "cgroup_enable=memory" in findings.service(running | {"MemoryCurrent": "[not set]"}).remedy
    assert levels(findings.service(running | {"ActiveState": "failed"})) == ["fault"]
    assert levels(findings.service({})) == levels(findings.service({"LoadState": "not-found"})) == ["warning"]


@given(st.lists(st.sampled_from(["ok", "warning", "fault"])))
def test_the_worst_of_all_decides(given_levels):
    found = [findings.Finding("x", level, "x") for level in given_levels]
    assert findings.worst(found) == max(given_levels, key=["ok", "warning", "fault"].index, default="ok")


def test_every_fault_of_the_configuration_is_told(tmp_path):
    path = write_config(tmp_path, "[beat]\nlead_ms = 5\nengin = 'x'\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    found = list(findings.configuration(caught.value, str(path)))
    assert levels(found) == ["fault", "fault"]
    assert all(finding.remedy and str(path) in finding.sentence for finding in found)


def test_a_broken_configuration_ends_with_1_and_no_traceback(tmp_path, capsys):
    path = write_config(tmp_path, "[beat]\nlead_ms = 5\n")
    assert main(["doctor", "--config", str(path)]) == 1
    told = capsys.readouterr()
    assert "lead_ms" in told.out
    assert "->" in told.out
    assert not told.err


def test_a_person_without_root_is_told_what_takes_root_and_nothing_untrue(public, monkeypatch, request):
    (public / "mqtt-password").write_text("geheim")
    (public / "mqtt-password").chmod(0)
    (public / "private").mkdir(mode=0)
    (public / "state").symlink_to("private/state")
    monkeypatch.setattr(doctor, "INSTALLED", public / "state")
    monkeypatch.setattr(doctor, "_listen", lambda *_: Finding("audio", "ok", "listened"))
    path = write_config(public, '[mqtt]\nurl = "mqtt://127.0.0.1:1883"\nusername = "edge/pi"\n')
    request.getfixturevalue("unprivileged")
    found = {each.check: each for each in doctor.examine(path, 0.1)}
    assert (found["disk"].level, found["config"].level) == ("ok", "ok")
    assert found["broker"].level == "warning"
    assert "only root" in found["broker"].sentence
    assert found["broker"].remedy == "sudo k1edge doctor"
    assert "audio" in found, "it goes on"


# From here on: a real broker with the venue's access list, a real capture device, the program as it is run.


@pytest.fixture(scope="module")
def venue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("venue")
    ports = free_ports(3)
    assert setup(folder, "--ports", ",".join(map(str, ports)), "hall", "edge/pi", "device/porch", "viewer/x").returncode == 0
    with Venue(folder, ports) as running:
        yield running


def configured(folder, venue, node="edge/pi", more=""):
    (folder / "password").write_text(venue.password(node).get_secret_value())
    return write_config(folder, f'[audio]\ndevice = "{PCM}"\n[mqtt]\nurl = "mqtts://localhost:{venue.ports[1]}"\n'
                        f'ca_file = "{venue.folder}/k1edge/ca.crt"\nusername = "{node}"\npassword_file = "password"\n'
                        f"[telemetry]\nrate_hz = 10\n{more}")  # fmt: skip


def examined(config, env=os.environ) -> dict[str, list[dict]]:
    command = [sys.executable, "-m", "k1edge", "doctor", "--config", str(config), "--json", "--seconds", "0.5"]
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == (report["level"] == "fault"), done.stderr
    assert not done.stderr
    found: dict[str, list[dict]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def test_a_venue_in_order_has_no_fault_and_one_sentence_for_each_check(tmp_path, venue, wire_line):
    t = np.arange(RATE_HZ) / RATE_HZ
    wire_line.plug(as_pcm16(0.3 * np.sin(2 * np.pi * 220 * t)))
    k1, edge = (Link(venue.of(node), Identity(node)) for node in ("device/porch", "edge/pi"))
    k1.send(Scribe("hall", "porch").write(contract.DeviceStatus, Stamp(0, False), state="ready"))
    scribe = Scribe("hall", "pi")
    edge.send(scribe.write(contract.Status, Stamp(0, False), state="ready"))
    for link in (k1, edge):
        link.start()
        eventually(lambda link=link: link.connected and not link.queued, "told")
    found = examined(configured(tmp_path, venue), wire_line.env)
    k1.close()
    edge.close()
    assert {check: each[0]["level"] for check, each in found.items() if check not in ("clock", "service")} == {
        "versions": "ok", "temperature": "ok", "disk": "ok", "config": "ok", "broker": "ok", "access": "ok", "daemon": "ok",
        "k1": "ok", "latency": "warning", "audio": "ok",
    }  # fmt: skip
    assert "-13 dBFS" in found["audio"][0]["sentence"]
    assert "peaks -10 dBFS" in found["audio"][0]["sentence"]
    assert "porch" in found["k1"][0]["sentence"]


def test_a_balanced_cable_in_a_stereo_input_is_told_for_what_it_is(tmp_path, venue, wire_line):
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(RATE_HZ) / RATE_HZ)
    wire_line.plug(as_pcm16(np.column_stack((tone, -tone))))
    (audio,) = examined(configured(tmp_path, venue), wire_line.env)["audio"]
    assert audio["level"] == "warning" and "cancel" in audio["sentence"] and "channel = 1" in audio["remedy"]


@pytest.mark.parametrize(
    ("said_of_it", "sentence", "level"),
    [
        ({}, "heard by k1edge: -21 dBFS", "ok"),
        ({"code": "CLIPPING", "reason": "the input is overdriven", "remedy": "turn it down"},
         "the input is overdriven (heard by k1edge: -21 dBFS)", "warning"),
    ],
)  # fmt: skip
def test_where_the_daemon_runs_its_word_is_taken_for_the_line_and_the_latency(
    tmp_path, venue, wire_line, said_of_it, sentence, level
):
    wire_line.plug(as_pcm16(np.zeros(RATE_HZ)))
    config = configured(tmp_path, venue)
    edge = Link(venue.of("edge/pi"), Identity("teller"))
    edge.start()
    stamp, scribe = Stamp(0, False), Scribe("hall", "pi")
    edge.send(scribe.write(contract.AudioState, stamp, state="ok", lost_samples=480, **said_of_it))
    command = [sys.executable, "-m", "k1edge", "doctor", "--config", str(config), "--json"]
    with subprocess.Popen(command, env=wire_line.env, stdout=subprocess.PIPE, text=True) as doctor_process:
        while doctor_process.poll() is None:
            edge.send(scribe.write(contract.Telemetry, stamp, input_level_dbfs=-21.0, hop_load_pct_p99=12.0,
                                   audio_lost_samples=480))
            eventually(lambda: not edge.queued, "sent")
            try:
                doctor_process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        said = {each["check"]: each for each in json.loads(doctor_process.stdout.read())["findings"]}
    edge.close()
    assert (said["audio"]["sentence"], said["audio"]["level"]) == (sentence, level)
    assert said["audio"]["remedy"] == said_of_it.get("remedy", "")
    assert said["latency"]["sentence"].startswith("a hop takes 12 %")


def test_a_wrong_password_a_wrong_role_and_a_deaf_port_are_told_apart(tmp_path, venue):
    config = configured(tmp_path, venue)
    (tmp_path / "password").write_text("guess")
    assert "Not authorized" in examined(config)["broker"][0]["sentence"]
    viewer = examined(configured(tmp_path, venue, "viewer/x"))["access"][0]
    assert viewer["level"] == "fault"
    assert "publish below its own level nor command the K1s" in viewer["sentence"]
    config.write_text(config.read_text().replace(str(venue.ports[1]), str(free_port())))
    assert "refused" in examined(config)["broker"][0]["sentence"]


@pytest.mark.parametrize(
    ("scheme", "port", "remedy"), [("mqtt", 1, "mqtts://"), ("mqtts", 0, "mqtt://"), ("mqtts", 2, "client_cert")]
)
def test_a_port_that_is_spoken_to_in_another_way_than_it_speaks_is_told(tmp_path, venue, scheme, port, remedy):
    config = configured(tmp_path, venue)
    text = re.sub(r'url = ".*"', f'url = "{scheme}://localhost:{venue.ports[port]}"', config.read_text())
    config.write_text(text if scheme == "mqtts" else re.sub(r"ca_file = .*", "", text))
    (finding,) = examined(config)["broker"]
    assert finding["level"] == "fault" and remedy in finding["remedy"], finding


def test_a_card_that_dies_while_it_is_listened_to_is_told_and_does_not_keep_the_doctor(tmp_path, wire_line):
    wire_line.plug(as_pcm16(np.zeros(RATE_HZ)))
    config = write_config(tmp_path, f'[audio]\ndevice = "{PCM}"\nrate_hz = {RATE_HZ}\nchannel = 1\n')
    command = [sys.executable, "-m", "k1edge", "doctor", "--config", str(config), "--json", "--seconds", "600"]
    with subprocess.Popen(command, env=wire_line.env, stdout=subprocess.PIPE, text=True) as process:
        eventually(wire_line.starts, "it listens")
        wire_line.fault("dying")
        try:
            said, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    found = {each["check"]: each for each in json.loads(said)["findings"]}
    assert (process.returncode, found["audio"]["level"]) == (1, "fault")
    assert "has delivered nothing" in found["audio"]["sentence"]


def test_what_a_broker_did_at_the_last_attempt_is_known_during_the_next(monkeypatch):
    deaf = SimpleNamespace(start=lambda: None, close=lambda: None, connected=False, last_reason="",
                           parting="the broker does not answer CONNECT", counters=SimpleNamespace(failures=2))
    monkeypatch.setattr(doctor, "Link", lambda *_: deaf)
    (finding,) = doctor._ask_broker(Settings(mqtt=MqttSettings(url="mqtt://127.0.0.1:1883")))
    assert "another program" in finding.remedy


def test_a_broker_that_lets_everyone_write_everything_is_noticed(tmp_path, mosquitto):
    found = examined(write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\n[telemetry]\nrate_hz = 10\n'))
    assert found["access"][0]["level"] == "warning"
    assert "any other edge" in found["access"][0]["sentence"]
    old = write_config(tmp_path, f'[mqtt]\nurl = "{mosquitto.url}"\nprotocol = "3.1.1"\n[telemetry]\nrate_hz = 10\n')
    assert "3.1.1" in examined(old)["access"][0]["sentence"]


def test_the_password_of_the_unit_is_found_beside_the_configuration(tmp_path, venue):
    config = configured(tmp_path, venue)
    config.write_text(config.read_text().replace('password_file = "password"\n', ""))
    (tmp_path / "password").rename(tmp_path / "mqtt-password")
    assert examined(config)["broker"][0]["level"] == "ok"


def test_in_a_terminal_lines_stand_below_each_other_and_a_command_is_in_one():
    remedy = "for a venue, run `sudo scripts/broker-setup blue-room edge/pi-1` and set [mqtt] url"
    finding = Finding("broker", "warning", "no broker is configured: only programs here can hear k1edge", remedy)
    assert doctor.said(finding, 70).split("\n") == [
        "WARNING broker       no broker is configured: only programs here can",
        "                     hear k1edge",
        "                      -> for a venue, run",
        "                         `sudo scripts/broker-setup blue-room edge/pi-1`",
        "                         and set [mqtt] url",
    ]
    assert doctor.said(finding).split("\n")[1] == f"{'':21} -> {remedy}"


def test_the_live_meter_is_a_bar(capsys):
    doctor._show(-6.0)
    doctor._show(-200.0)
    loud, quiet = capsys.readouterr().err.split("\r")[1::2]
    assert loud.count("#") == 27
    assert "-6.0 dBFS" in loud
    assert "#" not in quiet
