"""A real worker process without TensorFlow: speaks the channel's protocol and behaves, or dies, as it is told.

    python scripted_worker.py LIVES [--log FILE] --channel-fd N

LIVES: one behaviour a life, comma separated, the last one repeated; a life is counted by the writer epoch.
  well      restores, trains a step every 20 ms, answers Save, Pause, Resume, Park and Shutdown
  dies      trains, then exits with code 3          crashes   kills itself with SIGSEGV after its first step
  commits   as dies, after a periodic checkpoint    silent    says nothing once it has trained
  fails     says Failed                             finishes  says Finished (a bounded run)
  mumbles   sends a line that is no message         starting  never gets beyond its start
  stubborn  trains, ignores Shutdown and Park                saveless  as well, dies when it is asked to save
  degraded  as well, with Kafka away                loses     as well, with data lost until that is accepted
  recreated says Failed: topic-recreated            poisoned  finds a record to quarantine, then crashes
  truncated says Failed: log-truncated             clogged   as well, never done with a Drain
  mortal    as well, dies once it is parked         scheduled as well, with a learning-rate schedule
  wails     writes to stderr as native code does, and aborts
FILE gets a line for each message received: its kind, and for a Save its label, for Decide the decision's kind,
for Change what it says, for Configure the kinds of all decisions, the signal of the crash before, and what was set
over HTTP.
"""

import json
import os
import select
import signal
import socket
import sys
import time

TICK_S = 0.02
WAILING = """\
2026-11-23 18:52:42.101: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is optimized to use
2026-11-23 18:52:43.102: W tensorflow/core/data/x.cc:7] the input is odd
%3|1700000000.123|FAIL|penstock#consumer-1| [thrd:kafka]: Connect to ipv4#127.0.0.1:1 failed
libpng warning: strange
free(): invalid pointer"""
PICTURES_AT = 3
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
COLOURS = ["#f4a23a", "#203a54"]
PICTURE = {"partition": 0, "offset": 7, "image": PIXEL, "mask": PIXEL, "prediction": PIXEL, "error": PIXEL}
PICTURE |= {"label": None, "predicted_label": None, "wrong": 0.25}


class Worker:
    def __init__(self, behaviours: list[str], log: str | None, descriptor: int) -> None:
        self.channel = socket.socket(fileno=descriptor)
        self.received = b""
        self.behaviours = behaviours
        self.log = log
        self.step = 0
        self.sequence = 0
        self.state = "training"

    def run(self) -> None:
        self.begin(self.receive())
        while True:
            self.step += self.state == "training"
            self.report()
            if self.step == PICTURES_AT:
                self.send(kind="pictures", step=self.step, taken_at=time.time(), colours=COLOURS, pictures=[PICTURE])
            self.misbehave()
            if b"\n" in self.received or select.select([self.channel], [], [], TICK_S)[0]:
                self.obey(self.receive())

    def begin(self, configure: dict) -> None:
        self.epoch = configure["epoch"]
        self.behaviour = self.behaviours[min(self.epoch, len(self.behaviours)) - 1]
        self.state = "paused" if configure["paused"] else "training"
        self.send(kind="allowance", state="restoring", seconds=0.1, doing="restoring")
        while self.behaviour == "starting":
            self.obey(self.receive())

    def misbehave(self) -> None:
        match self.behaviour:
            case "dies":
                sys.exit(3)
            case "commits":
                self.commit("periodic", [])
                sys.exit(3)
            case "wails":
                sys.stderr.write(WAILING)
                sys.stderr.flush()
                os.kill(os.getpid(), signal.SIGABRT)
            case "crashes":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "silent":
                signal.pause()
            case "poisoned":
                self.send(kind="quarantined", topic_id="id", partition=0, offset=7, detail="SIGSEGV in decode")
                os.kill(os.getpid(), signal.SIGSEGV)
            case "recreated":
                problem = {
                    "type": "topic-recreated",
                    "detail": "another id",
                    "since": 1.0,
                    "facts": {"topic_id": "new"},
                }
                self.send(kind="failed", problem=problem)
                sys.exit(1)
            case "truncated":
                facts = {"topic_id": "id", "ends": {"0": 15}}
                problem = {"type": "log-truncated", "detail": "cut at 15", "since": 1.0, "facts": facts}
                self.send(kind="failed", problem=problem)
                sys.exit(1)
            case "fails":
                self.send(kind="failed", problem={"type": "records-all-bad", "detail": "no record fits", "since": 1.0})
                sys.exit(1)
            case "finishes" if self.step == 3:
                self.send(kind="finished", checkpoint_id=self.commit("final", []))
            case "mumbles":
                self.channel.sendall(b'{"kind": "gibberish"}\n')
                signal.pause()

    def obey(self, message: dict) -> None:
        match message["kind"]:
            case "decide":
                self.behaviour = "well"
            case "pause":
                self.state = "paused"
            case "drain" if self.behaviour == "clogged":
                self.state = "draining"
            case "drain":
                self.state = "draining"
                self.report()
                self.commit("final", [])
                os._exit(0)
            case "resume":
                self.state = "training"
            case "save" if self.behaviour == "saveless":
                sys.exit(3)
            case "save" if message["label"] == "impossible":
                self.send(kind="save_failed", detail="disk full", request_ids=[message["request_id"]])
            case "save":
                self.commit("request", [message["request_id"]])
            case "park" if self.behaviour != "stubborn":
                self.commit("final", [])
                self.send(kind="parked")
                if self.behaviour == "mortal":
                    os._exit(3)
                self.begin(self.receive())
            case "shutdown" if self.behaviour == "starting":
                os._exit(0)
            case "shutdown" if self.behaviour != "stubborn":
                self.commit("final", [])
                os._exit(0)

    def receive(self) -> dict:
        while b"\n" not in self.received:
            self.received += self.channel.recv(1 << 16) or os._exit(0)
        line, _, self.received = self.received.partition(b"\n")
        message = json.loads(line)
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{told(message)}\n")
        return message

    def report(self) -> None:
        away = {"type": "kafka-unavailable", "detail": "broker away", "since": 1.0}
        lost = {"type": "data-lost", "detail": "9 gone", "since": 1.0, "facts": {"topic_id": "id", "before": {0: 9}}}
        records = dict.fromkeys(("held_out", "dead_lettered", "skipped", "absent", "lost", "excluded"), 0)
        position = 32 * self.step
        self.send(
            kind="status",
            state=self.state,
            step=self.step,
            loss=1 / (1 + self.step),
            learning_rate=0.003,
            rate_from="schedule" if self.behaviour == "scheduled" else "setting",
            device="CPU",
            reader="scripted",
            degraded=away if self.behaviour == "degraded" else None,
            problems=[lost] if self.behaviour == "loses" else [],
            records={"trained": position, **records},
            partitions=[
                {
                    "topic": "pets", "partition": 0, "origin": 0, "position": position, "fetched": position,
                    "trained": position, "checkpointed": 0,
                }
            ],
            scores=[{"set": "prequential", "name": "mean_iou", "class_": "", "value": 0.5}],
            newest_event_time_s=1.7e9,
            counters=[
                {"name": "steps_total", "labels": {}, "value": self.step},
                {"name": "records_fetched_total", "labels": {}, "value": position},
                {"name": "records_dead_lettered_total", "labels": {"reason": "decode"}, "value": 2},
            ],
            observations={"step_duration_seconds": [0.02]},
        )  # fmt: skip

    def commit(self, cause: str, request_ids: list[str]) -> str:
        self.sequence += 1
        identifier = f"e{self.epoch:06d}-s{self.sequence:09d}"
        self.send(
            kind="committed", checkpoint_id=identifier, cause=cause, step=self.step, size_bytes=1000, duration_s=0.1,
            stall_s=0.01, positions={0: 32 * self.step}, request_ids=request_ids,
        )  # fmt: skip
        return identifier

    def send(self, **message: object) -> None:
        self.channel.sendall(json.dumps(message).encode() + b"\n")


def told(message: dict) -> str:
    match message["kind"]:
        case "configure":
            crashed = [message["crashed"]] if message["crashed"] else []
            patched = [
                f"{name}={at(message['settings'], name)}" for name, by in message["sources"].items() if by == "api"
            ]
            return " ".join(["configure", *(each["kind"] for each in message["decisions"]), *crashed, *patched])
        case "change":
            return f"change {message['setting']}={message['value']} {message['source']}"
        case "decide":
            return f"decide {message['decision']['kind']}"
        case kind:
            return message.get("label") or kind


def at(tree: dict, name: str) -> object:
    group, leaf = name.split(".")
    return tree[group][leaf]


def main() -> None:
    lives, *rest = sys.argv[1:]
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    started = time.monotonic()
    try:
        Worker(lives.split(","), options.get("--log"), int(options["--channel-fd"])).run()
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(f"the sidecar went away after {time.monotonic() - started:.1f} s")


main()
