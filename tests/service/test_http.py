"""The API over real HTTP."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from streaming.checkpoints.manifest import ManifestFields
from streaming.checkpoints.store import LEDGER_FILE, CheckpointStore
from streaming.ledger.ledger import Generation, Kind, Ledger
from tests.docs import CONTRACT
from tests.service.conftest import Sidecar, SidecarFactory, eventually, settings_for

PROBLEM = "application/problem+json"


def assert_problem(response: httpx.Response, status: HTTPStatus, slug: str) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    body = response.json()
    assert body["type"] == f"urn:penstock:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]


def test_status_has_the_shape_that_scripts_rely_on(training: Sidecar) -> None:
    status = training.status()
    wanted = {"state", "desired_state", "degraded", "step", "loss", "records", "problems", "partitions", "worker"}
    assert wanted | {"device"} <= status.keys()
    kinds = {"fetched", "trained", "held_out", "dead_lettered", "skipped", "absent", "lost", "excluded"}
    assert status["records"].keys() == kinds
    (partition,) = status["partitions"]
    names = {"topic", "partition", "origin", "position", "fetched", "trained", "checkpointed", "log_end", "lag"}
    assert names <= partition.keys()
    assert {"pid", "restarts", "started_at"} <= status["worker"].keys()


def test_lag_is_log_end_minus_position(training: Sidecar) -> None:
    training.watermarks.ends = {0: 10**9}
    (partition,) = eventually(lambda: (p := training.status()["partitions"])[0]["log_end"] and p)
    assert partition["lag"] == 10**9 - partition["position"]


def test_watch_that_breaks_is_told(sidecar: SidecarFactory) -> None:
    one = sidecar("well")
    one.watermarks.ends = None  # type: ignore[assignment]
    error = eventually(lambda: one.status()["log_end_error"])
    assert error.startswith("nobody looks at the topic any more, restart the service: AttributeError")


@pytest.mark.parametrize("probe", ["livez", "readyz", "startupz"])
def test_probes_answer_any_host_without_token(training: Sidecar, probe: str) -> None:
    response = training.http.get(f"/{probe}", headers={"Host": "10.1.2.3"})
    assert response.status_code == 200
    assert all(check["ok"] for check in response.json()["checks"])


def test_errors_are_problem_details(training: Sidecar) -> None:
    http = training.http
    assert_problem(http.get("/nowhere"), HTTPStatus.NOT_FOUND, "not-found")
    assert_problem(http.delete("/v1/status"), HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed")
    assert_problem(http.get("/v1/checkpoints?limit=0"), HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    assert_problem(http.post("/v1/checkpoints", json={"x": 1}), HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    assert_problem(http.get("/v1/operations/x"), HTTPStatus.NOT_FOUND, "operation-not-found")
    assert_problem(http.get("/v1/checkpoints/..%2F..%2Fetc"), HTTPStatus.NOT_FOUND, "not-found")
    assert_problem(http.get("/v1/checkpoints/e000009-s000000009"), HTTPStatus.NOT_FOUND, "checkpoint-not-found")
    large = http.post("/v1/checkpoints", content=b" " * (2 << 20), headers={"Content-Type": "application/json"})
    assert large.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_metrics_speak_prometheus_and_openmetrics(training: Sidecar) -> None:
    plain = training.http.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    for name in ("penstock_steps_total", "penstock_worker_process_resident_memory_bytes", "process_open_fds"):
        assert f"\n{name}" in plain.text
    assert 'penstock_worker_state{state="training"} 1.0' in plain.text
    modern = training.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")
    families = {family.name for family in text_string_to_metric_families(modern.text)}
    assert {"penstock_steps", "penstock_lag_records", "penstock_freshness_seconds"} <= families


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's prometheus, which has promtool, isn't installed")
def test_promtool_finds_nothing_wrong_with_the_metrics(training: Sidecar) -> None:
    exposition = training.http.get("/metrics").text
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_requests_are_measured_by_route_template(training: Sidecar) -> None:
    training.http.get("/v1/operations/a-certain-id")
    text = training.http.get("/metrics").text
    assert 'penstock_http_request_duration_seconds_count{method="GET",route="/v1/operations/{id}",status="404"}' in text
    assert "a-certain-id" not in text


def test_contract_needs_no_token(sidecar: SidecarFactory) -> None:
    one = sidecar("well", token="s3cret")
    assert one.http.get("/openapi.json").json() == json.loads(CONTRACT.read_text())
    page = one.http.get("/docs")
    assert page.status_code == 200
    parts = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert len(parts) >= 3
    for part in parts:  # a script from elsewhere would act with all the rights of whoever looks
        assert one.http.get(part).status_code == 200
    assert "//" not in page.text.replace("</script>", "").replace("<!-- ", "").replace(" -->", "")


def test_page_asks_nobody_else(training: Sidecar) -> None:
    page = training.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("http://www.w3.org/2000/svg", "")


def test_pause_and_resume_are_idempotent(training: Sidecar) -> None:
    for _ in range(2):
        assert training.http.post("/v1/pause").json()["desired_state"] == "paused"
    training.reach("paused")
    assert training.http.get("/readyz").status_code == 200
    for _ in range(2):
        assert training.http.post("/v1/resume").json()["desired_state"] == "running"
    training.reach("training")


def test_mutation_without_token_is_403_unless_loopback(training: Sidecar, sidecar: SidecarFactory) -> None:
    assert training.http.post("/v1/resume").status_code == 200
    public = sidecar("well", host="0.0.0.0")
    assert_problem(public.http.post("/v1/pause"), HTTPStatus.FORBIDDEN, "read-only")
    assert public.http.get("/v1/status").status_code == 200


def test_foreign_pages_cannot_steer_an_open_local_service(training: Sidecar, sidecar: SidecarFactory) -> None:
    foreign = {"Origin": "https://example.org"}, {"Origin": "null"}, {"Origin": "http://localhost"}
    for headers in foreign:
        assert_problem(training.http.post("/v1/pause", headers=headers), HTTPStatus.FORBIDDEN, "foreign-origin")
    rebound = {"Host": "rebound.example.org"}
    assert_problem(training.http.post("/v1/pause", headers=rebound), HTTPStatus.FORBIDDEN, "foreign-host")
    proxied = sidecar("well", allowed_hosts="proxy.example.org").http
    assert proxied.get("/v1/status", headers={"Host": "proxy.example.org"}).status_code == 200
    answer = proxied.post("/v1/pause", headers={"Host": "proxy.example.org"})
    assert_problem(answer, HTTPStatus.FORBIDDEN, "foreign-origin")


def test_token_is_wanted_where_there_is_one(sidecar: SidecarFactory) -> None:
    http = sidecar("well", token="s3cret").http
    assert_problem(http.post("/v1/resume"), HTTPStatus.UNAUTHORIZED, "unauthorized")
    wrong = http.post("/v1/resume", headers={"Authorization": "Bearer s3cret2"})
    assert_problem(wrong, HTTPStatus.UNAUTHORIZED, "unauthorized")
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert http.post("/v1/resume", headers={"Authorization": "Bearer s3cret"}).status_code == 200


def test_broker_away_is_ready_and_says_so(sidecar: SidecarFactory) -> None:
    one = sidecar("degraded")
    one.reach("training")
    ready = one.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["degraded"]["reason"] == "kafka-unavailable"
    assert one.status()["degraded"]["detail"] == "broker away"


def test_failed_service_is_live_and_not_ready_and_names_the_problem(sidecar: SidecarFactory) -> None:
    one = sidecar("fails")
    status = one.reach("failed")
    assert status["problems"][0]["id"] == "records-all-bad"
    assert one.http.get("/v1/problems").json()["problems"][0]["detail"] == "no record fits"
    assert one.http.get("/livez").status_code == 200
    assert one.http.get("/readyz").status_code == 503
    assert_problem(one.http.post("/v1/checkpoints"), HTTPStatus.CONFLICT, "not-now")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A service over five checkpoints, whose worker doesn't get beyond its start."""
    directory = tmp_path_factory.mktemp("stored") / "run"
    write_checkpoints(directory, 5)
    with Sidecar(settings_for(directory), "starting") as one:
        yield one


