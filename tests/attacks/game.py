"""What every attack of the suite reports: the adversary's advantage in a game of two worlds, with its interval.

Owns the statistics (scipy's) and the words. In a game a coin decides between two worlds, the adversary sees what the
threat model gives it and says which; its advantage is the rate of «yes» in the one world less that in the other.
"""

import random
from dataclasses import dataclass

import scipy

CONFIDENCE = 0.999


@dataclass
class Game:
    """Counts of an adversary's answers; hear() is called once a trial."""

    trials: tuple[int, int] = (0, 0)  # in the world without, in the world with
    said_yes: tuple[int, int] = (0, 0)

    def hear(self, world: bool, answer: bool) -> None:
        trials, said_yes = list(self.trials), list(self.said_yes)
        trials[world] += 1
        said_yes[world] += answer
        self.trials, self.said_yes = (trials[0], trials[1]), (said_yes[0], said_yes[1])

    def __add__(self, other: "Game") -> "Game":
        return Game(
            (self.trials[0] + other.trials[0], self.trials[1] + other.trials[1]),
            (self.said_yes[0] + other.said_yes[0], self.said_yes[1] + other.said_yes[1]),
        )

    @property
    def advantage(self) -> float:
        """True-positive rate less false-positive rate."""
        return self.said_yes[1] / self.trials[1] - self.said_yes[0] / self.trials[0]

    def interval(self) -> tuple[float, float]:
        """Of the advantage, at 99.9 %: the two rates' Clopper-Pearson intervals, each at 99.95 %."""
        level = 1 - (1 - CONFIDENCE) / 2
        (low0, high0), (low1, high1) = (
            scipy.stats.binomtest(yes, count).proportion_ci(level)
            for yes, count in zip(self.said_yes, self.trials, strict=True)
        )
        return low1 - high0, high1 - low0

    def __str__(self) -> str:
        low, high = self.interval()
        return f"advantage {self.advantage:+.4f} [{low:+.4f}, {high:+.4f}] in {sum(self.trials):,} games"


def coin(dice: random.Random) -> bool:
    return dice.random() < 0.5
