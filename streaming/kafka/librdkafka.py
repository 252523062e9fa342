"""What both readers tell their clients alike, two versions of librdkafka: how to fetch, and who we are."""

from streaming.settings import KafkaSettings

FETCHING = {
    "enable.auto.commit": "false",  # it would commit what was merely read
    "check.crcs": "true",
    "fetch.wait.max.ms": "10",  # the last record of a log alone takes 507 ms with the default of 500
    "reconnect.backoff.max.ms": "1000",
}


def fetching(kafka: KafkaSettings) -> dict[str, str]:
    """librdkafka's names and values, all but servers, group and ranges."""
    named = {
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": kafka.sasl_password and kafka.sasl_password.get_secret_value(),
        "ssl.ca.location": kafka.ssl_cafile,
        "ssl.certificate.location": kafka.ssl_certfile,
        "ssl.key.location": kafka.ssl_keyfile,
        "ssl.key.password": kafka.ssl_key_password and kafka.ssl_key_password.get_secret_value(),
    }
    return FETCHING | {name: str(value) for name, value in named.items() if value is not None}
