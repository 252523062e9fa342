"""File, environment, flags; secrets; and errors of one line that name the setting."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from streaming.errors import SettingsError
from streaming.settings import Settings, parse_settings, revealed
from streaming.settings_sources import CONFIG_VARIABLE, Given, load, load_settings
from streaming.settings_tree import replaced, settings_digest

TENSORFLOW_IO = {"reader": "tensorflow-io"}
SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith("PENSTOCK")]:
        monkeypatch.delenv(name)


def toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "penstock.toml"
    file.write_text(text)
    return file


def refusal(tree: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_settings(tree)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_file_environment_and_flags_all_is_at_its_default() -> None:
    assert load_settings() == Settings()


def test_flags_win_over_the_environment_which_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toml(tmp_path, '[kafka]\ntopic = "file"\ngroup_id = "file"\nreader = "tensorflow-io"\n')
    monkeypatch.setenv("PENSTOCK_KAFKA__TOPIC", "environment")
    monkeypatch.setenv("penstock_kafka__group_id", "environment")
    kafka = load_settings(file, {"kafka": {"topic": "flag"}}).kafka
    assert (kafka.topic, kafka.group_id, kafka.reader) == ("flag", "environment", "tensorflow-io")


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(toml(tmp_path, 'name = "from-file"')))
    assert load_settings().name == "from-file"
    assert load_settings(toml(tmp_path, 'name = "given"')).name == "given"


def test_a_secret_is_read_from_the_file_that_a_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    monkeypatch.setenv("PENSTOCK_SERVICE__TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("PENSTOCK_NAME_FILE", str(tmp_path / "token"))
    settings = load_settings()
    assert settings.service.token is not None
    assert settings.service.token.get_secret_value() == "s3cret"
    assert settings.name == "s3cret"


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SERVICE__TOKEN_FILE", str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match=r"^PENSTOCK_SERVICE__TOKEN_FILE: .*gone: No such file"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[kafka", "not valid TOML"),
        ("[kafka]\ntopik = 1", r"^kafka\.topik: unknown setting$"),
        ("[kafak]\ntopic = 1", r"^kafak: unknown setting$"),
        ('[pipeline]\nbatch_size = "many"', r"^pipeline\.batch_size: "),
        ("[pipeline]\nbatch_size = 0\nlinger_s = 0", r"^pipeline\.batch_size: .*\(and 1 more\)$"),
    ],
)
def test_a_file_that_can_not_work_is_one_line_that_names_the_setting(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(SettingsError, match=error) as caught:
        load_settings(toml(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--config .*absent\.toml: No such file"):
        load_settings(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    "variable",
    [
        "PENSTOCK_KAFKA__TOPIK",
        "PENSTOCK_KAFAK__TOPIC",
        "PENSTOCK_KAFKA__TOPIC__X",
        "PENSTOCK_KAFKA__",
        "PENSTOCK_TOPIC",
        "PENSTOCK_KAFKA_TOPIC",
    ],
)
def test_an_unknown_variable_is_refused_by_name(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(SettingsError, match=rf"^{variable}: unknown setting "):
        load_settings()


def test_variables_that_kubernetes_sets_for_a_service_of_that_name_are_tolerated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "PETS_SERVICE_HOST",
        "PETS_PORT_8080_TCP_PROTO",
        "TOKEN",
        "URL",
        "PORT",
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT_8080_TCP",
        "PORT_8080_TCP_ADDR",
    ):
        monkeypatch.setenv(f"PENSTOCK_{name}", "tcp://10.0.0.1:8080")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("tree", "error"),
    [
        ({"kafka": {"start": "yesterday"}}, "kafka.start: must be earliest, latest or an ISO time"),
        ({"kafka": {"start": "2026-01-31T12:00:00"}}, "kafka.start: the time needs a zone"),
        ({"kafka": {"topic": ""}}, "kafka.topic: must be what Kafka takes for a topic"),
        ({"kafka": {"topic": "two words"}}, "kafka.topic: must be what Kafka takes for a topic"),
        ({"kafka": {"dead_letter_topic": ".."}}, "kafka.dead_letter_topic: must be what Kafka takes for a topic"),
        ({"kafka": {"group_id": ""}}, "kafka.group_id: must not be empty"),
        ({"kafka": {"bootstrap_servers": "one:9092,two:99999"}}, "kafka.bootstrap_servers: must be host:port"),
        ({"name": "Ünïcode"}, "name: must be at most 63 of a-z"),
        ({"kafka": SASL}, "kafka: security_protocol SASL_* needs sasl_mechanism"),
        ({"kafka": {"security_protocol": "SASL_PLAINTEXT"}}, "kafka: security_protocol SASL_* needs"),
        ({"kafka": {"sasl_mechanism": "GSSAPI"}}, "kafka.sasl_mechanism: "),
        ({"kafka": SASL | {"sasl_mechanism": "OAUTHBEARER"}}, "kafka: sasl_mechanism OAUTHBEARER needs sasl_oauth"),
        (
            {"kafka": SASL | TENSORFLOW_IO | {"sasl_mechanism": "SCRAM-SHA-512", "sasl_password": "p"}},
            "kafka: sasl_mechanism is SCRAM-SHA-512, which tensorflow-io can't take: set kafka.reader = confluent",
        ),
        (
            {
                "kafka": SASL
                | TENSORFLOW_IO
                | {"sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_token_file": __file__}
            },
            "kafka: sasl_mechanism is OAUTHBEARER, which tensorflow-io can't take: set kafka.reader = confluent",
        ),
        (
            {"kafka": TENSORFLOW_IO | {"sasl_password": "SEC=RET"}},
            "kafka: sasl_password holds '=', which tensorflow-io can't take: set kafka.reader",
        ),
        (
            {"kafka": TENSORFLOW_IO | {"ssl_key_password": "A=B"}},
            "kafka: ssl_key_password holds",
        ),
        ({"model": {"build": "a module"}}, "model.build: must look like package.module:function"),
        ({"records": {"parse": "os.system"}}, "records.parse: must look like package.module:function"),
        ({"model": {"learning_rate": float("nan")}}, "model.learning_rate: "),
        ({"pipeline": {"linger_s": float("inf")}}, "pipeline.linger_s: "),
        ({"evaluation": {"fraction": 1}}, "evaluation.fraction: "),
        ({"name": "../elsewhere"}, "name: "),
        ({"service": {"port": 70_000}}, "service.port: "),
    ],
)
def test_a_value_that_can_not_work_is_refused_by_name(tree: dict[str, Any], error: str) -> None:
    assert refusal(tree).startswith(error)


@pytest.mark.parametrize("start", ["earliest", "latest", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00+01:00"])
def test_a_start_is_a_word_or_a_time_with_its_zone(start: str) -> None:
    assert parse_settings({"kafka": {"start": start}}).kafka.start == start


def test_a_secret_stands_in_no_rendering_and_in_no_traceback() -> None:
    settings = parse_settings({"kafka": SASL | {"sasl_password": "hush"}, "service": {"token": "hush"}})
    for rendering in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert "hush" not in rendering
    for tree in (
        {"kafka": TENSORFLOW_IO | {"sasl_password": "hush="}},
        {"kafka": {"security_protocol": "SASL_SSL", "sasl_password": "hush"}},
        {"kafka": {"sasl_password": "hush", "topik": 1}},
    ):
        with pytest.raises(SettingsError) as caught:
            parse_settings(tree)
        assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_a_secret_of_the_environment_stands_in_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_KAFKA__SASL_PASSWORD", "hush=")
    monkeypatch.setenv("PENSTOCK_KAFKA__READER", "tensorflow-io")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_the_tree_survives_its_way_to_the_worker_as_json(tmp_path: Path) -> None:
    (ca := tmp_path / "ca.pem").touch()
    settings = parse_settings(
        {
            "kafka": SASL | {"sasl_password": "hush", "ssl_cafile": str(ca)},
            "checkpoint": {"directory": "/data", "interval_s": 0.1},
            "pipeline": {"decode_threads": 3},
        }
    )
    sent = json.loads(json.dumps(revealed(settings)))
    assert sent["kafka"]["sasl_password"] == "hush"
    assert parse_settings(sent) == settings


def test_the_digest_is_the_same_for_the_same_tree_and_follows_every_change() -> None:
    base = {"kafka": SASL | {"sasl_password": "hush"}}
    digest = settings_digest(parse_settings(base))
    assert digest == settings_digest(parse_settings(base))
    for change in ({"kafka": base["kafka"] | {"sasl_username": "other"}}, base | {"name": "b"}):
        assert settings_digest(parse_settings(change)) != digest


def test_no_secret_can_be_guessed_from_the_digest_that_checkpoints_carry() -> None:
    guesses = [parse_settings({"kafka": SASL | {"sasl_password": guess}}) for guess in ("hush", "1234")]
    assert settings_digest(guesses[0]) == settings_digest(guesses[1])


def test_names_that_follow_the_trainings_name() -> None:
    settings = parse_settings({"name": "night", "checkpoint": {"base": "/data"}})
    assert (settings.group_id, settings.checkpoint_directory) == ("penstock.night", Path("/data/night"))
    settings = parse_settings({"kafka": {"group_id": "g"}, "checkpoint": {"directory": "/x"}})
    assert (settings.group_id, settings.checkpoint_directory) == ("g", Path("/x"))


def test_every_setting_says_what_it_is_and_when_it_applies() -> None:
    for group in Settings.model_fields.values():
        fields = getattr(group.annotation, "model_fields", None) or {"": group}
        for name, field in fields.items():
            assert field.description, name
            assert isinstance(field.json_schema_extra, dict)
            assert field.json_schema_extra["applies"] in ("live", "restart", "new run")


@pytest.mark.parametrize("servers", ["", "localhost", "a:1,", "a:1,b", "a:x"])
def test_bootstrap_servers_are_pairs_of_host_and_port(servers: str) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap_servers: must be host:port"):
        parse_settings({"kafka": {"bootstrap_servers": servers}})


def test_a_missing_certificate_is_known_at_once() -> None:
    with pytest.raises(SettingsError, match=r"kafka\.ssl_cafile"):
        parse_settings({"kafka": {"ssl_cafile": "/nowhere/ca.pem"}})


def test_each_source_of_a_setting_is_known_the_winner_first_and_no_secret_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toml(tmp_path, '[model]\nlearning_rate = 0.1\n[service]\ntoken = "hush"\n')
    (tmp_path / "token").write_text("hush2")
    monkeypatch.setenv("PENSTOCK_MODEL__LEARNING_RATE", "0.2")
    monkeypatch.setenv("PENSTOCK_SERVICE__TOKEN_FILE", str(tmp_path / "token"))
    settings, origins = load(file, {"model": {"learning_rate": "0.3"}})
    assert settings.model.learning_rate == 0.3
    assert origins == {
        "model.learning_rate": (Given("flag", "0.3"), Given("environment", "0.2"), Given("file", "0.1")),
        "service.token": (Given("environment", "********"), Given("file", "********")),
    }


def test_some_settings_are_replaced_by_name_and_checked() -> None:
    settings = replaced(Settings(), {"model.learning_rate": 0.5, "name": "b"})
    assert (settings.model.learning_rate, settings.name, settings.kafka) == (0.5, "b", Settings().kafka)
    with pytest.raises(SettingsError, match=r"^model\.learning_rate: "):
        replaced(settings, {"model.learning_rate": 0})
