"""One frozen tree of settings: what each is called, means and allows, and when a change of it applies.

Read once in each composition root: the sidecar merges file, environment and flags (`settings_sources.py`); the worker
receives the finished tree over its channel, so no secret stands in an environment or a process list.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from streaming.errors import SettingsError
from streaming.kafka_clients import beyond_tensorflow_io, missing_for_login

MOST_PORT = 65_535
LEAST_SIDE, MOST_SIDE = 8, 4096  # pixels, of what the model sees

Applies = Literal["live", "restart", "new run"]


def _setting(default: Any, description: str, applies: Applies = "restart", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"applies": applies}, **limits)


def _hook(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        raise ValueError("must look like package.module:function")
    return value


Hook = Annotated[str | None, BeforeValidator(_hook)]


class _Group(BaseModel):
    # A validation error that repeats its input would repeat passwords, in tracebacks at least.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class KafkaSettings(_Group):
    """Where the records come from."""

    reader: Literal["auto", "tensorflow-io", "confluent"] = _setting(
        "auto", "Which client reads ranges; auto takes tensorflow-io where it can: no SCRAM, no OAUTHBEARER, no '='."
    )
    bootstrap_servers: str = _setting("localhost:9092", "host:port, comma separated.")
    topic: str = _setting("pets", "The topic to train from.", "new run")
    group_id: str | None = _setting(None, "Consumer group that mirrors positions; penstock.<name> unless set.")
    start: str = _setting("earliest", "earliest, latest or an ISO time; used once, at the first start.", "new run")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _setting("PLAINTEXT", "As Kafka's.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = _setting(
        None, "How to log in, with security_protocol SASL_*."
    )
    sasl_username: str | None = _setting(None, "SASL user name.")
    sasl_password: SecretStr | None = _setting(None, "SASL password.")
    sasl_oauthbearer_token_file: FilePath | None = _setting(
        None, "A token (JWT) for OAUTHBEARER, read anew for each login; whoever writes the file renews it."
    )
    ssl_cafile: FilePath | None = _setting(None, "CA certificates, PEM; unset: those of the system.")
    ssl_certfile: FilePath | None = _setting(None, "Client certificate, PEM.")
    ssl_keyfile: FilePath | None = _setting(None, "Its key, PEM; unset: it stands in ssl_certfile.")
    ssl_key_password: SecretStr | None = _setting(None, "Password of the client key.")
    dead_letter_topic: str | None = _setting(None, "Where bad records go; unset: they are counted and logged only.")
    on_data_loss: Literal["continue", "stop"] = _setting("continue", "When retention removed records before training.")
    bootstrap_timeout_s: float = _setting(5.0, "Longest wait for a first answer of a broker.", gt=0)
    range_records: int = _setting(256, "Most records read in one range.", ge=1, le=65_536)
    range_bytes: int = _setting(8 << 20, "About the most bytes read in one range.", ge=1 << 16)

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        for server in value.split(","):
            found = re.fullmatch(r"(?:[^\s:,]+|\[[^\]]+\]):(\d+)", server)
            if found is None or not 0 < int(found[1]) <= MOST_PORT:
                raise ValueError("must be host:port, several separated by commas")
        return value

    @field_validator("topic", "dead_letter_topic")
    @classmethod
    def _topics(cls, value: str | None) -> str | None:
        # Source: org.apache.kafka.common.internals.Topic
        if value is not None and (value in (".", "..") or not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", value)):
            raise ValueError("must be what Kafka takes for a topic: at most 249 letters, digits, '.', '_' and '-'")
        return value

    @field_validator("group_id")
    @classmethod
    def _group(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("must not be empty: Kafka keeps no positions for a group without a name")
        return value

    @field_validator("start")
    @classmethod
    def _start(cls, value: str) -> str:
        if value not in ("earliest", "latest"):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError("must be earliest, latest or an ISO time such as 2026-01-31T12:00:00Z") from None
            if moment.tzinfo is None:
                raise ValueError("the time needs a zone, for example a Z at the end")
        return value

    @model_validator(mode="after")
    def _readable(self) -> "KafkaSettings":
        reason = beyond_tensorflow_io(self)
        if self.reader == "tensorflow-io" and reason is not None:
            raise ValueError(f"{reason}, which tensorflow-io can't take: set kafka.reader = confluent, or auto")
        return self

    @model_validator(mode="after")
    def _letters_elsewhere(self) -> "KafkaSettings":
        if self.dead_letter_topic == self.topic:
            raise ValueError("dead_letter_topic must not be the topic itself: bad records would come back")
        return self

    @model_validator(mode="after")
    def _credentials(self) -> "KafkaSettings":
        missing = missing_for_login(self)
        if missing is not None:
            raise ValueError(missing)
        return self


class RecordsSettings(_Group):
    """What a record's value holds, and what is refused."""

    parse: Hook = _setting(None, "module:function that replaces the wire format: parse(value, key) -> Sample | Reject.")
    max_bytes: int = _setting(32 << 20, "Largest record value.", ge=1)
    max_pixels: int = _setting(64_000_000, "Largest picture, from its header, before decoding.", ge=1)
    max_bad_fraction: float = _setting(0.5, "More bad ones among the last 200 records stop the worker.", gt=0, le=1)


