"""What the end of a run of the tests says of those that were skipped: why, and what to install for them."""

import re
from collections import defaultdict
from collections.abc import Iterable

INSTALL = re.compile(r"(apt-get|pip|npm) install (?:--no-save )?['\"]?([^'\"]+)['\"]?")


def lines_about_skipped(skipped: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each reason, and one for each installer with all that it should bring.

    Args:
        skipped: the id of each test, or the path of a file that was skipped as one, and the reason.
    """
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in skipped:
        by_reason[reason.removeprefix("Skipped: ")].append(name)
    wanted: dict[str, set[str]] = defaultdict(set)
    lines = []
    for reason, names in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        files = sum("::" not in name for name in names)
        tests = len(names) - files
        counts = [f"{count} {kind}{'s' * (count != 1)}" for count, kind in ((tests, "test"), (files, "file")) if count]
        lines.append(f"{' and '.join(counts)}: {reason}")
        if found := INSTALL.search(reason):
            wanted[found[1]].update(found[2].split())
    commands = {"apt-get": "apt-get install {}", "pip": ".venv/bin/pip install {}", "npm": "npm install --no-save {}"}
    for installer, packages in sorted(wanted.items()):
        quoted = (f"'{package}'" if "[" in package else package for package in sorted(packages))
        lines.append(f"to run them: {commands[installer].format(' '.join(quoted))}")
    return lines
