"""Ctrl-C and SIGTERM ask a run to save; devices that are not there are named."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from handful.trainer.settings.errors import ConfigError
from handful.trainer.workers.host import device_of, interrupted

from ..each import each


@each("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_and_a_second_one_ends(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with interrupted() as stop:
        assert stop() is False
        os.kill(os.getpid(), number)
        assert stop() is True
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_another_thread_gets_no_signals() -> None:
    answers: list[bool] = []

    def work() -> None:
        with interrupted() as stop:
            answers.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]


@each("name", ["cuda", "cuda:0", "meta", "quantum", "cpu:x", ""])
def test_a_device_that_is_not_there(name: str) -> None:
    if name.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(ConfigError) as caught:
        device_of(name)
    assert str(caught.value) == f"no device {name} on this machine"
    assert caught.value.hint == "cpu, or cuda with a CUDA build of torch"


def test_the_device_that_is_always_there() -> None:
    assert device_of("cpu") == torch.device("cpu")
