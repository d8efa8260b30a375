"""DL/T 645 on pseudo-terminals at 2400 baud with noise: how many reads are right, refused, or wrong.

    python -m bench.meter_line [--lines N] [--reads N]

Each line is a pseudo-terminal whose far end paces its bytes like a 2400 baud 8E1 line and damages them: flipped bits,
lost bytes, bytes out of nowhere, echoes, another master, late answers.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import select
import threading
import time
import tty
from collections import Counter

from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.bus import Dlt645Bus
from sealwatch.edge.power.line import Line
from sealwatch.edge.power.profiles import load_profile
from sealwatch.edge.power.wire import opener
from sealwatch.simulator.meter_twin import MeterTwin, Misbehaviour

BYTE_S = 11 / 2400
FLIP, LOSE, INSERT = 0.002, 0.001, 0.001
UNIT_W = 37.3


class NoisyMeter:
    """The far end of one pseudo-terminal. The power it shows counts up, so that an old value is seen as one."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - noise of a line needs no cryptographic randomness
        self.shown = 0
        self.twin = MeterTwin(self.load, address="1", seconds=time.monotonic, seed=seed)
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.url = f"serial:{os.ttyname(self.slave)}"
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def load(self, _t_s: float) -> dict[str, float]:
        self.shown += 1
        third = self.shown * UNIT_W
        return {"active_power_w": 3 * third} | {f"active_power_{p}_w": third for p in "abc"}

    def serve(self) -> None:
        while not self.stop.is_set():
            if not select.select([self.master], [], [], 0.05)[0]:
                continue
            data = os.read(self.master, 4096)
            time.sleep(len(data) * BYTE_S)
            odd = self.random.random()
            self.twin.misbehaviours = set()
            if odd < 0.05:
                self.twin.misbehaviours = {self.random.choice([*Misbehaviour])}
                self.twin.late_s = self.random.uniform(1.2, 3.0)
            for delay_s, piece in self.twin.hear(self.damage(data)):
                time.sleep(delay_s)
                for byte in self.damage(piece):
                    os.write(self.master, bytes([byte]))
                    time.sleep(BYTE_S)

    def damage(self, data: bytes) -> bytes:
        out = bytearray()
        for sent in data:
            chance = self.random.random()
            if chance < LOSE:
                continue
            if chance < LOSE + INSERT:
                out.append(self.random.randrange(256))
            if chance > 1 - FLIP:
                out.append(sent ^ 1 << self.random.randrange(8))
            else:
                out.append(sent)
        return bytes(out)

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        os.close(self.master)
        os.close(self.slave)


def read_all(meter: NoisyMeter, reads: int, counts: Counter[str]) -> None:
    """Reads are right when they are what the meter showed last, refused with a reason, or wrong."""
    bus = Dlt645Bus(Line(opener(meter.url, baud=2400)), load_profile("dlt645-2007-three-phase"))
    for _ in range(reads):
        before = meter.shown
        try:
            value = bus.read("1", ["active_power_w"])["active_power_w"]
        except MeterError as error:
            counts[error.reason] += 1
            continue
        possible = {round(3 * k * UNIT_W, 1) for k in range(before + 1, meter.shown + 1)}
        counts["right" if round(value, 1) in possible else "WRONG"] += 1
    bus.close()


def main() -> int:
    """Print one Markdown section."""
    parser = argparse.ArgumentParser(description="DL/T 645 on noisy pseudo-terminals.")
    parser.add_argument("--lines", type=int, default=12)
    parser.add_argument("--reads", type=int, default=100)
    arguments = parser.parse_args()
    meters = [NoisyMeter(seed) for seed in range(arguments.lines)]
    counts: Counter[str] = Counter()
    threads = [threading.Thread(target=read_all, args=(m, arguments.reads, counts)) for m in meters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for meter in meters:
        meter.close()
    total = sum(counts.values())
    fine = total - counts["WRONG"]
    print("## Meter line: DL/T 645 at 2400 baud on noisy pseudo-terminals\n")
    print(
        f"Per byte {FLIP:.1%} flipped, {LOSE:.1%} lost, {INSERT:.1%} inserted; one request in twenty "
        "meets another fault.\n"
    )
    print("| Reads | right | correctly refused | wrong values accepted | right or refused (wanted >= 99.9 %) |")
    print("|---|---|---|---|---|")
    print(f"| {total} | {counts['right']} | {fine - counts['right']} | {counts['WRONG']} | {fine / total:.2%} |\n")
    print("Refused because: " + ", ".join(f"{k} {n}" for k, n in counts.most_common() if k not in ("right", "WRONG")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
