"""`[mqtt]`: which broker, as whom, and how safely.

**Consumes** the table and, from files, the password and the certificates. **Emits** `MqttSettings`. Files are read
only when a configuration is loaded (pydantic's context is then a `Place`), not when settings are built in code.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationInfo, WithJsonSchema, field_validator

from k1edge.config.strict import STRICT, refusal

CREDENTIAL = "mqtt-password"
"""The name of the systemd credential that holds the password."""

SECRET_LIMIT_BYTES = 65_535
"""MQTT carries a password's length in two bytes."""

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configuration was found: what its relative paths and its credentials refer to."""

    folder: Path
    environ: Mapping[str, str]
    password: bool = True
    """Whether the password is looked for; where it is not, one that cannot be used is no fault."""


class DeniedError(ValueError):
    """Another user may read it: root, as a rule."""


def read_limited(path: Path, limit_bytes: int) -> bytes:
    """A regular file's content.

    Raises `ValueError` with the reason, as the end of a sentence that begins with the file.
    """
    if "\0" in str(path):
        raise ValueError("does not exist")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("is a directory, not a file" if stat.S_ISDIR(mode) else "is not a regular file")
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise ValueError("does not exist") from None
    except PermissionError:
        raise DeniedError("cannot be read: permission denied") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    if len(content) > limit_bytes:
        raise ValueError(f"is larger than {limit_bytes:,} bytes")
    return content


def _readable(value: str, info: ValidationInfo) -> str:
    """A file's path, absolute, once it is known to be readable; '' stays ''."""
    if not value or info.context is None:
        return value
    path = info.context.folder / value
    try:
        read_limited(path, 1 << 20)
    except ValueError as error:
        handed_over = isinstance(error, DeniedError) and info.field_name == "password_file"
        raise refusal(f"the file {str(path)[:200]!r} {error}", DENIED_REMEDY if handed_over else READ_REMEDY) from None
    return str(path)


READ_REMEDY = "give the path of a file that the user k1edge runs as may read, or remove the key"
DENIED_REMEDY = ("try it with sudo; the service is never root: remove the key, and move the file to "
                 f"/etc/k1edge/{CREDENTIAL}, which systemd hands over")

File = Annotated[str, AfterValidator(_readable), Field(max_length=4096)]
"""Path of a readable file, absolute or relative to the configuration's folder; '' = none."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.localdomain")


class MqttSettings(BaseModel):
    """The broker, and how the link to it behaves."""

    model_config = STRICT

    allow_insecure: bool = False
    url: Annotated[str, WithJsonSchema({"description": '"mqtts://host:8883", "mqtt://host:1883" or ""'})] = ""
    """'' = the embedded broker on loopback."""
    username: str = Field("", max_length=1024)
    password_file: File = ""
    password: SecretStr | None = Field(None, validate_default=True)
    """Read from `password_file` or the credential; never a key of the file."""
    ca_file: File = ""
    client_cert: File = ""
    client_key: File = Field("", validate_default=True)
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    keepalive_s: int = Field(15, ge=5, le=3600)
    outbox_limit: int = Field(1000, ge=10, le=100_000)
    """Durable messages kept while the broker is away."""
    accept_config: bool = False
    """Whether a configuration may come over MQTT; only the local file can say so."""

    @property
    def embedded(self) -> bool:
        """No broker is configured: k1edge starts its own."""
        return not self.url

    @property
    def tls(self) -> bool:
        return self._parts.scheme == "mqtts"

    @property
    def insecure(self) -> bool:
        """Neither loopback nor TLS: what `allow_insecure` allows."""
        return not (self.embedded or self.tls or _is_loopback(self.host))

    @property
    def host(self) -> str:
        return self._parts.hostname or ""

    @property
    def port(self) -> int:
        return self._parts.port or DEFAULT_PORTS.get(self._parts.scheme, 0)

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    @field_validator("url")
    @classmethod
    def _reachable_safely(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        parts = _split(value)
        if parts.scheme == "mqtt" and not _is_loopback(parts.hostname) and not info.data.get("allow_insecure"):
            raise refusal(
                f"{parts.hostname!r} would be reached without encryption",
                f'use "mqtts://{parts.hostname}:8883" (with `ca_file` for a certificate of your own), or accept that '
                "anyone on that network can read and steer the lights with allow_insecure = true",
            )
        return value

    @field_validator("ca_file", "client_cert")
    @classmethod
    def _needs_tls(cls, value: str, info: ValidationInfo) -> str:
        if value and urlsplit(info.data.get("url", "mqtts:")).scheme != "mqtts":
            raise refusal("is only of use with TLS", 'give a url that starts with "mqtts://", or remove the key')
        return value

    @field_validator("client_key")
    @classmethod
    def _comes_with_certificate(cls, value: str, info: ValidationInfo) -> str:
        certificate = info.data.get("client_cert", value)
        if bool(value) != bool(certificate):
            key, other = ("client_key", "client_cert") if value else ("client_cert", "client_key")
            raise refusal(f"has no `{other}` beside it", "give both or neither", key)
        return value

    @field_validator("password", mode="before")
    @classmethod
    def _from_file(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is None:
            return value
        if value is not None:
            raise refusal(
                "a password does not belong in this file",
                "write it into a file of mode 0600 and name that in `password_file`, or give it to systemd as the "
                f"credential {CREDENTIAL!r}",
            )
        if not info.context.password:
            return None
        secret = _secret(info.data.get("password_file", ""), info.data.get("username", "-"), info.context)
        if secret is not None and not info.data.get("username", "-"):
            raise refusal("is empty although there is a password", "give the user name that it belongs to", "username")
        return secret


def credential(place: Place) -> Path:
    """systemd's; outside the unit, the file beside the configuration that the unit makes it of."""
    return Path(place.environ.get("CREDENTIALS_DIRECTORY") or place.folder, CREDENTIAL)


def _secret(password_file: str, username: str, place: Place) -> SecretStr | None:
    """The password from the file, else from the credential, else None."""
    outside = not place.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(password_file) if password_file else credential(place)
    there = os.path.exists(path)  # noqa: PTH110 - Path.exists raises where a folder is closed to us
    if not password_file and ((outside and not username) or not there):
        return None
    try:
        text = read_limited(path, SECRET_LIMIT_BYTES).decode().rstrip("\r\n")
        if not text:
            raise ValueError("is empty")
    except DeniedError:
        return None  # beside the configuration, and root's: `k1edge doctor` says so
    except ValueError as error:
        reason = "is not UTF-8" if isinstance(error, UnicodeError) else str(error)
        problem, remedy = f"the password's file {str(path)!r} {reason}", "write the password, and nothing else, into it"
        raise refusal(problem, remedy, "password_file") from None
    return SecretStr(text)


def _split(url: str) -> SplitResult:
    """The parts of a broker's address; what is wrong with it is said without repeating it, as it may hold a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refusal("has no valid host or port", PORT_REMEDY) from None
    if parts.scheme not in DEFAULT_PORTS:
        raise refusal("does not start with mqtt:// or mqtts://")
    if parts.username is not None or parts.password is not None:
        raise refusal("must not hold a user name or password", "use the keys `username` and `password_file`")
    if not parts.hostname or port == 0 or any(character.isspace() for character in url):
        raise refusal("has no valid host or port", PORT_REMEDY)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise refusal("has something after the port", "leave only mqtts://host:port; MQTT over WebSocket is not spoken")
    return parts


PORT_REMEDY = 'write it as "mqtts://host:8883", with a port from 1 to 65535'
