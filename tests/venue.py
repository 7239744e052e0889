"""A venue's broker as `scripts/broker-setup` makes it, under a real mosquitto on free loopback ports."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pydantic import SecretStr

from k1edge.config import MqttSettings
from tests.brokers import Mosquitto

SCRIPT = Path(__file__).parents[1] / "scripts" / "broker-setup"
CERTIFIED = "device/cert"
"""The node that comes in by certificate."""


def setup(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, "--dir", folder, *args], capture_output=True, text=True, check=False)


class Venue(Mosquitto):
    """Debian's mosquitto.conf in short, which includes what the script wrote, and nothing else."""

    def __init__(self, folder: Path, ports: tuple[int, ...], *, persistence: bool = False) -> None:
        self.folder, self.ports, self.port, self.tls = folder, ports, ports[0], False
        self._conf, self._log, self._process = folder / "mosquitto.conf", folder / "log", None
        keeps = f"persistence {str(persistence).lower()}\npersistence_location {folder}/\n"
        self._conf.write_text(f"user root\n{keeps}log_type all\ninclude_dir {folder / 'conf.d'}\n")

    def password(self, node: str) -> SecretStr:
        return SecretStr((self.folder / "k1edge" / "credentials" / f"{node.replace('/', '-')}.password").read_text().strip())

    def of(self, node: str) -> MqttSettings:
        """How a node comes in: over the network with its password, but for the one with a certificate."""
        ca_file = str(self.folder / "k1edge" / "ca.crt")
        if node == CERTIFIED:
            own = self.folder / "k1edge" / "credentials" / "device-cert"
            return MqttSettings(url=f"mqtts://localhost:{self.ports[2]}", ca_file=ca_file, client_cert=f"{own}.crt",
                                client_key=f"{own}.key")
        return MqttSettings(url=f"mqtts://localhost:{self.ports[1]}", ca_file=ca_file, username=node,
                            password=self.password(node))
