"""The command as a person calls it, and what it said."""

from __future__ import annotations

from click.testing import CliRunner, Result

from handful.cli import main

SMALL = (
    "learner.latent_dim=8",
    "learner.network={kind='mlp', hidden=[8], normalisation='running'}",
    *(
        f"{section}.{setting}"
        for section, steps in (("pretrain", 4), ("meta", 2))
        for setting in (
            f"steps={steps}",
            "way=[5]",
            "shot=[1]",
            "queries=2",
            "validation_way=5",
            "validation_queries=2",
            "validate_every=1",
            "validation_episodes=5",
        )
    ),
)


def run(*arguments: object) -> Result:
    """The command as a person calls it; an exception that is not an exit fails the test."""
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def settings(*changes: str) -> list[str]:
    """Each under a --set of its own."""
    return [part for change in changes for part in ("--set", change)]


def error(result: Result) -> str:
    """What an error said, which ended the command with status 1 and without data."""
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr
