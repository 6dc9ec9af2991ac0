"""What the server itself knows: its options and their variables."""

import re
import subprocess

from serving import binary


def variables() -> set[str]:
    """The environment variables of `cenet-serve serve --help`."""
    shown = subprocess.run([binary(), "serve", "--help"], capture_output=True, text=True, check=True, timeout=60)
    return set(re.findall(r"\[env: (CENET_\w+)=", shown.stdout))


def assert_options(environment: dict[str, str]) -> None:
    """That the server takes these variables with these values."""
    unknown = {name for name in environment if name.startswith("CENET_")} - variables()
    assert not unknown, f"no options of the server: {unknown}"
    # whatever is wrong with a value is told before the repository, which isn't there, is looked for
    environment = environment | {"CENET_MODEL_REPOSITORY": "/nowhere"}
    tried = subprocess.run([binary(), "serve"], capture_output=True, text=True, env=environment, timeout=60)
    assert tried.returncode == 1, tried.stderr
    assert "/nowhere" in tried.stderr
