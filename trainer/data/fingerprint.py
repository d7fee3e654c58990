"""Fingerprints of classes: of the examples as they were read, or of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch

from .labelled import ClassFacts, LabelledSet

DIGITS = 16  # of a sha256: 64 bits, against accidents and not against forgers


def of_examples(data: LabelledSet) -> dict[str, ClassFacts]:
    """Each class by the type, shape and bytes of its examples, in their order."""
    head = f"{data.x.dtype} {list(data.x.shape[1:])}".encode()
    facts = {}
    for name, part in zip(data.classes, torch.split(data.x, data.counts.tolist()), strict=True):
        digest = hashlib.sha256(head + part.numpy().tobytes()).hexdigest()
        facts[name] = ClassFacts(len(part), digest[:DIGITS])
    return facts


def of_files(files: Iterable[Path]) -> ClassFacts:
    """One class by the names and contents of its files, in their order."""
    digest, count = hashlib.sha256(), 0
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content} {file.name}\n".encode(errors="surrogateescape"))
        count += 1
    return ClassFacts(count, digest.hexdigest()[:DIGITS])


def of_file(file: Path) -> str:
    """The sha256 of one file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
