"""Adds the libraries of the page to a CycloneDX file that tells what inferq is made of: `page_libraries.py FILE`.

They come from npm, so `cyclonedx-py` knows nothing of them; which they are stands in the licences that lie with them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from urllib.parse import quote

LICENCES = Path(__file__).parent.parent / "gateway" / "ui" / "static" / "vendor" / "LICENCES.txt"
_HEAD = re.compile(r"^-{80}\n(?:@([\w.-]+)/)?([\w.-]+) (\S+) \(\w+\.js\): (.+)$", re.MULTILINE)


def libraries(licences: str) -> list[dict[str, object]]:
    """Components as CycloneDX has them, by their names."""
    found = []
    for scope, name, version, licence in _HEAD.findall(licences):
        purl = f"pkg:npm/{quote(f'@{scope}', safe='') + '/' if scope else ''}{name}@{version}"
        terms = {"expression": licence.strip("()")} if " " in licence else {"license": {"id": licence}}
        named = {"group": f"@{scope}", "name": name} if scope else {"name": name}
        told = {"bom-ref": purl, "licenses": [terms], "purl": purl, "type": "library", "version": version}
        found.append(told | named)
    return sorted(found, key=lambda each: str(each["purl"]))


if __name__ == "__main__":
    file = Path(sys.argv[1])
    told = json.loads(file.read_text("utf-8"))
    added = libraries(LICENCES.read_text("utf-8"))
    told["components"] += added
    told["dependencies"] += [{"ref": each["bom-ref"]} for each in added]
    file.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", "utf-8")
