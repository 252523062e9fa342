"""Who takes part: what each side is called, what runs it, and which records it reads."""

from typing import NamedTuple

from streaming.demo.profiles import Profile


class Contender(NamedTuple):
    """arguments: of `python -m`; environment: settings beside those that all share; the topic is the profile's."""

    title: str
    arguments: tuple[str, ...]
    profile: Profile = Profile.FULL
    environment: tuple[tuple[str, str], ...] = ()


SIDES = "tests.benchmarks.sides"
BASELINE = "plain"
CONFLUENT = (("PENSTOCK_KAFKA__READER", "confluent"),)
SMALLER = (Profile.SMALL_MASK, Profile.SMALL_JPEG, Profile.RAW)

EVERYDAY: dict[str, Contender] = {
    BASELINE: Contender("plain KafkaDataset chain", (f"{SIDES}.plain",)),
    "ours": Contender("penstock, tensorflow-io", (f"{SIDES}.ours",)),
    "ours-confluent": Contender("penstock, confluent-kafka", (f"{SIDES}.ours",), environment=CONFLUENT),
    "ours-memory": Contender("penstock, records from memory", (f"{SIDES}.ours", "memory")),
    "tensorflow": Contender("best of TensorFlow's own", (f"{SIDES}.best_tensorflow",)),
    "threads": Contender("confluent-kafka, Python threads", (f"{SIDES}.threads",)),
    "floor-half": Contender("half-size JPEG decoding alone", (f"{SIDES}.floor", "2")),
    "floor-eighth": Contender("JPEG decoding to an eighth alone", (f"{SIDES}.floor", "8")),
    **{f"ours-{profile}": Contender("penstock", (f"{SIDES}.ours",), profile) for profile in SMALLER},
    **{f"plain-{profile}": Contender("plain chain", (f"{SIDES}.plain",), profile) for profile in SMALLER},
}

PEERS: dict[str, Contender] = {
    BASELINE: EVERYDAY[BASELINE],
    "ours": EVERYDAY["ours"],
    "torch-cv2": Contender("confluent-kafka, torch DataLoader, cv2", (f"{SIDES}.torch_loader", "cv2")),
    "torch-simplejpeg": Contender(
        "confluent-kafka, torch DataLoader, simplejpeg", (f"{SIDES}.torch_loader", "simplejpeg")
    ),
    "ray": Contender("Ray Data read_kafka, simplejpeg", (f"{SIDES}.ray_data",)),
    "dali": Contender("NVIDIA DALI on the CPU", (f"{SIDES}.dali",)),
}
