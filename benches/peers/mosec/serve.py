"""mosec: its web layer is Rust, and hands bodies to Python workers over Unix sockets.

One stage, so that no tensor is copied between processes.
"""

import os

from mosec import Server, Worker

from settings import settings

SETTINGS = settings()
# what a batch waits for others, in ms: the least that mosec takes
WAIT_MS = 1


class Classify(Worker):
    """JPEG in, JSON out; in batches if it was asked for them."""

    def __init__(self) -> None:
        super().__init__()
        # only workers need it, and what it takes of memory
        from classifier import Classifier

        self.classifier = Classifier(SETTINGS.model)

    def deserialize(self, data: bytearray) -> bytearray:
        """The body as it is."""
        return data

    def forward(self, data: bytearray | list[bytearray]) -> dict | list[dict]:
        """A list where batches are longer than one."""
        return self.classifier.classify(data) if isinstance(data, list) else self.classifier.classify([data])[0]


def main() -> None:
    """Serves until it is told to end."""
    os.environ |= {"MOSEC_ADDRESS": "127.0.0.1", "MOSEC_PORT": str(SETTINGS.port), "MOSEC_LOG_LEVEL": "warning"}
    # a file's or a socket's name holds the port, so that two servers don't meet
    os.environ["MOSEC_NAMESPACE"] = f"peer_{SETTINGS.port}"
    server = Server()
    server.append_worker(
        Classify, num=SETTINGS.workers, max_batch_size=SETTINGS.batch, max_wait_time=WAIT_MS, route="/classify"
    )
    server.run()


if __name__ == "__main__":
    main()
