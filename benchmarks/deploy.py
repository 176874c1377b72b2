"""Where the time of a deploy goes: the demo's main job on three virtual boards at once, stage by stage.

Everything is emulated on the machine's own cores, so the seconds tell which stage to look at, not how fast
a real board is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

DEMO_SECONDS = 3600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="keep the numbers in this file")
    args = parser.parse_args()
    command = [sys.executable, "-m", "hostler.demo", "--exit", "--json", "--state", "var/bench-demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)
    lines = done.stdout.strip().splitlines()
    if not lines:
        sys.exit(f"deploy: the demo said nothing:\n{done.stderr}")
    summary = json.loads(lines[-1])
    print("seconds of each stage, three boards at once")
    for board in summary["boards"]:
        print(
            f"  {board['board']} ({board['image']}), {board['seconds']:.0f} s in all"
            + ("" if board["ok"] else ", FAILED")
        )
        for stage, seconds in {**board["stages"], **board["steps"]}.items():
            print(f"    {stage:<34}{seconds:8.1f}")
    if args.json:
        args.json.write_text(json.dumps(summary) + "\n")
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
