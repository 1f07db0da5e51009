"""Gates that follow MQTT: a small program beside the belt that obeys the topics as they are described.

Nothing of the product's code is used. It forgets what belongs to another session, everything when the state says
offline or the heartbeat stops, and moves no gate in an emergency.
"""

import json
import threading
import time

import paho.mqtt.client as paho

from tests.simulators.plc import Belt, Order


class Gates:
    """Connects, follows, and acts when the belt is where a command says."""

    def __init__(
        self, belt: Belt, port: int, topic: str, *, follow_s: float = 1.5, minds_sessions: bool = True
    ) -> None:
        self.belt, self.topic, self.follow_s, self.minds_sessions = belt, topic, follow_s, minds_sessions
        self.lock = threading.RLock()
        self.session = 0
        self.emergency = False
        self.beaten_s = time.monotonic()
        self.beats = 0
        self.orders: dict[tuple[str, int], Order] = {}
        self.taken: list[int] = []
        self.messages: list[tuple[str, bytes]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="gates", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#", qos=1)
        self._client.connect_async("127.0.0.1", port, keepalive=5)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.reinitialise()  # by itself paho keeps a pair of sockets until it is collected

    def repeat(self, payload: bytes) -> None:
        """Take a command as the broker might deliver it once more."""
        self._take(json.loads(payload))

    def run(self, um: int, step_um: int = 2_000) -> None:
        for _ in range(max(1, um // step_um)):
            with self.lock:
                self.belt.move(step_um)
                if time.monotonic() - self.beaten_s > self.follow_s:
                    self.orders.clear()
                for key, order in list(self.orders.items()):
                    if order.position <= self.belt.read_um:
                        del self.orders[key]
                        self.belt.fire(order.lane, order.row)

    def _on_message(self, _client, _data, message) -> None:
        with self.lock:
            self.messages.append((message.topic.rsplit("/", 1)[1], bytes(message.payload)))
            word, said = self.messages[-1][0], json.loads(message.payload)
            if word == "state":
                if said["state"] == "offline":
                    # An old session's last will may come after a new session's greeting.
                    if said["session"] == self.session:
                        self.session = 0
                        self.orders.clear()
                elif said["session"] != self.session:
                    self.session = said["session"]
                    self.orders.clear()
                    self.beaten_s = time.monotonic()
            elif word == "heartbeat" and said["session"] == self.session:
                self.beaten_s = time.monotonic()
                self.beats += 1
            elif word == "emergency":
                self.emergency = said["active"]
                if self.emergency:
                    self.orders.clear()
            elif word == "command":
                self._take(said)

    def _take(self, said) -> None:
        if self.minds_sessions and (said["session"] != self.session or self.emergency):
            return
        self.taken.append(said["fruit"])
        self.orders.pop((said["run"], said["fruit"]), None)
        if said["lane"] and said["belt_um"] >= self.belt.read_um:
            self.orders[said["run"], said["fruit"]] = Order(said["lane"], said["row"], said["belt_um"])
        elif said["lane"]:
            missed = {"v": 1, "session": said["session"], "run": said["run"], "fruit": said["fruit"], "why": "late"}
            self._client.publish(f"{self.topic}/missed", json.dumps(missed), qos=1)
