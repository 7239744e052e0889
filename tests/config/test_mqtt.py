"""The broker's address is taken apart, secrets come from files and are never shown."""

from pathlib import Path

import pytest

from k1edge.config import ConfigError, MqttSettings, load


def mqtt(folder: Path, body: str, **environ: str) -> MqttSettings:
    (folder / "k1edge.toml").write_text(f"[mqtt]\n{body}")
    return load(folder / "k1edge.toml", environ).mqtt


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtts://venue.example", "venue.example", 8883, True),
        ("mqtts://[2001:db8::1]:8884", "2001:db8::1", 8884, True),
        ("mqtt://localhost", "localhost", 1883, False),
        ("mqtt://127.8.0.1:1884/", "127.8.0.1", 1884, False),
        ("mqtt://[::1]:1883", "::1", 1883, False),
    ],
)
def test_an_address_has_host_port_and_tls(tmp_path, url, host, port, tls):
    settings = mqtt(tmp_path, f"url = '{url}'")
    assert (settings.host, settings.port, settings.tls, settings.embedded) == (host, port, tls, False)


def test_without_an_address_the_broker_is_embedded():
    assert MqttSettings().embedded
    assert not MqttSettings().tls


def test_plain_mqtt_leaves_the_machine_only_when_that_is_accepted(tmp_path):
    assert mqtt(tmp_path, "url = 'mqtt://10.0.0.2'\nallow_insecure = true").host == "10.0.0.2"
    for host in ("10.0.0.2", "localhost.evil.example", "127.0.0.1.nip.example", "0.0.0.0"):
        with pytest.raises(ConfigError, match="without encryption"):
            mqtt(tmp_path, f"url = 'mqtt://{host}'")


def test_the_password_comes_from_the_file_beside_the_configuration(tmp_path):
    (tmp_path / "secret").write_text("gehe im \r\n")
    settings = mqtt(tmp_path, "username = 'u'\npassword_file = 'secret'")
    assert settings.password.get_secret_value() == "gehe im "
    assert settings.password_file == str(tmp_path / "secret")


def test_the_password_comes_from_systemds_credential(tmp_path):
    (tmp_path / "mqtt-password").write_text("geheim")
    settings = mqtt(tmp_path, "username = 'u'", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert settings.password.get_secret_value() == "geheim"


def test_the_file_is_preferred_to_the_credential(tmp_path):
    (tmp_path / "mqtt-password").write_text("credential")
    (tmp_path / "secret").write_text("file")
    settings = mqtt(tmp_path, "username = 'u'\npassword_file = 'secret'", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert settings.password.get_secret_value() == "file"


def test_without_file_or_credential_there_is_no_password(tmp_path):
    assert mqtt(tmp_path, "username = 'u'", CREDENTIALS_DIRECTORY=str(tmp_path)).password is None


def test_outside_the_unit_the_password_is_in_the_file_that_becomes_its_credential(tmp_path):
    (tmp_path / "mqtt-password").write_text("geheim")
    assert mqtt(tmp_path, "username = 'u'").password.get_secret_value() == "geheim"
    assert mqtt(tmp_path, "").password is None, "it belongs to a user name"
    (tmp_path / "unit").mkdir()
    assert mqtt(tmp_path, "username = 'u'", CREDENTIALS_DIRECTORY=str(tmp_path / "unit")).password is None


def test_a_password_that_root_alone_may_read_is_no_fault_of_the_file_beside_it(public, request):
    (public / "mqtt-password").write_text("geheim")
    (public / "mqtt-password").chmod(0)
    (public / "k1edge.toml").write_text("[mqtt]\nusername = 'u'")
    request.getfixturevalue("unprivileged")
    assert load(public / "k1edge.toml", {}).mqtt.password is None


def test_a_password_longer_than_mqtt_can_carry_is_refused(tmp_path):
    (tmp_path / "secret").write_text("x" * 65_536)
    with pytest.raises(ConfigError, match="larger than 65,535 bytes"):
        mqtt(tmp_path, "username = 'u'\npassword_file = 'secret'")


def test_a_password_is_never_shown(tmp_path):
    (tmp_path / "secret").write_text("geheim")
    settings = mqtt(tmp_path, "username = 'u'\npassword_file = 'secret'")
    assert "geheim" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_built_in_code_read_no_file():
    settings = MqttSettings(url="mqtts://h", ca_file="/nonexistent", password="geheim")
    assert settings.ca_file == "/nonexistent"
    assert settings.password.get_secret_value() == "geheim"
