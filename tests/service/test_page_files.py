"""The files of the page as a browser asks for them: packed, and again only when they have changed."""

import pytest

from tests.service.conftest import Sidecar

PATH = "/page/main.js"
OTHERS = 'W/"0", "a,b"'


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([], 200),
        (['W/"{}"'], 304),
        ([OTHERS + ' ,W/"{}", ' + OTHERS], 304),
        ([OTHERS, 'W/"{}"'], 304),
        (['"{}"'], 304),
        (["*"], 304),
        ([OTHERS], 200),
        (["{}"], 200),
        (['"'], 200),
    ],
)
def test_a_file_that_the_client_has_is_not_sent_again(training: Sidecar, sent: list[str], status: int) -> None:
    tag = training.http.get(PATH).headers["etag"]
    opaque = tag.removeprefix('W/"').removesuffix('"')
    answer = training.http.get(PATH, headers=[("If-None-Match", value.format(opaque)) for value in sent])
    assert (answer.status_code, answer.headers["etag"]) == (status, tag)
    assert bool(answer.content) is (status == 200)


def test_a_client_that_cannot_unpack_gets_the_same_unpacked(training: Sidecar) -> None:
    packed = training.http.get(PATH)
    plain = training.http.get(PATH, headers={"Accept-Encoding": "identity"})
    assert (packed.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert packed.content == plain.content
