"""Stands in for ``napari-seamless finetune`` where a test is about the viewer: the same events, in no time.

The environment variable FAKE_FINETUNE says how it behaves: nothing for a run that ends well, ``slow`` for one that goes
on until it is interrupted, ``deaf`` for one that ignores that, ``crash``, ``crash early`` for one that has shown no
weights by then, ``refuse``, ``worse`` and ``unjudged``. What ends badly leaves a checkpoint, and goes on from it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

BEHAVIOUR = os.environ.get("FAKE_FINETUNE", "")
EPOCHS = {"": 5, "worse": 5, "unjudged": 5}.get(BEHAVIOUR, 100_000)
stopped = False


def say(text: str, stream: TextIO) -> None:
    stream.write(text + "\n")
    stream.flush()


def tell(name: str, **fields: Any) -> None:
    say(json.dumps({"event": name, **fields}), sys.stdout)


def option(name: str) -> str:
    words = sys.argv
    return words[words.index(name) + 1] if name in words else ""


def stop(number: int, frame: object) -> None:
    global stopped
    stopped = BEHAVIOUR != "deaf"


def copy_model(place: str) -> None:
    source = Path(option("--model") or os.environ["FAKE_FINETUNE_SCRATCH"])
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)


def checkpoint() -> Path:
    return Path(f"{option('--out')}.checkpoint.safetensors")


def train() -> None:
    first = 1
    if "--resume" in sys.argv:
        first = int(checkpoint().read_text()) + 1
        tell("notice", message=f"Going on from step {10 * (first - 1)}.")
    for epoch in range(first, EPOCHS + 1):
        tell("epoch", epoch=epoch, step=10 * epoch, loss=1.0 / epoch, seconds_left=float(EPOCHS - epoch))
        if BEHAVIOUR != "unjudged":
            score = 1.0 - 1.0 / (epoch + 1)
            tell("validation", epoch=epoch, step=10 * epoch, best=True, score=score, iou=score)
        if epoch % 2 == 0:
            checkpoint().write_text(str(epoch))
        if option("--preview") and epoch == 1 and BEHAVIOUR != "crash early":
            copy_model(option("--preview"))
            tell("snapshot", step=10, path=option("--preview"))
        if BEHAVIOUR.startswith("crash") and epoch == 3:
            say("Traceback: out of luck", sys.stderr)
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        if stopped:
            return
        time.sleep(0.02)


def compare() -> None:
    if BEHAVIOUR == "unjudged":
        tell(
            "comparison",
            before={},
            after={},
            rehearsal_before={},
            rehearsal_after={},
            better=False,
            judged=False,
            verdict="not judged: no region is for validation",
        )
        return
    before, after = (0.83, 0.71) if BEHAVIOUR == "worse" else (0.71, 0.83)
    tell(
        "comparison",
        before={"score": before, "iou": before},
        after={"score": after, "iou": after},
        rehearsal_before={"score": 0.9, "iou": 0.9},
        rehearsal_after={"score": 0.9, "iou": 0.9},
        better=after > before,
        judged=True,
        verdict=f"{'better' if after > before else 'worse'} on your validation regions: IoU {before} → {after}",
    )


def main() -> int:
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    if BEHAVIOUR == "refuse":
        say("napari-seamless: nothing is verified: paint first", sys.stderr)
        return 1
    tell("notice", message="Training on 1 image.")
    say("not an event", sys.stdout)
    train()
    copy_model(option("--out"))
    Path(f"{option('--out')}.curves.csv").write_text("epoch,step\n")
    if not stopped:
        checkpoint().unlink(missing_ok=True)
    tell("written", path=option("--out"))
    compare()
    tell("done", seconds=1.0, stopped=stopped)
    return 130 if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
