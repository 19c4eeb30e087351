"""Scientific simulators as generative models for `AmortisedWakeSleep`."""

from skwakesleep.simulators._blowfly import BlowflyDynamics
from skwakesleep.simulators._hodgkin_huxley import HodgkinHuxley
from skwakesleep.simulators._pinwheel import Pinwheel

__all__ = ["BlowflyDynamics", "HodgkinHuxley", "Pinwheel"]
