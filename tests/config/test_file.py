"""What is wrong with a file is said all at once, with the line, the key and the remedy; what is right is loaded."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.config import ConfigError, Settings, find, load
from k1edge.config.file import SYSTEM_FILE, Origin, validated
from k1edge.config.mqtt import Place
from tests.in_terminal import told

BROKEN = [
    # id, text, line, key, words of the problem, words of the remedy
    ("id that ends with a hyphen", "site = 'blue-room-'", 1, "site", "cannot be part", "example 'blue-room'"),
    ("id that begins with one", "[[k1.devices]]\nid = '-bar'", 2, "k1.devices[0].id", "cannot be part", "example 'bar'"),
    ("less than an octave", "[beat]\ntempo_min_bpm = 120", 1, "beat.tempo_max_bpm", "less than an octave", "at least 240"),
    ("prior beyond the range", "[beat]\ntempo_max_bpm = 110", 1, "beat.prior_bpm", "is not between", "55 to 110"),
    ("K1 slower than the lead", "[[k1.devices]]\nid = 'a'\nlatency_ms = 300", 1, "k1", "150 ms too late", "at least 300"),
    ("the same by auto", "[k1]\nauto_latency_ms = {a = 90}\n[audio]\ninput_latency_ms = 70", 1, "k1", "10 ms too late", "160"),
    ("sound later than the lead", "[audio]\ninput_latency_ms = 151\n[k1]", 3, "k1", "audio.input_latency_ms = 151", "151"),
    ("text for a number", '[beat]\nlead_ms = "fast"', 2, "beat.lead_ms", "not possible", "whole number from 100 to 400"),
    ("number in quotes", '[audio]\nrate_hz = "44100"', 2, "audio.rate_hz", "because of the quotes", "44100, 48000"),
    ("number for text", "[audio]\ndevice = 2", 2, "audio.device", "2 is not possible", "text in quotes"),
    ("fraction for a whole number", "[beat]\nlead_ms = 150.5", 2, "beat.lead_ms", "not a whole number", "100 to 400"),
    ("number for a flag", "[mqtt]\nallow_insecure = 1", 2, "mqtt.allow_insecure", "not possible", "true or false"),
    ("flag for a number", "[mqtt]\nkeepalive_s = true", 2, "mqtt.keepalive_s", "true is not possible", "5 to 3600"),
    ("list for text", "site = [1]", 1, "site", "a list is not possible", "text in quotes"),
    ("date for a number", "[telemetry]\nrate_hz = 2026-01-01", 2, "telemetry.rate_hz", "a date or time", "0.2 to 10"),
    ("scalar for a table", "audio = 3", 1, "audio", "3 is not possible", "a table"),
    ("list of tables for a table", "[[mqtt]]\nurl = ''", 1, "mqtt", "a list is not possible", "a table"),
    ("scalar for all looks", "looks = 3", 1, "looks", "3 is not possible", "a table"),
    ("scalar for a look", "[looks]\ndrop = 'pulse'", 2, "looks.drop", "not possible", "a table"),
    ("below the range", "[audio]\ninput_latency_ms = -201", 2, "audio.input_latency_ms", "out of range", "-200 to 500"),
    ("above the range", "[telemetry]\nrate_hz = 10.5", 2, "telemetry.rate_hz", "10.5 is out of range", "0.2 to 10"),
    ("not a number", "[audio]\ngate_dbfs = nan", 2, "audio.gate_dbfs", "nan is out of range", "-96 to -20"),
    ("infinite", "[genesis]\nfade_s = inf", 2, "genesis.fade_s", "inf is out of range", "0.1 to 30"),
    ("beyond 64 bits", f"[beat]\nlead_ms = {'9' * 400}", 2, "beat.lead_ms", "more than 19 digits", "100 to 400"),
    ("beyond any float", f"[beat]\nprior_bpm = 0x{'f' * 4000}", 2, "beat.prior_bpm", "more than 19", "40 to 240"),
    ("unsupported rate", "[audio]\nrate_hz = 96000", 2, "audio.rate_hz", "96000 is not possible", "44100, 48000"),
    ("channel 0", "[audio]\nchannel = 0", 2, "audio.channel", "neither the mix nor", "from 1 to 32"),
    ("channel by a word", "[audio]\nchannel = 'left'", 2, "audio.channel", "neither the mix nor", '"mix" or'),
    ("unknown engine", "[beat]\nengine = 'aubo'", 2, "beat.engine", "did you mean 'aubio'", '"bar_pointer"'),
    ("unknown key", "[audio]\n\nratehz = 1", 3, "audio.ratehz", "unknown key, did you mean 'rate_hz'", "rename it"),
    ("unknown table", "[zzz]\na = 1", 1, "zzz", "unknown key", "remove it; known here: site, edge, audio"),
    ("key without its table", "rate_hz = 48000", 1, "rate_hz", "unknown key", "write it in `audio` or `telemetry`"),
    ("key that belongs elsewhere", "[mqtt]\nport = 1", 2, "mqtt.port", "unknown key", 'url = "mqtt://host:1883"'),
    ("unknown section", "[looks.dorp]\npattern='bloom'", 1, "looks.dorp", "did you mean 'drop'", "rename it"),
    ("unknown pattern", "[looks.drop]\npattern='pulze'", 2, "looks.drop.pattern", "did you mean 'pulse'", '"hype"'),
    ("unknown palette", "[looks.drop]\npalette='Lava 2'", 2, "looks.drop.palette", "did you mean 'Lava'", "0..32"),
    ("palette beyond the last", "[looks.drop]\npalette=33", 2, "looks.drop.palette", "33 is not possible", "0..32"),
    ("unknown transition", "[looks.drop]\ntransition='fad'", 2, "looks.drop.transition", "mean 'fade'", '"iris"'),
    ("unknown parameter", "[looks.drop.parameters]\nsped=1", 2, "looks.drop.parameters.sped", "mean 'speed'", "rename"),
    ("parameter out of range", "[looks.drop]\nparameters = { speed = 1.1 }", 2, "looks.drop.parameters.speed",
     "1.1 is out of range", "from 0 to 1"),
    ("parameter beside the parameters", "[looks.drop]\nbrightness = 0.4", 2, "looks.drop.brightness", "unknown key",
     "write it in `parameters`"),
    ("palette as a parameter", "[looks.drop]\nparameters.palette_id = 3", 2, "looks.drop.parameters.palette_id",
     "unknown key", "`palette` of the look"),
    ("id that cannot be a topic", "site = 'Club Nord'", 1, "site", "cannot be part of a topic", "'club-nord'"),
    ("wildcard id", "[[k1.devices]]\nid = 'k1/+'", 2, "k1.devices[0].id", "cannot be part", "a-z 0-9 -"),
    ("empty id", "[[k1.devices]]\nid = ''", 2, "k1.devices[0].id", "cannot be part", "a-z 0-9 -"),
    ("id missing", "[k1]\n[[k1.devices]]\nlatency_ms = 1", 2, "k1.devices[0].id", "is missing", "add it: text"),
    ("duplicate ids", "[[k1.devices]]\nid='a'\n[[k1.devices]]\nid='a'", 1, "k1.devices", "more than one K1 has the id 'a'",
     "an id of its own"),
    ("no device", "k1.devices = []", 1, "k1.devices", "lists 0 K1s", "1 to 16 tables"),
    ("17 devices", "[k1]\n" + "".join(f"[[k1.devices]]\nid='k{i}'\n" for i in range(17)), 2, "k1.devices",
     "lists 17 K1s", "1 to 16 tables"),
    ("devices in words", "[k1]\ndevices = 'all'", 2, "k1.devices", 'neither "auto" nor', "[[k1.devices]]"),
    ("device latency", "[[k1.devices]]\nid='a'\nlatency_ms=501", 3, "k1.devices[0].latency_ms", "501", "-500 to 500"),
    ("tempi too narrow", "[beat]\ntempo_min_bpm=120\ntempo_max_bpm=150", 3, "beat.tempo_max_bpm", "less than an octave",
     "give at least 240"),
    ("prior outside the tempi", "[beat]\nprior_bpm = 50", 2, "beat.prior_bpm", "50 is not between", "55 to 215"),
    ("plain mqtt to another machine", "[mqtt]\nurl = 'mqtt://10.0.0.2:1883'", 2, "mqtt.url", "without encryption",
     "allow_insecure = true"),
    ("other scheme", "[mqtt]\nurl = 'http://x'", 2, "mqtt.url", "does not start with mqtt://", "mqtts://host:8883"),
    ("host alone", "[mqtt]\nurl = 'localhost:1883'", 2, "mqtt.url", "does not start with", "mqtts://host:8883"),
    ("port out of range", "[mqtt]\nurl = 'mqtts://h:70000'", 2, "mqtt.url", "no valid host or port", "1 to 65535"),
    ("port 0", "[mqtt]\nurl = 'mqtts://h:0'", 2, "mqtt.url", "no valid host or port", "1 to 65535"),
    ("no host", "[mqtt]\nurl = 'mqtts://:8883'", 2, "mqtt.url", "no valid host or port", "1 to 65535"),
    ("broken IPv6", "[mqtt]\nurl = 'mqtts://[::1'", 2, "mqtt.url", "no valid host or port", "1 to 65535"),
    ("path in the address", "[mqtt]\nurl = 'mqtts://h/mqtt'", 2, "mqtt.url", "after the port", "mqtts://host:port"),
    ("password in the address", "[mqtt]\nurl = 'mqtts://u:geheim@h'", 2, "mqtt.url", "must not hold", "password_file"),
    ("password in the file", "[mqtt]\npassword = 'geheim'", 2, "mqtt.password", "does not belong", "password_file"),
    ("password by another name", "[mqtt]\npass = 'geheim'", 2, "mqtt.pass", "unknown key", "in `password_file`"),
    ("passwort", "[mqtt]\npasswort = 'geheim'", 2, "mqtt.passwort", "did you mean 'password_file'", "password_file, ca_file"),
    ("latency in quotes", "[k1]\nauto_latency_ms = { a = '3' }", 2, "k1.auto_latency_ms.a", "of the quotes", "-500 to 500"),
    ("certificate without key", "[mqtt]\nurl='mqtts://h'\nclient_cert='ok.pem'", 3, "mqtt.client_cert", "`client_key`",
     "both or neither"),
    ("key without certificate", "[mqtt]\nurl='mqtts://h'\nclient_key='ok.pem'", 3, "mqtt.client_key", "`client_cert`",
     "both or neither"),
    ("authority without TLS", "[mqtt]\nurl='mqtt://localhost'\nca_file='ok.pem'", 3, "mqtt.ca_file", "only of use with TLS",
     "mqtts://"),
    ("missing authority", "[mqtt]\nurl='mqtts://h'\nca_file='no.pem'", 3, "mqtt.ca_file", "does not exist", "path of a file"),
    ("missing secret", "[mqtt]\nusername='u'\npassword_file='no'", 3, "mqtt.password_file", "does not exist", "may read"),
    ("secret in a folder", "[mqtt]\nusername='u'\npassword_file='.'", 3, "mqtt.password_file", "is a directory", "may read"),
    ("empty secret", "[mqtt]\nusername='u'\npassword_file='empty'", 3, "mqtt.password_file", "is empty", "write the password"),
    ("binary secret", "[mqtt]\nusername='u'\npassword_file='binary'", 3, "mqtt.password_file", "not UTF-8", "write the"),
    ("secret without a user", "[mqtt]\npassword_file='secret'", 1, "mqtt.username", "although there is a password", "give"),
    ("secret's path with a NUL", '[mqtt]\npassword_file="a\\u0000b"', 2, "mqtt.password_file", "does not exist", "may read"),
    ("no value", "[audio]\nrate_hz =", 2, "", "not valid TOML at column 10", "mend this line"),
    ("text without quotes", "[audio]\ndevice = hw", 2, "", "not valid TOML at column 10", "text stands in quotes"),
    ("unclosed text", '[audio]\ndevice = "hw', 2, "", "not valid TOML at column 13", "mend this line"),
    ("the same key twice", "site = 'a'\nsite = 'b'", 2, "", "not valid TOML", "no key comes twice"),
    ("the same table twice", "[audio]\n\n[audio]", 3, "", "not valid TOML", "no key comes twice"),
    ("not UTF-8", b"site = 'a'\nedge = '\xe9'", 2, "", "not UTF-8: byte 19 is 0xe9", "save the file again as UTF-8"),
    ("UTF-16", "site = 'a'".encode("utf-16"), 1, "", "not UTF-8: byte 0 is 0xff", "as UTF-8"),
    ("a picture", b"\x89PNG\r\n\x1a\n\0\0", 1, "", "not UTF-8: byte 0 is 0x89", "as UTF-8"),
    ("NUL bytes", b"site = '\0'", 1, "", "not valid TOML", "mend this line"),
    ("brackets without end", "x = " + "[" * 100_000, None, "", "is not a configuration", "nested hundreds deep"),
    ("digits without end", "site = " + "9" * 5000, None, "", "is not a configuration", "thousands of digits"),
    ("10 MB", b"# " + b"x" * 10_000_000, None, "", "larger than 1,048,576 bytes", "--config"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the broken configurations name."""
    (tmp_path / "ok.pem").write_text("PEM")
    (tmp_path / "secret").write_text("geheim\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    return tmp_path


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "k1edge.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults_of(path: Path, **environ: str):
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value.faults


@pytest.mark.parametrize(("text", "line", "key", "problem", "remedy"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_broken_file_names_line_key_and_remedy(folder, text, line, key, problem, remedy):
    path = written(folder, text)
    (fault,) = faults_of(path)
    assert (fault.file, fault.line, fault.key) == (str(path), line, key)
    assert problem in fault.problem
    assert remedy in fault.remedy
    assert "geheim" not in str(fault)
    assert "\n" not in str(fault)


def test_every_fault_is_reported_at_once(folder):
    broken = "[audio]\nrate_hz=1\nchanel=1\n[looks.drop]\npattern='x'\n[mqtt]\nurl='ftp://h'\npassword_file='no'\n[oops]"
    faults = faults_of(written(folder, broken))
    assert [(fault.line, fault.key) for fault in faults] == [
        (2, "audio.rate_hz"), (3, "audio.chanel"), (5, "looks.drop.pattern"), (7, "mqtt.url"), (8, "mqtt.password_file"),
        (9, "oops"),
    ]  # fmt: skip


def test_a_10_mb_file_is_refused_without_being_read(folder):
    path = written(folder, b"[" * 10_000_000)
    begun = time.process_time()
    faults_of(path)
    reading = time.process_time() - begun
    begun = time.process_time()
    path.read_bytes().decode()
    assert reading < 50 * (time.process_time() - begun) + 0.05


@pytest.mark.parametrize(
    ("name", "problem"),
    [("missing.toml", "does not exist"), (".", "is a directory"), ("fifo", "is not a regular file"),
     ("x" * 300, "cannot be read: file name too long"), ("a\0b", "does not exist")],
)  # fmt: skip
def test_a_file_that_cannot_be_one_is_refused(folder, name, problem):
    os.mkfifo(folder / "fifo")
    (fault,) = faults_of(folder / name)
    assert problem in fault.problem
    assert "--config" in fault.remedy


def test_a_file_without_permission_is_refused(public, request):
    path = written(public, "site = 'a'")
    path.chmod(0)
    request.getfixturevalue("unprivileged")
    (fault,) = faults_of(path)
    assert "cannot be read: permission denied" in fault.problem


def test_a_secret_without_permission_is_refused(public, request):
    (public / "secret").write_text("geheim")
    (public / "secret").chmod(0)
    path = written(public, "[mqtt]\nusername='u'\npassword_file='secret'")
    request.getfixturevalue("unprivileged")
    (fault,) = faults_of(path)
    assert fault.key == "mqtt.password_file"
    assert "permission denied" in fault.problem
    assert "sudo" in fault.remedy and "/etc/k1edge/mqtt-password" in fault.remedy, "where systemd hands it over"


def test_an_empty_file_means_the_defaults(folder):
    assert load(written(folder, "")) == Settings()


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(folder):
    assert load(written(folder, b"\xef\xbb\xbfsite = 'a'\r\nedge = 'b'\r\n")).site == "a"


def test_what_is_given_is_what_is_set(folder):
    text = """
        site = "club"
        [audio]
        channel = 2
        input_latency_ms = 12
        [[k1.devices]]
        id = "left"
        latency_ms = -20
        [[k1.devices]]
        id = "right"
        enabled = false
        [looks.drop]
        palette = "lava"
        parameters = { speed = 1, mirror_mode = 0 }
    """
    settings = load(written(folder, text))
    assert (settings.site, settings.audio.channel, settings.audio.input_latency_ms) == ("club", 2, 12.0)
    assert [(k1.id, k1.latency_ms, k1.enabled) for k1 in settings.k1.devices] == [("left", -20, True), ("right", 0, False)]
    assert (settings.looks["drop"].palette, settings.looks["drop"].pattern) == (23, Settings().looks["drop"].pattern)
    assert settings.looks["drop"].parameters == {"speed": 1, "mirror_mode": 0}
    assert settings.looks["verse"] == Settings().looks["verse"]


@pytest.mark.parametrize(("given", "meant"), [("songs", "{folder}/songs"), ("/songs", "/songs"), ("", "")])
def test_a_folder_of_songs_is_taken_from_the_folder_of_the_file(folder, given, meant):
    settings = load(written(folder, f"[library]\nmusic_dir = '{given}'"))
    assert settings.library.music_dir == meant.format(folder=folder)
    assert Settings.model_validate({"library": {"music_dir": given}}).library.music_dir == given


def test_the_file_is_found_by_argument_then_variable_then_the_system(monkeypatch, folder):
    system = written(folder, "")
    monkeypatch.setattr("k1edge.config.file.SYSTEM_FILE", system)
    assert find("a.toml", {"K1EDGE_CONFIG": "b.toml"}) == Path("a.toml")
    assert find(None, {"K1EDGE_CONFIG": "b.toml"}) == Path("b.toml")
    assert find(None, {}) == system
    system.unlink()
    assert find(None, {}) is None
    assert Path("/etc/k1edge/k1edge.toml") == SYSTEM_FILE


def test_the_system_s_file_behind_a_closed_door_is_a_fault_and_not_the_defaults(public, monkeypatch, request):
    system = public / "k1edge" / "k1edge.toml"
    system.parent.mkdir(mode=0)
    monkeypatch.setattr("k1edge.config.file.SYSTEM_FILE", system)
    request.getfixturevalue("unprivileged")
    (fault,) = faults_of(find(None, {}))
    assert "permission denied" in fault.problem
    assert "sudo" in fault.remedy


def test_a_named_file_that_is_missing_is_a_fault_and_not_the_defaults(folder):
    assert faults_of(find(None, {"K1EDGE_CONFIG": str(folder / "typo.toml")}))


def test_the_command_line_wins_and_its_faults_are_its_own(folder):
    path = written(folder, "site = 'a'\nbad = 1\n[mqtt]\nurl = 'mqtts://h'\nca_file = 'ok.pem'")
    with pytest.raises(ConfigError) as caught:
        load(path, {}, {"site": "B", "mqtt": {"url": "mqtt://10.0.0.1"}})
    assert [(fault.file, fault.line, fault.key) for fault in caught.value.faults] == [
        ("command line", None, "site"), ("command line", None, "mqtt.url"), (str(path), 2, "bad"),
    ]  # fmt: skip
    settings = load(None, {}, {"site": "b", "mqtt": {"url": "mqtt://localhost"}})
    assert (settings.site, settings.mqtt.host) == ("b", "localhost")


@given(st.binary(max_size=300))
def test_random_bytes_give_settings_or_faults(tmp_path_factory, content):
    _loads_or_faults(tmp_path_factory, content)


words = st.sampled_from([
    "[audio]", "[[audio]]", "[k1]", "[[k1.devices]]", "[looks]", "[looks.drop]", "[looks.drop.parameters]", "[mqtt]", "site",
    "device", "rate_hz", "channel", "id", "latency_ms", "devices", "pattern", "palette", "parameters", "speed", "url",
    "password", "password_file", "username", "client_cert", "auto_latency_ms", "tempo_min_bpm", "[beat]", "=", "=", "=", "\n",
    "\n", "\n", ".", ",", "{", "}", "[", "]", "'auto'", "'mix'", "'mqtts://[::1]:1'", "'mqtt://ä'", "''", "'\t'", "1", "-0",
    "0x" + "f" * 400, "1e999", "nan", "true", "2026-11-22", "'bloom'", '"\\u0000"', '"\\U0010ffff"', "#", "{ a = 1 }", "[1]",
])  # fmt: skip


@settings(max_examples=400)
@given(st.lists(words, max_size=24).map(" ".join))
def test_random_toml_gives_settings_or_faults(tmp_path_factory, text):
    _loads_or_faults(tmp_path_factory, text.encode())


tables = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.data())
def test_any_value_at_any_key_gives_settings_or_faults(data):
    table = data.draw(st.sampled_from(["audio", "beat", "genesis", "looks", "mqtt", "k1", "telemetry", "log"]))
    known = list(Settings().model_dump()[table])
    drawn = data.draw(st.dictionaries(st.sampled_from(known), tables, min_size=1, max_size=3))
    try:
        validated({table: drawn}, Origin("", "x.toml"), Place(Path("/nonexistent"), {}))
    except ConfigError as error:
        _are_faults(error)


def _loads_or_faults(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(content)
    try:
        assert isinstance(load(path, {}), Settings)
    except ConfigError as error:
        _are_faults(error)


def _are_faults(error: ConfigError) -> None:
    assert error.faults
    assert all(fault.problem and fault.remedy and "\n" not in str(fault) for fault in error.faults)


@pytest.mark.parametrize("case", ["unknown key", "not UTF-8", "10 MB", "no value", "missing secret", "duplicate ids"])
def test_the_command_line_refuses_a_broken_file_without_a_traceback(folder, capsys, case):
    path = written(folder, next(each[1] for each in BROKEN if each[0] == case))
    code, printed, said = told(capsys, "check", str(path))
    assert (code, printed) == (78, "")
    assert said.startswith(f"{path}") and said.endswith(f"1 fault in {path}\n")


@pytest.mark.parametrize("text", [
    "[[k1.devices]]\nid = 'a'\n[[k1.devices]]\nid = 'spare'\nlatency_ms = 300\nenabled = false",
    "[k1]\nauto_latency_ms = {gone = 300}\n[[k1.devices]]\nid = 'a'",
    "[[k1.devices]]\nid = 'a'\nlatency_ms = 300\n[beat]\nlead_ms = 300",
    "[audio]\ninput_latency_ms = 200\n[[k1.devices]]\nid = 'a'\nlatency_ms = -60",
], ids=["not enabled", "not listed", "a longer lead", "an early K1"])  # fmt: skip
def test_latencies_count_only_where_beats_are_sent(folder, text):
    assert load(written(folder, text)).k1
