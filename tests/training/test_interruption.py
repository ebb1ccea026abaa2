"""Signals: the first is deferred to the end of a step, the second is not."""

import os
import signal

import pytest

from core.machine.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_the_step_and_the_second_does_not(number, capfd):
    before = signal.getsignal(number)
    interruption = Interruption()
    with interruption.listening(), interruption.deferred():
        os.kill(os.getpid(), number)
        assert interruption.requested
        assert "Stopping after this step" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_outside_of_a_step_the_first_signal_is_an_interrupt():
    interruption = Interruption()
    with interruption.listening():
        with interruption.deferred():
            pass
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
