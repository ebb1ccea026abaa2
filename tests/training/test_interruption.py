"""Signals: the first is deferred to the end of a step, the second is not."""

import os
import signal

import pytest

from core.machine import distributed, interruption
from core.machine.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_the_step_and_the_second_does_not(number, capfd):
    before = signal.getsignal(number)
    found = Interruption()
    with found.listening(), found.deferred():
        os.kill(os.getpid(), number)
        assert found.requested
        assert "Stopping after this step" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_outside_of_a_step_the_first_signal_is_an_interrupt():
    found = Interruption()
    with found.listening():
        with found.deferred():
            pass
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("place", [(interruption.time, "monotonic"), (distributed, "is_first")])
def test_two_signals_at_once_are_one_where_several_processes_pass_them_on(
    place, monkeypatch, capfd
):
    """The handler of the second runs within that of the first."""
    asked, again = Interruption(), [signal.SIGTERM]
    module, name = place

    def interrupted():
        if again:
            os.kill(os.getpid(), again.pop())
        return own()

    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "is_first", lambda: True)
    own = getattr(module, name)
    with asked.listening(), asked.deferred():
        monkeypatch.setattr(module, name, interrupted)
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.requested
    assert capfd.readouterr().err.count("Stopping after this step") == 1
