"""A short soak: every kind of traffic, every answer looked at; what grows slowly is for `make soak` to see."""

from pathlib import Path

import soak
from tally import TURNED_AWAY
from traffic import KINDS, name_of


def test_every_answer_is_right(tmp_path: Path):
    asked = ["--seconds", "20", "--rate", "20", "--burst-seconds", "8", "--reload-seconds", "2"]
    run = soak.Run(soak.options([*asked, "--output", str(tmp_path)]))
    world = run.run()
    assert run.conclude(world) == 0, run.faults + world.tally.wrongs
    outcomes = world.tally.outcomes
    assert outcomes.keys() >= {name_of(kind) for kind in KINDS} | {"burst", "reload"}
    assert outcomes["burst.detect"].keys() == {"ok", TURNED_AWAY}
    assert outcomes["reload"].keys() == {"loaded", "unloaded", "model_refused"}
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"samples.csv", "summary.md", "wrong.txt"}