class PipelineSettings(_Group):
    """The tf.data chain."""

    image_size: int = _setting(
        128, "Height and width of what the model sees, pixels.", "new run", ge=LEAST_SIDE, le=MOST_SIDE
    )
    batch_size: int = _setting(32, "Records in a full batch.", ge=1, le=65_536)
    shuffle_buffer: int = _setting(1024, "Records held for shuffling.", ge=1, le=1_000_000)
    linger_s: float = _setting(30.0, "Longest that a record waits for its batch to fill.", gt=0)
    backlog_window: int = _setting(
        8192, "With a backlog, offsets per partition within which ranges are drawn at random.", ge=1
    )
    preprocess: Hook = _setting(
        None, "module:function that replaces the augmentation: (images, masks, seed) -> (images, masks)."
    )
    augment: bool = _setting(True, "The default augmentation, a horizontal flip.")
    decode_threads: int | None = _setting(None, "Parallel decode calls; cores + 1 unless set.", ge=1, le=256)
    deterministic: bool = _setting(
        False, "No shuffling, one reader in order, deterministic operations: the same weights after any crash. Slow."
    )
    seed: int = _setting(0, "Seed of shuffle, augmentation and initial weights.", "new run", ge=0, lt=2**31)


class ModelSettings(_Group):
    """The model and its optimizer."""

    build: Hook = _setting(
        None, "module:function that returns a compiled keras.Model; the default U-Net unless set.", "new run"
    )
    classes: int = _setting(3, "Number of classes.", "new run", ge=2, le=254)
    width: int = _setting(24, "Channels of the default U-Net's first stage.", "new run", ge=4, le=256)
    learning_rate: float = _setting(0.003, "The optimizer's; in the default model Adam's.", "live", gt=0, le=1000)
    mixed_precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = _setting("float32", "Keras' dtype policy.")
    jit_compile: bool = _setting(False, "Compile full batches with XLA.")


class CheckpointSettings(_Group):
    """Where and when the state is made durable."""

    directory: Path | None = _setting(None, "The checkpoints' folder; <base>/<name> unless set.")
    base: Path = _setting(Path("checkpoints"), "Parent of the folder that is named after this training.")
    interval_s: float = _setting(60.0, "Seconds between periodic checkpoints.", "live", gt=0)
    max_age_s: float = _setting(3600.0, "Training waits once saves have failed for so long.", gt=0)
    keep: int = _setting(5, "Newest checkpoints kept.", ge=1)
    keep_hourly: int = _setting(24, "Hourly checkpoints kept.", ge=0)
    keep_daily: int = _setting(14, "Daily checkpoints kept.", ge=0)
    allow_fresh: bool = _setting(False, "Start anew though the consumer group already knows this training.")


