"""Back-off and budget."""

import pytest

from service.restarts import RestartBudget


def test_first_restart_waits_for_nothing_and_later_ones_double() -> None:
    budget = RestartBudget(restarts=9, backoff_s=1.0)
    assert [budget.died() for _ in range(10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60, None]


@pytest.mark.parametrize("cause", ["start", "restore", "requeue", "edit", "adapt"])
def test_checkpoint_taken_only_to_restore_is_no_progress(cause: str) -> None:
    budget = RestartBudget(restarts=5, backoff_s=1.0, deaths=3)
    assert not budget.committed(cause)
    assert budget.deaths == 3
    assert budget.committed("periodic")
    assert budget.deaths == 0
