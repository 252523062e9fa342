"""Back-off and budget."""

from service.restarts import RestartBudget


def test_first_restart_waits_for_nothing_and_later_ones_double() -> None:
    budget = RestartBudget(restarts=9, backoff_s=1.0)
    assert [budget.died() for _ in range(10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60, None]


def test_checkpoint_taken_only_to_restore_is_no_progress() -> None:
    budget = RestartBudget(restarts=5, backoff_s=1.0, deaths=3)
    assert not budget.committed("restore")
    assert budget.deaths == 3
    assert budget.committed("periodic")
    assert budget.deaths == 0