class EvaluationSettings(_Group):
    """The two honest scores."""

    fraction: float = _setting(
        0.02, "Share of records held out for evaluation; 0 switches it off.", "new run", ge=0, lt=1
    )
    size: int = _setting(500, "Records of an evaluation set.", ge=1, le=100_000)
    interval_s: float = _setting(60.0, "Seconds between hold-out evaluations.", gt=0)
    every_batches: int = _setting(10, "Every n-th batch is scored before it is trained; 0 switches it off.", ge=0)


class ExportSettings(_Group):
    """Models for TensorFlow Serving."""

    directory: Path | None = _setting(None, "The folder of numbered SavedModels; <base>/<name> unless set.")
    base: Path = _setting(Path("exports"), "Parent of the folder that is named after this training.")
    timeout_s: float = _setting(
        600.0, "Longest that the process of an export or adapt may take; it is killed then.", gt=0
    )


class ServiceSettings(_Group):
    """The HTTP sidecar and its watch over the worker."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "Port to listen on; 0 picks a free one.", ge=0, le=MOST_PORT)
    token: SecretStr | None = _setting(
        None, "Bearer token for whatever changes something, and for reading pictures, dead letters and settings."
    )
    tls_certfile: FilePath | None = _setting(
        None, "Certificate chain, PEM: HTTPS instead of HTTP. Read anew when the file changes."
    )
    tls_keyfile: FilePath | None = _setting(None, "Its key, PEM; unset: it stands in tls_certfile.")
    tls_key_password: SecretStr | None = _setting(None, "Password of the key.")
    allowed_hosts: str = _setting(
        "", "Host names that requests may name beside addresses and this machine's own name, comma separated; * = any."
    )
    max_requests: int = _setting(256, "Requests under way at once, probes and metrics aside; more get 429.", ge=1)
    request_timeout_s: float = _setting(30.0, "Longest that a client takes to send a request.", gt=0)
    stall_s: float = _setting(60.0, "Silence of the worker after which it is killed.", gt=0)
    grace_s: float = _setting(25.0, "Time between SIGTERM and exit.", gt=0)
    restart_budget: int = _setting(5, "Restarts without a newer checkpoint before the state is failed.", ge=0)
    restart_backoff_s: float = _setting(
        1.0, "First pause before a restart, doubled each time; the first restart has none.", ge=0
    )
    on_failed: Literal["stay", "exit"] = _setting("stay", "What the service does once the worker has failed for good.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "Lowest level logged.", "live")

    @field_validator("token")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces, and not empty: a header carries it")
        return value

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> "ServiceSettings":
        if self.tls_certfile is None and (self.tls_keyfile or self.tls_key_password):
            raise ValueError("tls_keyfile and tls_key_password need tls_certfile")
        return self


class Settings(_Group):
    """All settings of one training."""

    name: str = _setting(
        "default",
        "Name of this training: group, client id, checkpoint folder, page title.",
        "new run",
    )
    kafka: KafkaSettings = KafkaSettings()
    records: RecordsSettings = RecordsSettings()
    pipeline: PipelineSettings = PipelineSettings()
    model: ModelSettings = ModelSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    export: ExportSettings = ExportSettings()
    service: ServiceSettings = ServiceSettings()

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", value):
            raise ValueError("must be at most 63 of a-z, 0-9, '.', '_' and '-', the first a letter or a digit")
        return value

    @property
    def group_id(self) -> str:
        return self.kafka.group_id or f"penstock.{self.name}"

    @property
    def checkpoint_directory(self) -> Path:
        return self.checkpoint.directory or self.checkpoint.base / self.name

    @property
    def export_directory(self) -> Path:
        return self.export.directory or self.export.base / self.name


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Validate a nested tree. Raises SettingsError: one line naming the setting."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(one_line(error)) from error


def revealed(settings: Settings) -> dict[str, Any]:
    """The tree as JSON values with its secrets in clear, for the worker's channel only."""

    def reveal(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return {name: reveal(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        return str(value) if isinstance(value, Path) else value

    tree: dict[str, Any] = reveal(settings)
    return tree


def one_line(error: ValidationError) -> str:
    """The first complaint, with the setting's name and without its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    text = "unknown setting" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    more = error.error_count() - 1
    return f"{name}: {text}" + (f" (and {more} more)" if more else "")
