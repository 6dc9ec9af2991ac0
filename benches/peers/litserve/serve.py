"""LitServe: uvicorn in one process, workers behind a queue; decoding is in the workers, too."""

from typing import Annotated, Any

import litserve
from fastapi import Body

from settings import settings

SETTINGS = settings()
# what a batch waits for others; without any, LitServe's loop spins while it has nothing to do
WAIT_S = 0.002


class Classify(litserve.LitAPI):
    """JPEG in, JSON out; in batches if it was asked for them."""

    def setup(self, device: str) -> None:
        """In each worker."""
        # only workers need it, and what it takes of memory
        from classifier import Classifier

        self.classifier = Classifier(SETTINGS.model)

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> Any:
        """The picture's tensor."""
        return self.classifier.preprocessing.tensor(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """The classifier stacks them."""
        return inputs

    def predict(self, x: Any) -> Any:
        """A list where batches are longer than one."""
        return self.classifier.answers(x) if isinstance(x, list) else self.classifier.answers([x])[0]

    def unbatch(self, output: list[Any]) -> list[Any]:
        """They are one by one."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """As it is: FastAPI makes JSON of it."""
        return output


def main() -> None:
    """Serves until it is told to end."""
    batch = {"max_batch_size": SETTINGS.batch, "batch_timeout": WAIT_S} if SETTINGS.batch > 1 else {}
    server = litserve.LitServer(
        Classify(api_path="/classify", **batch), accelerator="cpu", workers_per_device=SETTINGS.workers, fast_queue=True
    )
    server.run("127.0.0.1", SETTINGS.port, num_api_servers=1, log_level="error", generate_client_file=False)


if __name__ == "__main__":
    main()
