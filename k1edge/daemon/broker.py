"""Which broker is spoken to: the configured one, or one of our own.

Consumes how the daemon starts; emits the settings that reach a broker, and what keeps it up.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from k1edge.config import MqttSettings
from k1edge.daemon.startup import Start

USUAL_PORTS = 1884, 1883
"""Of our own, where they are free: MQTT 5, and 3.1.1 where `mosquitto_sub` and `k1edge monitor` look for a broker."""

log = logging.getLogger("k1edge")


class NoBrokerError(Exception):
    """None is configured, and our own does not start."""


@contextlib.contextmanager
def broker_for(start: Start) -> Iterator[tuple[MqttSettings, Callable[[], object]]]:
    """How to reach the broker, and what keeps it up: nothing where one is configured, else our own lives in here. Where it is
    not known whether one is configured, ours leaves the usual ports to it: it may start later.

    Raises NoBrokerError.
    """
    settings = start.settings.mqtt
    if not settings.embedded:
        yield settings, lambda: None
        return
    from k1edge.system.broker import BrokerError, EmbeddedBroker  # costs a second process: only where it is needed

    with contextlib.ExitStack() as stack:
        try:
            broker = stack.enter_context(EmbeddedBroker(*USUAL_PORTS if start.broker_known else ()))
        except BrokerError:  # another broker has them
            try:
                broker = stack.enter_context(EmbeddedBroker())
            except BrokerError as error:
                raise NoBrokerError(str(error)) from error
        log.info("no broker configured: started one for this machine only, MQTT 5 on %s, 3.1.1 on %s",
                 broker.url, broker.url_311)
        yield settings.model_copy(update={"url": broker.url}), broker.supervise
