from streaming.demo.ports import free_port


def test_nobody_gets_a_port_that_another_was_given_just_before() -> None:
    given = [free_port() for _ in range(500)]
    assert len(set(given)) == 500
