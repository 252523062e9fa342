"""What both readers tell their clients alike, two versions of librdkafka: how to fetch, and who we are."""

import ssl

from streaming.settings import KafkaSettings

FETCHING = {
    "enable.auto.commit": "false",  # it would commit what was merely read
    "check.crcs": "true",
    "fetch.wait.max.ms": "10",  # the last record of a log alone takes 507 ms with the default of 500
    "reconnect.backoff.max.ms": "1000",
}


def fetching(kafka: KafkaSettings) -> dict[str, str]:
    """librdkafka's names and values, all but servers, group and ranges; a token comes by a callback."""
    system = ssl.get_default_verify_paths()
    named = {
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": kafka.sasl_password and kafka.sasl_password.get_secret_value(),
        # Each brings an OpenSSL of its own, which looks for the system's CAs where its builder had them.
        "ssl.ca.location": kafka.ssl_cafile or system.cafile or system.capath,
        "ssl.certificate.location": kafka.ssl_certfile,
        "ssl.key.location": kafka.ssl_keyfile or kafka.ssl_certfile,
        "ssl.key.password": kafka.ssl_key_password and kafka.ssl_key_password.get_secret_value(),
    }
    encrypted = kafka.security_protocol.endswith("SSL")
    wanted = {name: value for name, value in named.items() if encrypted or not name.startswith("ssl.")}
    return FETCHING | {name: str(value) for name, value in wanted.items() if value is not None}
