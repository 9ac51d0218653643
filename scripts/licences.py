"""Read in a Debian package's copyright file under which terms each of its files is given."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch

# What asks for no more than a credit, or for the same terms; a file under one of these "or" another may be taken.
PERMISSIVE = re.compile(
    r"cc0([- ]1\.0)?|public-domain|pd|cc-by(-sa)?[- ]\d(\.\d)?\+?|mit|expat|bsd-[23]-clause|zlib", re.IGNORECASE
)


@dataclass(frozen=True)
class Terms:
    """Who holds the rights to a file, and which of the licences it is given under is taken."""

    licence: str
    holders: str


@dataclass(frozen=True)
class _Rule:
    pattern: str
    licences: list[str]
    holders: str


class Copyright:
    """A copyright file in the form that machines read: https://www.debian.org/doc/packaging-manuals/copyright-format/."""

    def __init__(self, text: str) -> None:
        """Read the rules; a text of another form has none."""
        self._rules = []
        for stanza in re.split(r"\n\s*\n", text):
            fields = _fields(stanza)
            if "files" not in fields:
                continue
            licences = re.split(r",?\s+or\s+", fields.get("license", "").partition("\n")[0], flags=re.IGNORECASE)
            holders = ", ".join(line.strip(" ,") for line in fields.get("copyright", "").split("\n") if line.strip())
            # Some authors write names that hold spaces, one a line, where the form asks for "?".
            patterns = {*fields["files"].split(), *(line.strip() for line in fields["files"].split("\n"))} - {""}
            self._rules += [_Rule(pattern.removeprefix("./"), licences, holders) for pattern in sorted(patterns)]

    def terms(self, path: str) -> Terms | None:
        """The terms of a file of the source, if one of its licences is permissive; the last rule for it decides."""
        rule = next((rule for rule in reversed(self._rules) if fnmatch(path, rule.pattern)), None)
        licences = rule.licences if rule is not None else []
        permissive = [licence.strip() for licence in licences if PERMISSIVE.fullmatch(licence.strip())]
        return Terms(permissive[0], rule.holders) if permissive and rule is not None else None


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if match := re.match(r"([A-Za-z-]+):\s*(.*)", line):
            name = match[1].lower()
            fields[name] = match[2]
        elif name and not line.startswith("#"):
            fields[name] += "\n" + line.strip()
    return fields