def test_livez_answers_before_the_worker_does(stored: Sidecar) -> None:
    codes = [stored.http.get(f"/{probe}").status_code for probe in ("livez", "readyz", "startupz")]
    assert codes == [200, 503, 503]


def test_checkpoints_are_paged_newest_first(stored: Sidecar) -> None:
    http = stored.http
    seen, cursor = [], None
    while True:
        page = http.get("/v1/checkpoints", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [checkpoint["id"] for checkpoint in page["checkpoints"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [f"e000001-s00000000{number}" for number in (4, 3, 2, 1, 0)]
    shown = http.get("/v1/checkpoints/e000001-s000000000").json()
    assert (shown["parent"], shown["step"], shown["integrity"]) == (None, 0, "unverified")


def test_records_pages_join_to_the_whole_ledger(stored: Sidecar) -> None:
    url, http = "/v1/checkpoints/e000001-s000000002/records", stored.http
    whole = http.get(url).json()
    assert whole["next"] is None
    first, second = whole["partitions"]
    assert (first["trained"], first["held_out"], first["absent"]) == ([[5, 8], [10, 11]], [[8, 10]], [])
    assert (second["partition"], second["origin"], second["position"], second["skipped"]) == (3, 0, 2, [[0, 2]])
    pieces, cursor = [], None
    while True:
        page = http.get(url, params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        pieces += [half for part in page["partitions"] for kind in Kind for half in part[kind]]
        cursor = page["next"]
        if cursor is None:
            break
    assert pieces == [[5, 8], [10, 11], [8, 10], [0, 2]]
    only = http.get(url, params={"partition": 0, "kind": "held_out"}).json()["partitions"]
    assert [(part["partition"], part["trained"], part["held_out"]) for part in only] == [(0, [], [[8, 10]])]
    assert_problem(http.get(url, params={"cursor": "x"}), HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")


def test_positions_are_the_newest_checkpoints_while_no_worker_reports(stored: Sidecar) -> None:
    partitions = eventually(lambda: stored.status()["partitions"])
    assert [(each["partition"], each["position"], each["trained"]) for each in partitions] == [(0, 11, 4), (3, 2, 0)]
    assert stored.status()["step"] == 4


def write_checkpoints(directory: Path, count: int) -> list[str]:
    ledger = Ledger(Generation("cluster", "pets", "id"))
    ledger.open_partition(0, 5)
    ledger.open_partition(3, 0)
    ledger.record(0, Kind.TRAINED, [5, 6, 7, 10])
    ledger.record(0, Kind.HELD_OUT, [8, 9])
    ledger.record(3, Kind.SKIPPED, [0, 1])
    store, written = CheckpointStore(directory), []
    for step in range(count):
        fields = ManifestFields(
            parent=written[-1] if written else None, cause="periodic", step=step, created_at=1.7e9 + step, epoch=1,
            sequence=step, settings_digest="s", learning_rate=None, model_signature="m", generation=ledger.generation,
            positions={0: 11, 3: 2}, records=ledger.counts(),
        )  # fmt: skip
        written.append(store.write(fields, {LEDGER_FILE: ledger.dump()}).id)
    return written


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/status", "GET"),
        ("/v1/checkpoints", "GET, POST"),
        ("/v1/checkpoints/e000001-s000000001", "DELETE, GET, PATCH"),
        ("/livez", "GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(training: Sidecar, path: str, methods: str) -> None:
    response = training.http.put(path)
    assert_problem(response, HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed")
    assert response.headers["Allow"] == methods


def test_what_is_no_json_is_told_with_its_place(training: Sidecar) -> None:
    response = training.http.post(
        "/v1/checkpoints", content=b'{"label": }', headers={"Content-Type": "application/json"}
    )
    assert_problem(response, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    assert response.json()["detail"] == "body: not JSON at character 10: Expecting value"


@pytest.mark.parametrize("cursor", ["zzz", "\0", "e1"])
def test_a_cursor_that_no_page_gave_out_is_refused(training: Sidecar, cursor: str) -> None:
    response = training.http.get("/v1/checkpoints", params={"cursor": cursor})
    assert_problem(response, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
