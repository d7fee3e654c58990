"""The shipped packages' accuracy beside what it has to beat, from their manifests.

`handful export` measures on the way, and this script computes nothing; `handful evaluate NAME`
repeats the accuracy.
"""

from __future__ import annotations

from results import section

from handful.runtime.package.decode import read_manifest
from handful.runtime.package.shipped import find, shipped
from handful.trainer.export.compared import comparison


def main() -> None:
    """Write the section `packages` of RESULTS.md."""
    parts = []
    for name in shipped():
        manifest = read_manifest(find(name))
        training = manifest.training
        origin = f"`handful train {training['recipe']}`, parameters of step {training['step']}"
        parts += [f"### {name}", f"{origin}; {manifest.evaluation[0].episodes} episodes."]
        parts += comparison(manifest.evaluation)
    section("packages", "python benchmarks/packages.py", "\n\n".join(parts))


if __name__ == "__main__":
    main()
